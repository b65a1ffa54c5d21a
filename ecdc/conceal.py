"""Sound in place of lost packets: the last frame held and faded out, then silence."""

from __future__ import annotations

from typing import Iterator, Optional

import numpy as np
import torch
from torch import Tensor

from .codec.blocks import Block
from .codec.codec import Codec
from .codec.envelope import Shaper

# Held longer, a frame becomes a tone.
FADE_SECONDS = 0.3


class Losses:
    """What was lost, as stretches in seconds; `cut_off`: where the stream ends too early, if it does."""

    def __init__(self) -> None:
        self.stretches: list[tuple[float, float]] = []
        self.cut_off: Optional[float] = None

    def add(self, begin: float, seconds: float) -> None:
        end = begin + seconds
        if self.stretches and abs(self.stretches[-1][1] - begin) < 1e-3:
            begin, _ = self.stretches.pop()
        self.stretches.append((begin, end))

    @property
    def seconds(self) -> float:
        return sum(end - begin for begin, end in self.stretches)


class Concealer:
    """Decodes blocks of a stream, and fills what is missing between them."""

    def __init__(self, codec: Codec, envelope_frames: int = 0):
        self.codec, self.config = codec, codec.config
        self._decoder = codec.decoder_stream()
        self._shaper = Shaper(codec.config, envelope_frames) if envelope_frames else None
        self._last: Optional[Block] = None

    def push(self, block: Block) -> Iterator[np.ndarray]:
        """Waves `[C, T]` of a block."""
        self._last = block
        if self._shaper is not None:
            self._shaper.expect(self.config.samples_for(block.codes.shape[1]), block.envelope)
        for wave in self._decoder.push(block):
            yield self._shaped(wave)

    def _shaped(self, wave: Tensor) -> np.ndarray:
        return (wave if self._shaper is None else self._shaper.push(wave)).numpy()

    def flush(self) -> np.ndarray:
        rest = self._decoder.flush()
        return (rest if self._shaper is None else self._shaper.flush(rest)).numpy()

    def conceal(self, frames: int) -> Iterator[np.ndarray]:
        """As many samples as so many frames decode to."""
        if self.config.segment is not None:
            yield from self._silent_segments(-(-frames // self.config.block_frames))
            return
        if self._shaper is not None:
            yield self._shaper.flush(torch.zeros(self.config.channels, 0)).numpy()
        held = min(frames, round(FADE_SECONDS * self.config.frame_rate)) if self._last is not None else 0
        length, faded = round(FADE_SECONDS * self.config.frame_rate) * self.config.hop_length, 0
        if held:
            codes = np.repeat(self._last.codes[:, -1:], held, axis=1)
            for wave in self._decoder.push(Block(codes, self._last.scale)):
                gain = np.clip(1 - np.arange(faded, faded + wave.shape[1]) / length, 0, 1).astype(np.float32)
                faded += wave.shape[1]
                yield wave.numpy() * gain
        if frames > held:
            # What was before is out of hearing: the next packet begins as a stream does.
            yield self._decoder.flush().numpy() * 0
            self._decoder, self._last = self.codec.decoder_stream(), None
            silence, missing = self.config.block_frames, frames - held
            while missing:
                count = min(missing, silence)
                yield np.zeros((self.config.channels, count * self.config.hop_length), np.float32)
                missing -= count

    def _silent_segments(self, segments: int) -> Iterator[np.ndarray]:
        for _ in range(segments):
            silence = self._decoder.push_silence()
            if self._shaper is not None:
                self._shaper.expect(silence.shape[1], None)
            yield self._shaped(silence)
