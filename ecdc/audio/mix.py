"""Many channels to one: the mix or one of them, and a watch over what the mix loses."""

from __future__ import annotations

import math

import numpy as np

from ..errors import AudioError
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
        self.choice, self.samplerate = choice, samplerate
        self.window, self.fade = max(1, round(WINDOW_SECONDS * samplerate)), max(1, round(FADE_SECONDS * samplerate))
        self._waiting = np.zeros((channels, 0), np.float32)
        self._powers, self._taken = np.zeros(channels), 0
        self._windows = self._cancelled = 0
        self._loudest: int | None = None

    def push(self, block: np.ndarray) -> np.ndarray:
        self._waiting = np.concatenate([self._waiting, block], axis=1)
        whole = self._waiting.shape[1] // self.window * self.window
        self._waiting, windows = self._waiting[:, whole:], self._waiting[:, :whole]
        louder = [self._window(windows[:, i : i + self.window]) for i in range(0, whole, self.window)]
        if self.choice == "max":
            return np.concatenate([windows[:1, :0], *louder], axis=1)
        return self._chosen(block)

    def flush(self) -> np.ndarray:
        """What is held back."""
        rest = self._window(self._waiting) if self._waiting.shape[1] else self._waiting[:1]
        return rest if self.choice == "max" else rest[:, :0]

    @property
    def loss(self) -> str | None:
        """What the mix has lost so far, in words; None for nothing worth a word."""
        if self.choice != "mix" or not self._taken:
            return None
        if self._cancelled:
            seconds = self._cancelled * WINDOW_SECONDS
            return f"in {seconds:g} of {self._windows * WINDOW_SECONDS:g} s its channels cancel in the mono mix"
        powers = self._powers / self._taken
        soft = [index for index, power in enumerate(powers) if EMPTY < power < UNHEARD * powers.max()]
        if soft:
            decibels = 10 * math.log10(powers.max() / powers[soft[0]])
            return f"channel {soft[0] + 1} is {decibels:.0f} dB softer than the loudest, and is lost in the mono mix"
        return None

    def _chosen(self, block: np.ndarray) -> np.ndarray:
        if self.choice == "mix":
            return block.mean(0, keepdims=True)
        index = 0 if self.choice == "left" else 1
        return block[index : index + 1]

    def _window(self, window: np.ndarray) -> np.ndarray:
        """Take its levels; returns its louder channel."""
        powers = np.square(window, dtype=np.float64).mean(1)
        mix = float(np.square(window.mean(0), dtype=np.float64).mean())
        self._powers += powers * window.shape[1]
        self._taken += window.shape[1]
        self._windows += 1
        self._cancelled += bool(powers.mean() > AUDIBLE and mix < CANCELS * powers.mean())
        before, best = self._loudest, int(powers.argmax())
        if before is None or powers[best] > LOUDER * powers[before]:
            self._loudest = best
        chosen: np.ndarray = window[self._loudest : self._loudest + 1] if self._loudest is not None else window[:1]
        if before is None or before == self._loudest:
            return chosen
        share = np.minimum(1, np.arange(1, window.shape[1] + 1) / self.fade).astype(np.float32)
        return window[before : before + 1] * (1 - share) + chosen * share
