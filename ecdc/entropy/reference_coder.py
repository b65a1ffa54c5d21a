"""The range coder itself, in whole numbers: what the format means, and what codes where constriction does not install.

Words of 32 bits, a state of 64, probabilities of 24 (docs/FORMAT.md). All but the scaling of the
counts is arithmetic of Python's integers; that one takes single operations of float64.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np

from ..errors import BitstreamError

WORD_BITS, STATE_BITS, PROBABILITY_BITS = 32, 64, 24
WORDS, STATES, WHOLE = 1 << WORD_BITS, 1 << STATE_BITS, 1 << PROBABILITY_BITS
LEAST_RANGE = 1 << (STATE_BITS - WORD_BITS)


def _limits(counts: np.ndarray) -> np.ndarray:
    """Where each symbol's part of WHOLE begins, and the last one's ends: [N, size + 1] int64 for counts [N, size]."""
    size = counts.shape[1]
    sums = np.cumsum(counts, 1)
    # Each symbol has 1 of WHOLE for itself; the rest is shared by the counts.
    shared = sums[:, :-1] * ((WHOLE - size) / sums[:, -1:])
    limits = np.zeros((len(counts), size + 1), np.int64)
    limits[:, 1:-1] = shared.astype(np.int64) + np.arange(1, size)
    limits[:, -1] = WHOLE
    return limits


class Encoder:
    """`lower` is the coded number so far without the words that are settled; its carry runs back into those."""

    def __init__(self) -> None:
        self._lower, self._range = 0, STATES - 1
        self._words: list[int] = []

    def push(self, symbols: np.ndarray, counts: np.ndarray) -> None:
        limits, rows = _limits(counts), np.arange(len(counts))
        for first, end in zip(limits[rows, symbols].tolist(), limits[rows, symbols + 1].tolist()):
            scale = self._range >> PROBABILITY_BITS
            self._range = scale * (end - first)
            self._add(scale * first)
            if self._range < LEAST_RANGE:
                self._words.append(self._lower >> WORD_BITS)
                self._lower = self._lower % WORDS << WORD_BITS
                self._range <<= WORD_BITS

    def words(self) -> list[int]:
        """All words of 32 bits: the shortest that no continuation leads out of the range, as constriction ends."""
        if self._range == STATES - 1 and not self._words:
            return []
        lower, before = self._lower, list(self._words)
        self._add(LEAST_RANGE - 1)
        point, words = self._lower >> WORD_BITS, self._words
        self._lower, self._words = lower, before
        upper = ((lower + self._range) % STATES) >> WORD_BITS
        return [*words, point, 0] if upper == point else [*words, point]

    def _add(self, value: int) -> None:
        self._lower += value
        if self._lower >= STATES:
            self._lower -= STATES
            index = len(self._words) - 1
            while self._words[index] == WORDS - 1:
                self._words[index] = 0
                index -= 1
            self._words[index] += 1


class Decoder:
    """Raises BitstreamError where words point beyond all symbols."""

    def __init__(self, words: np.ndarray):
        self._words, self._next = words.tolist(), 2
        first, second = [*self._words[:2], 0, 0][:2]
        # Where in the range the words point, seen from its lower end.
        self._offset, self._range = first << WORD_BITS | second, STATES - 1

    def pull(self, counts: np.ndarray) -> np.ndarray:
        symbols = [self._pull(row) for row in _limits(counts)]
        return np.array(symbols, np.int32)

    def _pull(self, limits: np.ndarray) -> int:
        scale = self._range >> PROBABILITY_BITS
        quantile = self._offset // scale
        if quantile >= WHOLE:
            raise BitstreamError("damaged: its codes cannot be decoded")
        symbol = bisect_right(limits, quantile) - 1
        first, end = int(limits[symbol]), int(limits[symbol + 1])
        self._offset -= scale * first
        self._range = scale * (end - first)
        if self._range < LEAST_RANGE:
            word = self._words[self._next] if self._next < len(self._words) else 0
            self._next += 1
            self._offset = self._offset << WORD_BITS | word
            self._range <<= WORD_BITS
        return symbol

    def maybe_exhausted(self) -> bool:
        """Whether the words can end here."""
        begun = self._range < STATES - 1
        return self._next >= len(self._words) and (not begun or self._offset < 2 * LEAST_RANGE - 1)
