"""What a decompressor gives: the rate and channels, decided from the header; and the way of decoded samples there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..audio.convert import Resampler, converted_length, map_channels
from ..bitstream import Header
from .stretch import Cutter

# Samples that are resampled at once: whatever a stream claims, memory is bounded.
PIECE = 1 << 18


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
        self._piece = max(1, PIECE * model_rate // max(model_rate, plan.samplerate))
        self._held: np.ndarray | None = None

    def hold(self) -> None:
        """Keep the end of what comes from here on: the last packet may hold padding; the end section says how much."""
        self._held = np.zeros((self.plan.mapped, 0), np.float32)

    def push(self, wave: np.ndarray) -> Iterator[np.ndarray]:
        wave = map_channels(self.cutter.aligned(wave), self.plan.mapped)
        for first in range(0, wave.shape[1], self._piece):
            block = self._resampler.push(wave[:, first : first + self._piece])
            if self._held is not None:
                held = np.concatenate([self._held, block], axis=1)
                spare = max(0, held.shape[1] - self.plan.samplerate)
                block, self._held = held[:, :spare], held[:, spare:].copy()
            yield from self.give(block)

    def rest(self, wave: np.ndarray) -> np.ndarray:
        """What is held, what the resampler holds, and between them the decoder's last `wave`; not yet cut."""
        last = self._resampler.push(map_channels(wave, self.plan.mapped))
        held = last[:, :0] if self._held is None else self._held
        return np.concatenate([held, last, self._resampler.flush()], axis=1)

    def silence(self, samples: int) -> Iterator[np.ndarray]:
        """So many samples more, in pieces of bounded size."""
        for first in range(0, samples, PIECE):
            yield from self.give(np.zeros((self.plan.mapped, min(PIECE, samples - first)), np.float32))

    def give(self, block: np.ndarray) -> Iterator[np.ndarray]:
        """The block's part of the stretch, if it has any."""
        block = self.cutter.cut(block)
        if block.shape[1]:
            self.written += block.shape[1]
            self.peak = max(self.peak, float(np.abs(block).max()))
            yield map_channels(block, self.plan.channels)
