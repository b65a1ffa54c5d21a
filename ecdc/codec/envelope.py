"""Envelopes: how loud each band of the original was, some times a second, and decoded samples brought to that.

Codes carry the waveform where it is loud, and of the rest little: decoded bands are several dB too loud or
too soft (docs/BUNDLED.md). Levels of the original cost few bits, and any decoder of the codes can be held to them.
"""

from __future__ import annotations

from collections import deque
from typing import Optional

import numpy as np
import torch
from torch import Tensor

from .blocks import SampleBuffer
from .config import CodecConfig

# Hz, about one and a half equivalent rectangular bandwidths apart (Glasberg and Moore 1990); the last band of a model
# goes on to half its sample rate.
EDGES = (50, 97, 153, 218, 294, 384, 488, 611, 754, 922, 1118, 1348, 1617, 1932, 2301, 2733, 3238, 3830, 4523, 5334,
         6283, 7394, 8694, 10217, 12000, 14100, 16500, 19400)
# Levels are doublings of power above the floor, 2^-33.
FLOOR, LEVELS = -33, 64
# A block's level is the mean of this power of its frames' powers: a pause weighs little, as by the mean power, and
# so does a single loud frame, as by the mean of decibels.
LOUDNESS_POWER = 0.25
SILENCE = 2.0 ** FLOOR
MOST_DOUBLINGS, MOST_HALVINGS = 4, 8


def edges_for(sample_rate: int) -> tuple[int, ...]:
    """Where the bands of a model begin, in Hz."""
    return tuple(edge for edge in EDGES if 22 * edge <= 10 * sample_rate)


