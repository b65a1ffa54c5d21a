"""Levels of a packet's envelope <-> bytes: predicted from the block, bands and channel before, and range-coded."""

from __future__ import annotations

from typing import Iterator, NamedTuple, Optional

import numpy as np

from ..codec.envelope import LEVELS
from .range_coder import RangeDecoder, RangeEncoder

# How fast counts fall with the distance from the prediction, in 256ths a step: in a first block; in others, for growing
# surprise by what is beside.
FIRST_DECAY, DECAYS = 141, (77, 90, 97, 115, 125, 131, 138, 154)
HIGHEST_COUNT, LOWEST_COUNT = 1 << 14, 4


def _counts(decay: int) -> np.ndarray:
    """Of every difference from the prediction, modulo the number of levels."""
    falling = [HIGHEST_COUNT]
    while len(falling) <= LEVELS // 2:
        falling.append(max(LOWEST_COUNT, falling[-1] * decay // 256))
    return np.array([falling[min(step, LEVELS - step)] for step in range(LEVELS)], np.float64)


# Rows: of the first level of all, of the others in a first block, then for each surprise.
ANY, FIRST = 0, 1
COUNTS = np.stack([np.full(LEVELS, 1.0), _counts(FIRST_DECAY), *map(_counts, DECAYS)])


class Place(NamedTuple):
    """Where a level stands: its `band`, what is known of its block, the block before (None: none), and the channel before."""

    band: int
    block: np.ndarray
    before: Optional[np.ndarray]
    other: Optional[np.ndarray]
    other_before: Optional[np.ndarray]

    def expected(self) -> tuple[int, int]:
        """The prediction of the level, and the row of its counts."""
        band = self.band
        if self.before is None:
            if self.other is not None:
                return int(self.other[band]), FIRST
            return (int(self.block[band - 1]), FIRST) if band else (0, ANY)
        below, further = (self._rise(self.block, self.before, band - back) for back in (1, 2))
        if self.other is None:
            return int(self.before[band]) + ((2 * below + further + 2) >> 2), self._row(below, further)
        beside, beside_below = (self._rise(self.other, self.other_before, band - back) for back in (0, 1))
        return int(self.before[band]) + beside, self._row(beside, below - beside_below)

    @staticmethod
    def _rise(block: np.ndarray, before: np.ndarray, band: int) -> int:
        return int(block[band]) - int(before[band]) if band >= 0 else 0

    @staticmethod
    def _row(*surprises: int) -> int:
        return FIRST + 1 + min(len(DECAYS) - 1, sum(map(abs, surprises)))


def _places(levels: np.ndarray) -> Iterator[Place]:
    """Of all levels [C, blocks, bands], in their order in the stream."""
    for index in range(levels.shape[1]):
        other, other_before = None, None
        for channel in levels:
            block, before = channel[index], channel[index - 1] if index else None
            for band in range(levels.shape[2]):
                yield Place(band, block, before, other, other_before)
            other, other_before = block, before


def encode_envelope(levels: np.ndarray) -> bytes:
    """Levels [C, blocks, bands] of a packet."""
    predictions, rows = zip(*(place.expected() for place in _places(levels)))
    symbols = (levels.transpose(1, 0, 2).reshape(-1) - np.array(predictions)) % LEVELS
    coder = RangeEncoder()
    coder.push(symbols, COUNTS[list(rows)])
    return coder.finish()


def decode_envelope(data: bytes, channels: int, blocks: int, bands: int) -> np.ndarray:
    """Levels [C, blocks, bands] of a packet; BitstreamError if the bytes cannot be theirs."""
    levels, coder = np.zeros((channels, blocks, bands), np.int32), RangeDecoder(data)
    for place in _places(levels):
        prediction, row = place.expected()
        place.block[place.band] = (prediction + int(coder.pull(COUNTS[row][None])[0])) % LEVELS
    coder.finish()
    return levels
