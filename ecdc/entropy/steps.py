"""What coding with a language model takes, whatever computes it; and its definition, in NumPy."""

from __future__ import annotations

from typing import Protocol, cast

import numpy as np

from .context import Context
from .language_model import LanguageModel
from .range_coder import RangeDecoder, RangeEncoder


class Remembered(Protocol):
    """A context: what the frames so far leave behind, for a batch of streams in step.

    `last` [B, K]: 1 + the last frame's codes, or 0.
    """

    last: np.ndarray

    def copy(self) -> Remembered:
        """One that goes on from here by itself."""


class RowEncoder(Protocol):
    """Encodes one packet."""

    def push(self, hidden: np.ndarray, rows: np.ndarray) -> None:
        """Codes [T, K] of the next frames, whose hidden states are [T, D]."""

    def finish(self) -> bytes:
        """All bytes of the packet."""


class Steps(Protocol):
    """The parts of coding; `together`: streams that are best decoded in step."""

    together: int

    def start(self, batch: int, codebooks: int, frames: int) -> Remembered:
        """The context before the first frame; `frames`: how many are expected."""

    def advance(self, previous: np.ndarray, context: Remembered) -> np.ndarray:
        """As `LanguageModel.advance`."""

    def counts(self, hidden: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """As `LanguageModel.counts`."""

    def bits(self, hidden: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """What each entry would cost, [N, K, size] float32, where `counts` would be the counts."""

    def encoder(self) -> RowEncoder:
        """For the next packet."""

    def decode(self, payloads: list[bytes], frames: list[int], context: Remembered) -> np.ndarray:
        """Codes [B, the most frames, K]; BitstreamError where payloads cannot come from the encoder."""


class ReferenceSteps:
    """The definition: the exact model in NumPy, the range coder over its counts."""

    together = 12

    def __init__(self, model: LanguageModel):
        self.model = model
        self.counts = model.counts

    def start(self, batch: int, codebooks: int, frames: int) -> Context:
        return self.model.start(batch, codebooks, frames)

    def advance(self, previous: np.ndarray, context: Remembered) -> np.ndarray:
        return self.model.advance(previous, cast(Context, context))

    def bits(self, hidden: np.ndarray, rows: np.ndarray) -> np.ndarray:
        counts = self.counts(hidden, rows)
        return (np.log2(counts.sum(-1, keepdims=True)) - np.log2(counts)).astype(np.float32)

    def encoder(self) -> RowEncoder:
        return _ReferenceEncoder(self.model)

    def decode(self, payloads: list[bytes], frames: list[int], context: Remembered) -> np.ndarray:
        coders = [RangeDecoder(payload) for payload in payloads]
        codebooks = context.last.shape[1]
        codes = np.zeros((len(payloads), max(frames), codebooks), np.int32)
        for frame in range(max(frames)):
            active = [stream for stream, count in enumerate(frames) if frame < count]
            hidden = self.advance(context.last[:, :, None], context)[:, 0]
            self._decode_frame(hidden, codes[:, frame], coders, active)
            context.last = 1 + codes[:, frame].astype(np.int64)
        for coder in coders:
            coder.finish()
        return codes

    def _decode_frame(self, hidden: np.ndarray, row: np.ndarray, coders: list[RangeDecoder], active: list[int]) -> None:
        """Decode one frame of the active streams into `row` [B, K]."""
        if self.model.inner is None:
            counts = self.counts(hidden, row)
            for stream in active:
                row[stream] = coders[stream].pull(counts[stream])
            return
        for k in range(row.shape[1]):
            counts = self.model.next_counts(hidden, row[:, :k])
            for stream in active:
                row[stream, k] = coders[stream].pull(counts[stream : stream + 1])[0]


class _ReferenceEncoder:
    def __init__(self, model: LanguageModel):
        self.model, self.coder = model, RangeEncoder()

    def push(self, hidden: np.ndarray, rows: np.ndarray) -> None:
        counts = self.model.counts(hidden, rows)
        self.coder.push(rows.reshape(-1), counts.reshape(-1, counts.shape[-1]))

    def finish(self) -> bytes:
        return self.coder.finish()
