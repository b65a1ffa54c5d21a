"""The exact language model and the range coder in the native library: the same bytes as `ReferenceSteps`."""

from __future__ import annotations

import ctypes
import functools
from typing import cast

import numpy as np

from ..errors import BitstreamError
from ..native.calls import address, available, library, made
from .language_model import LanguageModel
from .native_layout import Described
from .range_coder import WORD
from .steps import ReferenceSteps, Remembered, RowEncoder, Steps

WHOLE_RANGE, LEAST_RANGE = (1 << 64) - 1, 1 << 32
# What the library has room for, and types that it takes; other models run in NumPy.
WIDEST_HEAD = 64
BYTES = ("embed", "head.weight", "qkv.weight", "out.weight", "up.weight", "down.weight")
MOST_COUNT = 1 << 30


class _Decoder(ctypes.Structure):
    _fields_ = [
        ("words", ctypes.c_void_p),
        ("count", ctypes.c_int64),
        ("next", ctypes.c_int64),
        ("offset", ctypes.c_uint64),
        ("range", ctypes.c_uint64),
    ]


@functools.lru_cache(maxsize=4)
def steps_for(model: LanguageModel) -> Steps:
    """Native ones where the library is there and takes such a model; else those of NumPy."""
    return NativeSteps(model) if available() and _fits(model) else ReferenceSteps(model)


def _fits(model: LanguageModel) -> bool:
    tensors = model.tensors
    head = model.dimension // model.heads
    counts = tensors["count_table"]
    return (
        model.inner is None
        and head % 2 == 0
        and head <= WIDEST_HEAD
        and all(tensor.dtype == np.int8 for name, tensor in tensors.items() if name.endswith(BYTES))
        and tensors["positions"].dtype == np.int16
        and int(counts.max()) < MOST_COUNT
        and all(np.abs(tensor).max() < MOST_COUNT for name, tensor in tensors.items() if name.endswith("gelu"))
    )


class NativeContext:
    """A `Remembered`; `position`: frames so far."""

    def __init__(self, steps: NativeSteps, handle: ctypes.c_void_p, last: np.ndarray, position: int = 0):
        self.steps, self.handle, self.last, self.position = steps, handle, last, position
        self.library = steps.library

    def __del__(self) -> None:
        self.library.ecdc_lm_context_free(self.handle)

    def copy(self) -> NativeContext:
        handle = made(self.library.ecdc_lm_context_copy(self.steps.handle, self.handle))
        return NativeContext(self.steps, handle, self.last.copy(), self.position)

    def forward(self, frames: int) -> None:
        """Before so many frames more: BitstreamError where the model knows no further position."""
        if self.position + frames > self.steps.model.max_frames:
            raise BitstreamError(f"more than {self.steps.model.max_frames} frames without a key packet")
        self.position += frames


