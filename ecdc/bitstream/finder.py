"""Finds good sections in a damaged stream."""

from __future__ import annotations

from ..errors import BitstreamError
from .cursor import Incomplete
from .header import Header
from .parser import StreamParser
from .sections import END, END_BODY, KEY_PACKET, PACKET, TYPE, Raw, section_size, take_section

# Continuing packets that may be missing before one whose checksum is right for its place: each more that is tried
# makes it likelier that a damaged one is taken for good.
MISSING = 16


class Finder:
    """The next good section of what is in `buffer`, at or behind `position` (in frames).

    Behind damage these are key packets, which say where they stand, and continuing ones, whose checksum tells their
    place. `damaged`: how many times something was wrong.
    """

    def __init__(self) -> None:
        self.parser = StreamParser()
        self.buffer = bytearray()
        self.position = self.damaged = 0
        self._searching = self._context_lost = self._closed = False
        self._behind: int | None = None
        self._gap = 0

    @property
    def header(self) -> Header | None:
        return self.parser.header

    @property
    def known_header(self) -> Header:
        return self.parser.known_header

    def _header(self) -> None:
        # The parser takes the header and leaves what follows.
        for _ in self.parser.push(bytes(self.buffer[:1])):
            pass
        del self.buffer[:1]
        while self.header is None and self.buffer:
            list(self.parser.push(bytes(self.buffer[:1])))
            del self.buffer[:1]
        if self.header is not None and self.header.version == 0:
            raise BitstreamError("version 0 of the format has no checksums: there is nothing to recover by")

    def _next(self) -> Raw | None:
        """The section that stands here; where it is damaged, the search begins."""
        raw = self._taken(self.position)
        if raw is None:
            self._begin_search()
            return None
        del self.buffer[: raw.size]
        return raw

    def _taken(self, position: int) -> Raw | None:
        """The section here, if it is good; Incomplete if more bytes may come."""
        try:
            raw = take_section(self.buffer, self.parser.packet_limit, position)
        except BitstreamError:
            return None
        except Incomplete:
            if self._closed:
                return None
            raise
        return None if raw.tag & TYPE == END and len(raw.body) != END_BODY else raw

    def _begin_search(self) -> None:
        self.damaged += 1
        self._searching = True
        try:
            self._behind = section_size(self.buffer)
        except (BitstreamError, Incomplete):
            self._behind = None
        # Packets may be missing here, and this one be good.
        if not self._continued(range(1, MISSING)):
            self._skip(1)

    def _skip(self, count: int) -> None:
        del self.buffer[:count]
        if self._behind is not None:
            self._behind -= count

    def _found(self) -> Raw | None:
        """A good section further on: behind the damaged one any, elsewhere only a key packet or the end."""
        while self.buffer and self._searching:
            kind = self.buffer[0] & TYPE
            if kind in (KEY_PACKET, END) or self._behind == 0:
                if kind == PACKET:
                    # How many frames the damaged one had shows here.
                    self._continued(range(1, MISSING))
                elif (raw := self._taken(self.position)) is not None:
                    self._searching, self._context_lost = False, True
                    del self.buffer[: raw.size]
                    return raw
            if self._searching:
                self._skip(1)
        return None

    def _continued(self, missing: range) -> bool:
        """Whether a continuing packet stands here that so many packets before it are missing for."""
        if not self.buffer or self.buffer[0] & TYPE != PACKET:
            return False
        for count in missing:
            if self._taken(self.position + count * self.known_header.packet_frames) is not None:
                self._gap = count * self.known_header.packet_frames
                self._searching, self._context_lost = False, True
                return True
        return False
