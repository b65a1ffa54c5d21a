"""Codes of packets <-> bytes, with the exact language model and the range coder."""

from __future__ import annotations

from typing import Iterator, Optional

import numpy as np

from .language_model import Context, LanguageModel
from .range_coder import RangeDecoder, RangeEncoder

# Frames, over all streams of a batch, that go through the transformer and through the heads at once.
ROWS = 384
HEAD_ROWS = 96


class ModelCoder:
    """Codes packets one after another or, where they do not depend on each other, in batches.

    Whether codes go through the model one frame at a time (decoding) or many (encoding),
    alone or in a batch, the counts are the same to the last bit.
    """

    def __init__(self, model: LanguageModel, codebooks: int):
        self.model, self.codebooks = model, codebooks
        self._context: Optional[Context] = None
        self._key_codes: Optional[np.ndarray] = None

    def encode(self, codes: np.ndarray, key: bool) -> bytes:
        """Encode a packet's codes [K, T], afresh or in the context of the packets since the last key packet."""
        if not key:
            return self._encode([codes], self._continued())[0]
        self._context = self.model.start(1, self.codebooks, codes.shape[1])
        return self._encode([codes], self._context)[0]

    def counts(self, codes: np.ndarray, key: bool) -> Iterator[tuple[int, np.ndarray]]:
        """Chunks (first frame, counts [T, K, size]) that a packet's codes [K, T] would be coded with.

        The context stays as it is.
        """
        context = self.model.start(1, self.codebooks, codes.shape[1]) if key else self._continued().copy()
        for first, hidden in self._hidden([codes], context):
            for row in range(0, hidden.shape[1], HEAD_ROWS):
                states = hidden[0, row:row + HEAD_ROWS]
                yield first + row, self.model.counts(states, codes.T[first + row:first + row + len(states)])

    def encode_batch(self, batch: list[np.ndarray]) -> list[bytes]:
        """Encode key packets together."""
        return self._encode(batch, self.model.start(len(batch), self.codebooks, max(codes.shape[1] for codes in batch)))

    def decode(self, payload: bytes, frames: int) -> np.ndarray:
        """Decode a continuing packet's codes [K, T]."""
        return self._decode([payload], [frames], self._continued())[0]

    def decode_batch(self, payloads: list[bytes], frames: list[int]) -> list[np.ndarray]:
        """Decode key packets together."""
        batch = self._decode(payloads, frames, self.model.start(len(payloads), self.codebooks, max(frames)))
        self._restart(batch[-1])
        return batch

    def follow(self, codes: np.ndarray, key: bool) -> None:
        """Take note of a packet that was coded otherwise."""
        if key:
            self._restart(codes)
        else:
            self._advance([codes], self._continued())

    def _restart(self, codes: np.ndarray) -> None:
        # The context is made only if a continuing packet comes: from these.
        self._context, self._key_codes = None, codes

    def _continued(self) -> Context:
        if self._context is None:
            self._context = self.model.start(1, self.codebooks, self._key_codes.shape[1])
            self._advance([self._key_codes], self._context)
        return self._context

    def _advance(self, batch: list[np.ndarray], context: Context) -> None:
        """Pass codes through the model for its effect on the context."""
        for _ in self._hidden(batch, context):
            pass

    def _hidden(self, batch: list[np.ndarray], context: Context) -> Iterator[tuple[int, np.ndarray]]:
        """Chunks (first frame, hidden states [B, T, D]) over the longest of the batch's codes [K, T]."""
        frames = max(codes.shape[1] for codes in batch)
        tokens = np.zeros((len(batch), self.codebooks, 1 + frames), np.int64)
        for stream, codes in enumerate(batch):
            tokens[stream, :, 1:1 + codes.shape[1]] = 1 + codes
        tokens[:, :, 0] = context.last
        step = max(1, ROWS // len(batch))
        for first in range(0, frames, step):
            yield first, self.model.advance(tokens[:, :, first:min(first + step, frames)], context)
        context.last = tokens[:, :, -1]

    def _encode(self, batch: list[np.ndarray], context: Context) -> list[bytes]:
        coders = [RangeEncoder() for _ in batch]
        for first, hidden in self._hidden(batch, context):
            for codes, coder, states in zip(batch, coders, hidden):
                for row in range(0, min(len(states), codes.shape[1] - first), HEAD_ROWS):
                    part = codes.T[first + row:first + min(row + HEAD_ROWS, len(states))]
                    counts = self.model.counts(states[row:row + len(part)], part)
                    coder.push(part.reshape(-1), counts.reshape(-1, counts.shape[-1]))
        return [coder.finish() for coder in coders]

    def _decode(self, payloads: list[bytes], frames: list[int], context: Context) -> list[np.ndarray]:
        coders = [RangeDecoder(payload) for payload in payloads]
        longest = max(frames)
        codes = np.zeros((len(payloads), longest, self.codebooks), np.int32)
        tokens = context.last
        for frame in range(longest):
            active = [stream for stream, count in enumerate(frames) if frame < count]
            hidden = self.model.advance(tokens[:, :, None], context)[:, 0]
            self._decode_frame(hidden, codes[:, frame], coders, active)
            tokens = 1 + codes[:, frame]
        context.last = tokens
        for coder in coders:
            coder.finish()
        return [part[:count].T for part, count in zip(codes, frames)]

    def _decode_frame(self, hidden: np.ndarray, row: np.ndarray, coders: list[RangeDecoder],
                      active: list[int]) -> None:
        """Decode one frame of the active streams into `row` [B, K]."""
        if self.model.inner is None:
            counts = self.model.counts(hidden, row)
            for stream in active:
                row[stream] = coders[stream].pull(counts[stream])
            return
        for k in range(self.codebooks):
            counts = self.model.next_counts(hidden, row[:, :k])
            for stream in active:
                row[stream, k] = coders[stream].pull(counts[stream:stream + 1])[0]
