"""constriction's range coder, called as the reference is, with its failures made ordinary errors."""

from __future__ import annotations

import constriction
import numpy as np

from ..errors import BitstreamError

# Always this family with float64 rows: other settings and types give other streams.
FAMILY = constriction.stream.model.Categorical(perfect=False)


class Encoder:
    def __init__(self) -> None:
        self._coder = constriction.stream.queue.RangeEncoder()

    def push(self, symbols: np.ndarray, counts: np.ndarray) -> None:
        self._coder.encode(np.ascontiguousarray(symbols, np.int32), FAMILY, counts)

    def words(self) -> np.ndarray:
        words: np.ndarray = self._coder.get_compressed()
        return words


class Decoder:
    def __init__(self, words: np.ndarray):
        self._coder = constriction.stream.queue.RangeDecoder(words)

    def pull(self, counts: np.ndarray) -> np.ndarray:
        try:
            symbols: np.ndarray = self._coder.decode(FAMILY, counts)
            return symbols
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:
            # A failed assertion, or a panic of the Rust code, which is no Exception.
            raise BitstreamError("damaged: its codes cannot be decoded") from error

    def maybe_exhausted(self) -> bool:
        return bool(self._coder.maybe_exhausted())