class NativeSteps:
    """`Steps` in the native library; threads may share it, each with contexts of its own."""

    # The caches of more would not stay in the processor's second level.
    together = 4

    def __init__(self, model: LanguageModel, build: ctypes.CDLL | None = None):
        """`build`: which of the library, by default the one for this processor."""
        self.model, self.library = model, build or library()
        self._described = Described(model)
        self.handle = ctypes.c_void_p(ctypes.addressof(self._described.filled))
        if not self.library.ecdc_lm_prepare(self.handle):
            raise MemoryError

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            self.library.ecdc_lm_release(self.handle)

    def start(self, batch: int, codebooks: int, frames: int) -> NativeContext:
        if codebooks > self.model.codebooks:
            raise BitstreamError(f"it has {codebooks} codebooks, its language model {self.model.codebooks}")
        made_here = self.library.ecdc_lm_context_new(self.handle, ctypes.c_int64(batch), ctypes.c_int64(frames))
        return NativeContext(self, made(made_here), np.zeros((batch, codebooks), np.int64))

    def advance(self, previous: np.ndarray, context: Remembered) -> np.ndarray:
        batch, codebooks, frames = previous.shape
        own = cast(NativeContext, context)
        if previous.size and not 0 <= previous.min() <= previous.max() <= self.model.codebook_size:
            raise BitstreamError("damaged: a code lies beyond its codebook")
        own.forward(frames)
        tokens = np.ascontiguousarray(previous.transpose(0, 2, 1), np.int32)
        hidden = np.empty((batch, frames, self.model.dimension))
        self._call(
            self.library.ecdc_lm_advance(
                self.handle,
                own.handle,
                address(tokens),
                ctypes.c_int64(frames),
                ctypes.c_int64(codebooks),
                address(hidden),
            )
        )
        return hidden

    @staticmethod
    def _call(done: int) -> None:
        if not done:
            raise MemoryError

    def counts(self, hidden: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return self._of_rows(self.library.ecdc_lm_counts, hidden, rows, np.float64)

    def bits(self, hidden: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return self._of_rows(self.library.ecdc_lm_bits, hidden, rows, np.float32)

    def _of_rows(self, function: ctypes._FuncPointer, hidden: np.ndarray, rows: np.ndarray, kind: type) -> np.ndarray:
        """[N, K, size] for hidden states [N, D] and codes [N, K], which say how many codebooks there are."""
        count, codebooks = rows.shape
        hidden = np.ascontiguousarray(hidden)
        found = np.empty((count, codebooks, self.model.codebook_size), kind)
        self._call(
            function(self.handle, address(hidden), ctypes.c_int64(count), ctypes.c_int64(codebooks), address(found))
        )
        return found

    def encoder(self) -> RowEncoder:
        return _NativeEncoder(self)

    def decode(self, payloads: list[bytes], frames: list[int], context: Remembered) -> np.ndarray:
        own = cast(NativeContext, context)
        words = [np.frombuffer(data + bytes(-len(data) % WORD), "<u4").astype(np.uint32) for data in payloads]
        coders = (_Decoder * len(words))(*map(_begun, words))
        lengths, longest, codebooks = np.array(frames, np.int64), max(frames), context.last.shape[1]
        own.forward(longest)
        tokens = np.ascontiguousarray(context.last, np.int32)
        codes = np.zeros((len(payloads), longest, codebooks), np.int32)
        state = self.library.ecdc_lm_decode(
            self.handle,
            own.handle,
            coders,
            address(lengths),
            ctypes.c_int64(longest),
            ctypes.c_int64(codebooks),
            address(tokens),
            address(codes),
        )
        if state < 0:
            raise BitstreamError("damaged: its codes cannot be decoded")
        self._call(state)
        if not all(map(_may_end, coders)):
            raise BitstreamError("damaged: there is data beyond its codes")
        context.last = tokens.astype(np.int64)
        return codes


class _NativeEncoder:
    def __init__(self, steps: NativeSteps):
        self.steps = steps
        self.parts: list[np.ndarray] = []

    def push(self, hidden: np.ndarray, rows: np.ndarray) -> None:
        count, codebooks = rows.shape
        hidden, symbols = np.ascontiguousarray(hidden), np.ascontiguousarray(rows, np.int32)
        parts = np.empty((count, codebooks, 2), np.int64)
        self.steps._call(
            self.steps.library.ecdc_lm_parts(
                self.steps.handle,
                address(hidden),
                ctypes.c_int64(count),
                ctypes.c_int64(codebooks),
                address(symbols),
                address(parts),
            )
        )
        self.parts.append(parts.reshape(-1, 2))

    def finish(self) -> bytes:
        parts = np.concatenate([np.empty((0, 2), np.int64), *self.parts])
        words = np.empty(len(parts) + 2, np.uint32)
        count = self.steps.library.ecdc_range_encode(address(parts), ctypes.c_int64(len(parts)), address(words))
        # Zeros at the end are left out, as the decoder puts them back.
        return words[:count].astype("<u4").tobytes().rstrip(b"\0")


def _begun(words: np.ndarray) -> _Decoder:
    first, second = [*words[:2].tolist(), 0, 0][:2]
    return _Decoder(words.ctypes.data, len(words), 2, first << 32 | second, WHOLE_RANGE)


def _may_end(coder: _Decoder) -> bool:
    begun = coder.range < WHOLE_RANGE
    return coder.next >= coder.count and (not begun or coder.offset < 2 * LEAST_RANGE - 1)
