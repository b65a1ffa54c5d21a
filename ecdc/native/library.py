"""Finds and loads the build of the native library that suits this processor."""

from __future__ import annotations

import ctypes
import functools
import os
from pathlib import Path

from ..errors import EcdcError

VARIABLE = "ECDC_NATIVE"
# From the plainest to the fastest; `ecdc_cpu_level` counts in the same way.
VARIANTS = ("baseline", "v3", "v4")


@functools.cache
def load() -> ctypes.CDLL | None:
    """The fastest build that this processor runs; None where none was built, or where ECDC_NATIVE=0 asks for none.

    Raises EcdcError if ECDC_NATIVE names a build that is not there, or that this processor cannot run.
    """
    asked = os.environ.get(VARIABLE, "")
    if asked == "0":
        return None
    if asked and asked not in VARIANTS:
        raise EcdcError(f"{VARIABLE} is {asked!r}: it can be 0, {', '.join(VARIANTS)}, or unset")
    built = variants()
    if asked and asked not in built:
        raise EcdcError(f"{VARIABLE}={asked}: this build is not installed, or this processor cannot run it")
    return _open(asked or built[-1]) if built else None


@functools.cache
def variants() -> tuple[str, ...]:
    """The builds that are installed and that this processor runs, from the plainest to the fastest."""
    try:
        level: int = _open(VARIANTS[0]).ecdc_cpu_level()
    except OSError:
        # None was built, or for another kind of machine that shares the folder.
        return ()
    return tuple(name for name in VARIANTS[: level + 1] if _path(name).is_file())


def engine_name() -> str:
    """What computes by default, in a few words: for `ecdc --version -v`."""
    asked = os.environ.get(VARIABLE, "")
    if asked == "0" or not variants():
        return "PyTorch and NumPy (no native library)"
    return f"native ({asked or variants()[-1]})"


def _path(variant: str) -> Path:
    return Path(__file__).parent / f"libecdc_{variant}.so"


def _open(variant: str) -> ctypes.CDLL:
    return ctypes.CDLL(str(_path(variant)))
