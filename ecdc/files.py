"""Output files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path
from typing import BinaryIO, Iterator, Union

from .errors import EcdcError

_unfinished: set[str] = set()


def discard_unfinished() -> None:
    """Remove what open outputs have written so far; for a signal handler, after which nothing else runs."""
    for path in _unfinished:
        with contextlib.suppress(OSError):
            os.unlink(path)


@contextlib.contextmanager
def open_output(path: Union[str, Path], overwrite: bool = True) -> Iterator[BinaryIO]:
    """Open a file for writing that replaces `path` only when the block ends without an error.

    Devices and named pipes are written to directly. Raises EcdcError if `path` exists
    and `overwrite` is false, OSError as `open` does.
    """
    path = Path(os.path.realpath(path))
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(path.stat().st_mode):
            with open(path, "wb") as file:
                yield file
            return
    _refuse(path, overwrite)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:64]}.", suffix=".part", dir=path.parent)
    _unfinished.add(temporary)
    try:
        with open(handle, "w+b") as file:
            yield file
        os.chmod(temporary, _mode(path))
        _refuse(path, overwrite)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    finally:
        _unfinished.discard(temporary)


def _refuse(path: Path, overwrite: bool) -> None:
    if not overwrite and path.exists():
        raise EcdcError("it already exists: -f overwrites it")


def _mode(path: Path) -> int:
    """The permissions of the file to be replaced, or those of a new one."""
    with contextlib.suppress(FileNotFoundError):
        return stat.S_IMODE(path.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
