"""File objects for libsndfile, which calls them from C, where an exception would be printed and lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, BinaryIO


class Guard:
    """Keeps the first OSError of a file for `check`; libsndfile hears that nothing was read or written."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._error: OSError | None = None

    def check(self) -> None:
        """Raises the OSError that libsndfile could not pass on."""
        if self._error is not None:
            raise self._error

    def _guarded(self, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return 0 if self._error or self._file.closed else call(*arguments)
        except OSError as error:
            self._error = error
            return 0

    def readinto(self, buffer: Any) -> Any:
        return self._guarded(self._file.readinto, buffer)  # type: ignore[attr-defined]

    def read(self, count: int = -1) -> Any:
        return self._guarded(self._file.read, count) or b""

    def write(self, data: Any) -> Any:
        return self._guarded(self._file.write, data)

    def seek(self, offset: int, whence: int = 0) -> Any:
        return self._guarded(self._file.seek, offset, whence)

    def tell(self) -> Any:
        return self._guarded(self._file.tell)
