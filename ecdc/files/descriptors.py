"""Descriptors that may be non-blocking: reads wait for data, writes for room, and write everything."""

from __future__ import annotations

import contextlib
import io
import os
import re
import selectors
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, cast

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

INHERITED = re.compile(r"/(?:dev|proc/self)/fd/([0-9]{1,9})")
STANDARD = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}


class PatientFile(io.FileIO):
    """A file, pipe or terminal whose other side may have set it to O_NONBLOCK: the flag is shared."""

    def seekable(self) -> bool:
        """Not where all that is written is appended, as by `>>` of a shell, wherever one seeks."""
        return super().seekable() and not (self.writable() and appends(self.fileno()))

    def readinto(self, buffer: Any, /) -> int:
        while (count := super().readinto(buffer)) is None:
            wait_for(self, selectors.EVENT_READ)
        return count

    def write(self, data: Any, /) -> int:
        return write_all(super().write, data, lambda: wait_for(self, selectors.EVENT_WRITE))


@contextlib.contextmanager
def seekable(source: BinaryIO) -> Iterator[BinaryIO]:
    """The source itself, or a copy on disk of what a pipe brings, for what must be read twice."""
    if source.seekable():
        yield source
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(source, copy)
        copy.seek(0)
        yield cast(BinaryIO, copy)


def appends(descriptor: int) -> bool:
    """Whether writes go to the file's end."""
    return fcntl is not None and bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND)


def write_all(write: Callable[[Any], int | None], data: Any, wait: Callable[[], None]) -> int:
    """Write all of `data` by a function that may take a part of it, or None: nothing now, so `wait`."""
    rest = memoryview(data).cast("B")
    size = len(rest)
    while rest:
        count = write(rest)
        if count is None:
            wait()
        rest = rest[count or 0 :]
    return size


def wait_for(file: Any, event: int) -> None:
    """Return when the descriptor is ready for `event`; of a regular file, at once."""
    with selectors.DefaultSelector() as selector:
        try:
            selector.register(file, event)
        except PermissionError:
            return
        selector.select()


class Patient:
    """A caller's raw file object, which may say None for "nothing now" and take a part of what is written."""

    def __init__(self, file: BinaryIO):
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, count: int = -1, /) -> bytes:
        while (data := cast("bytes | None", self._file.read(count))) is None:
            wait_for(self._file, selectors.EVENT_READ)
        return data

    def write(self, data: Any, /) -> int:
        return write_all(self._file.write, data, lambda: wait_for(self._file, selectors.EVENT_WRITE))


def patient(file: BinaryIO) -> BinaryIO:
    """The file object, or for a raw one what waits for it; others wait, and write everything, by themselves."""
    return cast(BinaryIO, Patient(file)) if isinstance(file, io.RawIOBase) else file


def inherited(path: str) -> int | None:
    """The number of the descriptor that a path such as /dev/stdout or /dev/fd/63 names."""
    found = INHERITED.fullmatch(path)
    return int(found[1]) if found else STANDARD.get(path)


def reading(descriptor: int) -> BinaryIO:
    """The descriptor, which stays open, as a buffered file that waits."""
    return io.BufferedReader(PatientFile(descriptor, "rb", closefd=False))


def writing(descriptor: int) -> BinaryIO:
    """The descriptor, which stays open, as a file without a buffer that waits and writes everything."""
    return cast(BinaryIO, PatientFile(descriptor, "wb", closefd=False))
