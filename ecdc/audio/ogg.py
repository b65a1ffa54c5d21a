"""Pages of Ogg: where a chained file's links begin, and whether all pages are there."""

from __future__ import annotations

import zlib

from .parts import Part
from .window import Window

FIRST, LAST = 2, 4
HEADER = 27
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def checksum(page: bytes) -> int:
    """Ogg's CRC-32: zlib's with all bits the other way round, and no inversion."""
    mirrored = ~zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) & 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


class _Link:
    """Pages of streams that begin together: the state of each by its serial number."""

    def __init__(self, start: int):
        self.start, self.fault = start, ""
        self.open: dict[int, int] = {}
        self.serials: set[int] = set()
        self.begun = False

    def page(self, page: bytes) -> None:
        flags = page[5]
        serial, number = int.from_bytes(page[14:18], "little"), int.from_bytes(page[18:22], "little")
        if not flags & FIRST:
            self.begun = True
            if serial in self.open and number != self.open[serial] + 1:
                self.say("pages are missing")
        self.serials.add(serial)
        self.open[serial] = number
        if flags & LAST:
            self.open.pop(serial)

    def say(self, fault: str) -> None:
        """Remember the first fault."""
        self.fault = self.fault or fault

    def part(self, end: int) -> Part:
        if self.open:
            self.say("cut off")
        return Part(self.start, end, fault=self.fault)


def ogg_parts(file: Window) -> list[Part]:
    """A part for each link of a file that begins with a page."""
    parts: list[Part] = []
    link, position = _Link(0), 0
    while position < len(file):
        head = file.at(position, HEADER + 255)
        if head[:4] != b"OggS":
            found = _next_page(file, position)
            # Bytes behind the last page may be a tag.
            if found < len(file) or link.open:
                link.say("damaged" if found < len(file) else "cut off")
            position = found
            continue
        size = HEADER + head[26] + sum(head[HEADER : HEADER + head[26]]) if len(head) > 26 else HEADER
        page = file.at(position, size)
        if len(page) < size:
            link.say("cut off")
            break
        if checksum(page[:22] + bytes(4) + page[26:]) != int.from_bytes(page[22:26], "little"):
            link.say("damaged")
        elif page[5] & FIRST and (link.begun or not link.open) and link.serials:
            parts.append(link.part(position))
            link = _Link(position)
        link.page(page)
        position += size
    return [*parts, link.part(len(file))]


def _next_page(file: Window, position: int) -> int:
    while position < len(file):
        data = file.at(position, 1 << 16)
        found = data.find(b"OggS")
        if found >= 0:
            return position + found
        position += max(1, len(data) - 3)
    return len(file)
