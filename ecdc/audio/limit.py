"""A limiter for peaks beyond full scale: integers would clip them, which is heard as crackling."""

from __future__ import annotations

import numpy as np

# Gains fall and rise within this time: shorter, they distort low tones; longer, the sound around is softer.
AHEAD_SECONDS = 0.003


class Limiter:
    """Push blocks `[C, T]`, get them a few milliseconds later with no sample beyond 1; any sizes give the same.

    Each sample's gain is the mean of the least gains in windows that all contain it, so that it is no greater than
    the sample needs. Where nothing is beyond full scale, samples stay as they are, to the last bit.
    """

    def __init__(self, samplerate: int, channels: int):
        self.ahead = max(1, round(AHEAD_SECONDS * samplerate))
        self.channels = channels
        # Silence before the first sample, so that all windows are full; it is not given.
        self._kept = np.zeros((channels, 2 * self.ahead), np.float32)
        self._skip = self.ahead

    def push(self, block: np.ndarray) -> np.ndarray:
        joined = np.concatenate([self._kept, block], axis=1)
        ready = max(0, joined.shape[1] - 2 * self.ahead)
        given = self._limited(joined) if np.abs(joined).max(initial=0) > 1 else self._middle(joined)
        self._kept = joined[:, ready:].copy()
        skipped = min(self._skip, given.shape[1])
        self._skip -= skipped
        return given[:, skipped:]

    def flush(self) -> np.ndarray:
        """What is held back."""
        return self.push(np.zeros((self.channels, self.ahead), np.float32))

    def _middle(self, joined: np.ndarray) -> np.ndarray:
        """The samples around which there is a window on both sides."""
        return joined[:, self.ahead : max(self.ahead, joined.shape[1] - self.ahead)]

    def _limited(self, joined: np.ndarray) -> np.ndarray:
        middle = self._middle(joined)
        if not middle.shape[1]:
            return middle
        # What the gain of each sample lacks of 1; then the most of each window, then the mean of those.
        lacking = 1 - 1 / np.maximum(1, np.abs(joined).max(0).astype(np.float64))
        most = np.lib.stride_tricks.sliding_window_view(lacking, self.ahead + 1).max(1)
        mean = np.lib.stride_tricks.sliding_window_view(most, self.ahead + 1).mean(1)
        limited: np.ndarray = middle * (1 - mean).astype(np.float32)
        # Rounding may leave it a last bit above.
        return np.where(mean > 0, np.clip(limited, -1, 1), middle)
