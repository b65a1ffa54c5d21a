"""Calls of the native library: types of results, addresses of arrays, memory that may be wanting."""

from __future__ import annotations

import ctypes
import functools

import numpy as np

from .library import load

MAKERS = ("ecdc_network_new", "ecdc_stream_new", "ecdc_codebooks_new", "ecdc_lm_context_new", "ecdc_lm_context_copy")
COUNTERS = ("ecdc_stream_ready", "ecdc_range_encode")


def available() -> bool:
    """Whether there is a native library."""
    return load() is not None


@functools.cache
def library() -> ctypes.CDLL:
    """The library; only where it is available."""
    found = load()
    if found is None:
        raise RuntimeError("no native library: ask available() first")
    return declared(found)


def declared(found: ctypes.CDLL) -> ctypes.CDLL:
    """A build of the library, with the types of its results."""
    for name in MAKERS:
        getattr(found, name).restype = ctypes.c_void_p
    for name in COUNTERS:
        getattr(found, name).restype = ctypes.c_int64
    return found


def address(array: np.ndarray) -> ctypes.c_void_p:
    """Of its first element; the array lives as long as what is returned."""
    return array.ctypes.data_as(ctypes.c_void_p)


def made(pointer: int | None) -> ctypes.c_void_p:
    """What a maker gave; MemoryError if that was nothing."""
    if not pointer:
        raise MemoryError
    return ctypes.c_void_p(pointer)