class Bands:
    """The spectra of a stream's frames, and the bands in them: a window is two frames long, and steps by one."""

    def __init__(self, config: CodecConfig):
        self.hop, rate = config.envelope_hop, config.sample_rate
        self.edges = np.array([(4 * edge * self.hop + rate) // (2 * rate) for edge in edges_for(rate)])
        ends = np.append(self.edges[1:], self.hop + 1)
        self.centres = (self.edges + ends - 1) / 2
        self.window = np.sin(np.pi * np.arange(2 * self.hop) / (2 * self.hop))
        # From band to band gains run straight: of every bin, the band whose centre is above, and its share.
        bins = np.arange(self.hop + 1)
        self.above = np.clip(np.searchsorted(self.centres, bins, side="right"), 1, len(self.centres) - 1)
        below, above = self.centres[self.above - 1], self.centres[self.above]
        self.share = np.clip((bins - below) / (above - below), 0, 1)

    def spectra(self, before: np.ndarray, wave: np.ndarray) -> np.ndarray:
        """Of the frames of `wave` [C, T], the frame `before` [C, hop] in view: [C, frames, bins]."""
        joined = np.concatenate([before, wave], axis=1).astype(np.float64)
        parts = np.lib.stride_tricks.sliding_window_view(joined, 2 * self.hop, axis=1)[:, ::self.hop]
        return np.fft.rfft(parts * self.window)

    def loudness(self, spectra: np.ndarray) -> np.ndarray:
        """The level of a block's windows, log2 of power, [C, bands]."""
        squares = (spectra.real ** 2 + spectra.imag ** 2) / (2 * self.hop)
        powers = np.add.reduceat(squares, self.edges, axis=2) + SILENCE
        return np.log2((powers ** LOUDNESS_POWER).mean(1)) / LOUDNESS_POWER

    def shaped(self, spectra: np.ndarray, gains: np.ndarray) -> np.ndarray:
        """Windows [C, windows, samples] of spectra with gains [C, windows, bands] in log2."""
        doublings = gains[:, :, self.above - 1] * (1 - self.share) + gains[:, :, self.above] * self.share
        return np.fft.irfft(spectra * np.exp2(doublings / 2), 2 * self.hop) * self.window


class Meter:
    """Push samples `[C, T]`, and ask for the levels of so many of them."""

    def __init__(self, config: CodecConfig, block_frames: int):
        self.bands = Bands(config)
        self.block = block_frames * self.bands.hop
        self.buffer = SampleBuffer()
        self.before = np.zeros((config.channels, self.bands.hop), np.float32)

    def push(self, wave: Tensor) -> None:
        self.buffer.push(wave)

    def levels(self, samples: int) -> np.ndarray:
        """Of the next so many samples, [C, blocks, bands]; zeros follow the last one."""
        if samples > self.buffer.length:
            self.buffer.push(torch.zeros(len(self.before), samples - self.buffer.length))
        return np.stack([self._levels(self.buffer.take(min(self.block, samples - start)).numpy())
                         for start in range(0, samples, self.block)], axis=1)

    def _levels(self, wave: np.ndarray) -> np.ndarray:
        wave = _filled(wave, self.bands.hop)
        spectra = self.bands.spectra(self.before, wave)
        self.before = wave[:, -self.bands.hop:]
        return np.clip(np.round(self.bands.loudness(spectra)) - FLOOR, 0, LEVELS - 1).astype(np.int32)


class Shaper:
    """Push decoded samples `[C, T]` and what levels they should have; get them back, some later, with these.

    `prompt`: only a frame later, as gains do not wait for the next block.
    """

    def __init__(self, config: CodecConfig, block_frames: int, prompt: bool = False):
        self.bands, self.channels = Bands(config), config.channels
        self.block, self.prompt = block_frames * self.bands.hop, prompt
        self.buffer = SampleBuffer()
        self.expected: deque[tuple[int, Optional[np.ndarray]]] = deque()
        self._restart()

    def _restart(self) -> None:
        self._before = np.zeros((self.channels, self.bands.hop), np.float32)
        self._waiting = np.zeros((self.channels, 0, self.bands.hop + 1), complex)
        self._gains: Optional[np.ndarray] = None
        self._tail: Optional[np.ndarray] = None

    def expect(self, samples: int, levels: Optional[np.ndarray]) -> None:
        """The levels [C, blocks, bands] of so many samples that come next; None: they stay as they are."""
        for index, start in enumerate(range(0, samples, self.block)):
            self.expected.append((min(self.block, samples - start), None if levels is None else levels[:, index]))

    def push(self, wave: Tensor) -> Tensor:
        self.buffer.push(wave)
        shaped = [wave[:, :0]]
        while self.expected and self.buffer.length >= self.expected[0][0]:
            samples, levels = self.expected.popleft()
            shaped.append(self._shape(self.buffer.take(samples).numpy(), levels))
            if samples % self.bands.hop:
                # The next begins off the grid: by itself.
                shaped.append(self._end(wave[:, :0])[:, :samples % self.bands.hop - self.bands.hop])
        return torch.cat(shaped, dim=1)

    def flush(self, rest: Tensor) -> Tensor:
        """What is held back, and the `rest` of the samples, with the last gains; what comes then is shaped by itself."""
        return self._end(torch.cat([self.buffer.take(self.buffer.length), rest], dim=1) if self.buffer.length else rest)

    def _end(self, rest: Tensor) -> Tensor:
        if self._gains is None:
            return rest
        end = np.pad(_filled(rest.numpy(), self.bands.hop), ((0, 0), (0, self.bands.hop)))
        spectra = np.concatenate([self._waiting, self.bands.spectra(self._before, end)], axis=1)
        wave = self._joined(spectra, np.repeat(self._gains[:, None], spectra.shape[1], axis=1))
        self._restart()
        return wave[:, :wave.shape[1] - (-rest.shape[1] % self.bands.hop)]

    def _shape(self, wave: np.ndarray, levels: Optional[np.ndarray]) -> Tensor:
        """Take in a block, give all up to its middle; from middle to middle gains run straight.

        If it is to be prompt, give all of it: gains run from its beginning to its middle, and stay.
        """
        wave = _filled(wave, self.bands.hop)
        spectra = self.bands.spectra(self._before, wave)
        gains = self._gains_for(spectra, levels)
        old = gains if self._gains is None else self._gains
        self._before, self._gains = wave[:, -self.bands.hop:], gains
        middle = (spectra.shape[1] + 1) // 2
        given = spectra.shape[1] if self.prompt else middle
        ready = np.concatenate([self._waiting, spectra[:, :given]], axis=1)
        reached = middle if self.prompt else ready.shape[1]
        self._waiting = spectra[:, given:]
        shares = np.minimum(1, (1 + np.arange(ready.shape[1])) / reached)[:, None]
        return self._joined(ready, old[:, None] * (1 - shares) + gains[:, None] * shares)

    def _gains_for(self, spectra: np.ndarray, levels: Optional[np.ndarray]) -> np.ndarray:
        """[C, bands] in log2 of power; none where the level is right but for the rounding, and none that jumps there."""
        if levels is None:
            return np.zeros((self.channels, len(self.bands.edges)))
        missing = FLOOR + levels - self.bands.loudness(spectra)
        wide = np.abs(missing)
        return np.clip(np.sign(missing) * np.minimum(wide, np.maximum(0, 2 * wide - 1)), -MOST_HALVINGS, MOST_DOUBLINGS)

    def _joined(self, spectra: np.ndarray, gains: np.ndarray) -> Tensor:
        """The samples of windows, each overlapped with the one before."""
        windows = self.bands.shaped(spectra, gains)
        first, second = windows[:, :, :self.bands.hop], windows[:, :, self.bands.hop:]
        # The very first window begins before the first sample.
        skipped = self.bands.hop if self._tail is None else 0
        tail = np.zeros_like(second[:, :1]) if self._tail is None else self._tail
        self._tail = second[:, -1:]
        wave = (first + np.concatenate([tail, second[:, :-1]], axis=1)).reshape(self.channels, -1)
        return torch.from_numpy(wave[:, skipped:].astype(np.float32))


def _filled(wave: np.ndarray, hop: int) -> np.ndarray:
    """`wave` [C, T] with zeros up to a whole frame."""
    return np.pad(wave, ((0, 0), (0, -wave.shape[1] % hop)))
