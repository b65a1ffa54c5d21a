"""Brings a stream to the level that its model is at its best with, where the model does not normalise by itself."""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple, Optional

import torch
from torch import Tensor

from .blocks import SampleBuffer
from .config import CodecConfig

# A level is held for this long before it rises: packets may be far shorter than a pause between words.
HELD_SECONDS = 5.0
# In halvings. What is quieter still is the noise of a 16-bit recording, which is not worth bits.
MOST_RAISED = 8


class Levelled(NamedTuple):
    """Samples `[C, T]` divided by `scale`, a power of two, so that nothing is rounded; None for 1."""

    wave: Tensor
    scale: Optional[float]


def scale_for(peak: float, config: CodecConfig) -> Optional[float]:
    """The power of two to divide samples with this peak by: they then reach `config.target_peak`, or half of it at least."""
    if config.target_peak is None or peak == 0:
        return None
    exponent = max(-MOST_RAISED, math.ceil(math.log2(peak / config.target_peak)))
    return 2.0 ** exponent if exponent else None


class Leveller:
    """Push samples `[C, T]`, get those of whole packets with the scale of each."""

    def __init__(self, config: CodecConfig, packet_frames: int):
        self.config, self.length = config, packet_frames * config.hop_length
        self.buffer = SampleBuffer()
        self.peaks: deque[float] = deque(maxlen=max(1, round(HELD_SECONDS * config.frame_rate / packet_frames)))

    def push(self, wave: Tensor) -> list[Levelled]:
        self.buffer.push(wave)
        packets = []
        while self.buffer.length >= self.length:
            packets.append(self._levelled(self.length))
        return packets

    def flush(self) -> list[Levelled]:
        """What is left, of the last packet."""
        return [self._levelled(self.buffer.length)] if self.buffer.length else []

    def _levelled(self, count: int) -> Levelled:
        wave = self.buffer.take(count)
        self.peaks.append(float(wave.abs().max()))
        scale = scale_for(max(self.peaks), self.config)
        return Levelled(wave if scale is None else wave / scale, scale)


class Scales:
    """Gives decoded samples their scales back, each run of them its own."""

    def __init__(self) -> None:
        self._runs: deque[tuple[int, float]] = deque()

    def push(self, samples: int, scale: Optional[float]) -> None:
        """The scale of so many samples more."""
        self._runs.append((samples, 1.0 if scale is None else scale))

    def apply(self, wave: Tensor) -> Tensor:
        """The next samples `[C, T]`; as many at most as were pushed."""
        factors, missing = [], wave.shape[-1]
        while missing:
            samples, scale = self._runs.popleft()
            if samples > missing:
                self._runs.appendleft((samples - missing, scale))
            count = min(samples, missing)
            factors.append((count, scale))
            missing -= count
        if all(scale == 1 for _, scale in factors):
            return wave
        return torch.cat([part * scale for part, (_, scale) in
                          zip(wave.split([count for count, _ in factors], dim=-1), factors)], dim=-1)
