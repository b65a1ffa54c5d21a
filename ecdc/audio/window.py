"""A part of a file that behaves as a file of its own."""

from __future__ import annotations

import io
from typing import BinaryIO


class Window(io.RawIOBase):
    """The bytes `start` to `end` of a file that can seek; libraries take it as a whole file."""

    def __init__(self, file: BinaryIO | Window, start: int, end: int):
        self.file, self.start, self.end, self.position = file, start, end, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = (0, self.position, self.end - self.start)[whence]
        self.position = max(0, base + offset)
        return self.position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = max(0, min(len(buffer), self.end - self.start - self.position))
        self.file.seek(self.start + self.position)
        data = self.file.read(count)
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)

    def at(self, position: int, count: int) -> bytes:
        """`count` bytes from `position` on, fewer at the end."""
        self.file.seek(self.start + position)
        return self.file.read(max(0, min(count, self.end - self.start - position)))

    def __len__(self) -> int:
        return self.end - self.start
