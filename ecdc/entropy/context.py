"""What an exact language model remembers of the frames so far: keys and values, within its window."""

from __future__ import annotations

import copy

import numpy as np

# Frames that keys and values have room for beyond a window, before the old ones are cleared away.
ROOM = 96


class Context:
    """What the frames so far leave behind, for a batch of streams in step: keys and values of every layer.

    `position`: frames so far, the same for all streams; `last` [B, K]: 1 + the last frame's codes, or 0.
    """

    def __init__(self, layers: int, batch: int, codebooks: int, capacity: int, heads: int, head_dimension: int):
        shape = layers, batch, capacity, 2, heads, head_dimension
        # Kept small, as they are integers of 16 bits; attention works on them in float64. All of a stream
        # lie in one piece, in the order of time: memory is read twice as fast as with a piece for each head.
        self.cache = np.zeros(shape, np.int16)
        self.last = np.zeros((batch, codebooks), np.int64)
        self.used = 0
        self.position = 0

    def copy(self) -> Context:
        """One that goes on from here by itself."""
        other = copy.copy(self)
        other.cache, other.last = self.cache.copy(), self.last.copy()
        return other

    def remember(self, layer: int, keys: np.ndarray, values: np.ndarray) -> None:
        """Put a layer's keys and values [B, T, H, D/H] behind those of the frames before."""
        new = self.cache[layer, :, self.used : self.used + keys.shape[1]]
        new[:, :, 0], new[:, :, 1] = keys, values

    def make_room(self, frames: int, window: int) -> None:
        """Before `frames` more: forget what no frame will look at any more, or grow."""
        old, first = self.cache, max(0, self.used - window)
        if self.used + frames <= old.shape[2]:
            return
        kept = self.used - first
        if kept + frames > old.shape[2]:
            self.cache = np.zeros((*old.shape[:2], kept + frames + ROOM, *old.shape[3:]), np.int16)
        for before, after in zip(old, self.cache):  # layer by layer: where they overlap, NumPy copies
            after[:, :kept] = before[:, first : self.used]
        self.used = kept
