"""Many channels to one: the mix or one of them, and a watch over what the mix loses."""

from __future__ import annotations

import math

import numpy as np

from ..errors import AudioError
from .convert import map_channels
from .formats import CHANNELS

# Levels are compared second by second.
WINDOW_SECONDS = 1.0
# The mix of independent channels is 3 dB softer than they are. So much softer, it cancels; below this level (power)
# nobody hears the channels either.
CANCELS, AUDIBLE = 0.1, 1e-6
# A channel so much softer than the loudest one is not heard beside it; below this power it holds nothing.
UNHEARD, EMPTY = 1e-5, 1e-10
# Another channel must be twice as loud in amplitude before `max` goes over to it, and does so in 10 ms.
LOUDER, FADE_SECONDS = 4.0, 0.01


class Mixer:
    """Push blocks `[C, T]`, get blocks `[1, T]`; any sizes pushed give the same samples.

    `choice`: mix (the average), left, right, or max: in each second the channel that is much louder.
    """

    def __init__(self, channels: int, samplerate: int, choice: str = "mix"):
        if choice not in CHANNELS:
            raise AudioError(f"channel {choice!r} is unknown: choose {', '.join(CHANNELS)}")
        self.choice = choice
        self.window, self.fade = max(1, round(WINDOW_SECONDS * samplerate)), max(1, round(FADE_SECONDS * samplerate))
        self._waiting = np.zeros((channels, 0), np.float32)
        self._powers, self._taken = np.zeros(channels), 0
        self._windows = self._cancelled = 0
        self._loudest: int | None = None

    def push(self, block: np.ndarray) -> np.ndarray:
        if self.choice in ("left", "right"):
            index = ("left", "right").index(self.choice)
            return block[index : index + 1]
        windows = self._whole_windows(block)
        if self.choice == "max":
            return np.concatenate([block[:1, :0], *map(self._louder, windows)], axis=1)
        for window in windows:
            self._watch(window)
        return map_channels(block, 1)

    def flush(self) -> np.ndarray:
        """What is held back."""
        rest, self._waiting = self._waiting, self._waiting[:, :0]
        if rest.shape[1] and self.choice == "max":
            return self._louder(rest)
        if rest.shape[1]:
            self._watch(rest)
        return rest[:1, :0]

    @property
    def loss(self) -> str | None:
        """What the mix has lost so far, in words; None for nothing worth a word, and for other choices."""
        if self._cancelled:
            seconds = self._cancelled * WINDOW_SECONDS
            return f"in {seconds:g} of {self._windows * WINDOW_SECONDS:g} s its channels cancel in the mono mix"
        powers = self._powers / max(1, self._taken)
        soft = [index for index, power in enumerate(powers) if EMPTY < power < UNHEARD * powers.max()]
        if soft:
            decibels = 10 * math.log10(powers.max() / powers[soft[0]])
            return f"channel {soft[0] + 1} is {decibels:.0f} dB softer than the loudest, and is lost in the mono mix"
        return None

    def _whole_windows(self, block: np.ndarray) -> list[np.ndarray]:
        """Those that `block` completes."""
        waiting = np.concatenate([self._waiting, block], axis=1)
        whole = waiting.shape[1] // self.window * self.window
        self._waiting = waiting[:, whole:]
        return [waiting[:, start : start + self.window] for start in range(0, whole, self.window)]

    def _watch(self, window: np.ndarray) -> None:
        powers, mix = _powers(window), float(_powers(map_channels(window, 1))[0])
        self._powers += powers * window.shape[1]
        self._taken += window.shape[1]
        self._windows += 1
        self._cancelled += bool(powers.mean() > AUDIBLE and mix < CANCELS * powers.mean())

    def _louder(self, window: np.ndarray) -> np.ndarray:
        """The channel of before, or another that is much louder, with a fade between them."""
        powers = _powers(window)
        best = int(powers.argmax())
        before = best if self._loudest is None else self._loudest
        self._loudest = now = best if powers[best] > LOUDER * powers[before] else before
        if now == before:
            return window[now : now + 1]
        share = np.minimum(1, np.arange(1, window.shape[1] + 1) / self.fade).astype(np.float32)
        return window[before : before + 1] * (1 - share) + window[now : now + 1] * share


def _powers(wave: np.ndarray) -> np.ndarray:
    """The mean power of each channel of `[C, T]`."""
    powers: np.ndarray = np.square(wave, dtype=np.float64).mean(1)
    return powers
