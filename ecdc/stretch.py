"""A stretch of a stream: which frames to decode for it, and which samples of them to give."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from .codec.config import CodecConfig

if TYPE_CHECKING:
    import numpy as np

# The trace of what was before, in the decoder's LSTM: after this long it is below -60 dB in most
# music and all speech that was measured (docs/STREAMS.md, "Seeking").
LSTM_SECONDS = 20.0
# The resampler looks back, too.
RESAMPLER_SECONDS = 0.1


@dataclass(frozen=True)
class Stretch:
    """From `start`, as long as `length`: in samples of the output, or with `seconds` in seconds."""

    start: float = 0
    length: Optional[float] = None
    seconds: bool = True


class Cutter:
    """Follows the absolute position in the output and cuts blocks `[C, T]` to the stretch."""

    def __init__(self, stretch: Stretch, config: CodecConfig, samplerate: int):
        unit = samplerate if stretch.seconds else 1
        self.first = round(stretch.start * unit)
        self.end = None if stretch.length is None else self.first + round(stretch.length * unit)
        self.config, self.samplerate = config, samplerate
        self.position = 0
        self.drop = 0

    @property
    def done(self) -> bool:
        return self.end is not None and self.position >= self.end

    @property
    def first_frame(self) -> int:
        """The frame to decode from, at the latest."""
        config = self.config
        sample = self.first * config.sample_rate // self.samplerate
        if config.segment is not None:
            # The segment before overlaps.
            return max(0, sample // config.segment_stride - 1) * config.block_frames
        preroll = LSTM_SECONDS if config.lstm_layers else RESAMPLER_SECONDS
        return max(0, sample // config.hop_length - config.decoder_memory - math.ceil(preroll * config.frame_rate))

    def begin(self, frame: int) -> None:
        """Decoding begins with this frame."""
        config = self.config
        sample = frame * config.hop_length if config.segment is None else \
            frame // config.block_frames * config.segment_stride
        # The resampler must begin where its output has a sample at the very same time.
        period = config.sample_rate // math.gcd(config.sample_rate, self.samplerate)
        self.drop = -sample % period
        self.position = (sample + self.drop) * self.samplerate // config.sample_rate

    def aligned(self, wave: np.ndarray) -> np.ndarray:
        """A block at the model's rate without what must be left out at the beginning."""
        dropped = min(self.drop, wave.shape[1])
        self.drop -= dropped
        return wave[:, dropped:]

    def cut(self, block: np.ndarray) -> np.ndarray:
        start, self.position = self.position, self.position + block.shape[1]
        end = block.shape[1] if self.end is None else max(0, self.end - start)
        return block[:, max(0, self.first - start):end]
