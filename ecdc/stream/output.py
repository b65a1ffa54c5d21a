"""What a decompressor gives: the rate and channels, decided from the header; and the way of decoded samples there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..audio.convert import Resampler, converted_length, map_channels
from ..bitstream import Header
from .stretch import Cutter


@dataclass(frozen=True)
class OutputPlan:
    """Rate in Hz and channels of what is given; `mapped`: channels that are resampled, before copies are made.

    `samples`: per channel in all, if the header says it.
    """

    samplerate: int
    channels: int
    mapped: int
    samples: int | None


def plan_output(header: Header, native: bool, samplerate: int | None, channels: int | None) -> OutputPlan:
    """As asked; otherwise the source's rate and channels, or with `native` the model's."""
    samplerate = samplerate or (header.sample_rate if native else header.source_rate)
    channels = channels or (header.channels if native else header.source_channels)
    samples = header.samples
    if samples is not None:
        samples = converted_length(samples, header.source_rate, samplerate)
    return OutputPlan(samplerate, channels, min(header.channels, channels), samples)


class Output:
    """Push decoded waves `[C, T]` at the model's rate, get blocks of the stretch as planned.

    `written` counts their samples per channel, `peak` is their largest amplitude.
    """

    def __init__(self, plan: OutputPlan, cutter: Cutter, model_rate: int):
        self.plan, self.cutter = plan, cutter
        self.written, self.peak = 0, 0.0
        self._resampler = Resampler(model_rate, plan.samplerate, plan.mapped)
        self._held: list[np.ndarray] | None = None

    def hold(self) -> None:
        """Keep what comes from here on: the last packet may hold padding, and how much, the end section says."""
        self._held = []

    def push(self, wave: np.ndarray) -> Iterator[np.ndarray]:
        block = self._resampler.push(map_channels(self.cutter.aligned(wave), self.plan.mapped))
        if self._held is not None:
            self._held.append(block)
        else:
            yield from self.give(block)

    def rest(self, wave: np.ndarray) -> np.ndarray:
        """What is held, what the resampler holds, and between them the decoder's last `wave`; not yet cut."""
        last = self._resampler.push(map_channels(wave, self.plan.mapped))
        return np.concatenate([*(self._held or []), last, self._resampler.flush()], axis=1)

    def give(self, block: np.ndarray) -> Iterator[np.ndarray]:
        """The block's part of the stretch, if it has any."""
        block = self.cutter.cut(block)
        if block.shape[1]:
            self.written += block.shape[1]
            self.peak = max(self.peak, float(np.abs(block).max()))
            yield map_channels(block, self.plan.channels)
