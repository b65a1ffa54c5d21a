"""Finds good sections in a damaged stream."""

from __future__ import annotations

from ..errors import BitstreamError
from .cursor import Cursor, Incomplete
from .header import Header
from .parser import StreamParser
from .search import MISSING, Found, Search
from .sections import END, END_BODY, KEY_PACKET, PACKET, TYPE, Raw, take_section

# Packets that may come late, and be put right.
JITTER = 2


class Finder:
    """The next good section of what is in `buffer`, at or behind `position` (in frames).

    Behind damage these are key packets, which say where they stand, and continuing ones, whose checksum tells their
    place. Packets that come before their time are held until those before them come, or `jitter` others have come;
    those that come twice are dropped. `damaged`: how many times something was wrong.
    """

    def __init__(self, jitter: int = JITTER) -> None:
        self.parser, self.buffer = StreamParser(), bytearray()
        self.position = self.damaged = 0
        self.jitter = jitter
        self._context_lost = self._closed = False
        self._search: Search | None = None
        self._ahead: Search | None = None
        self._early: dict[int, Raw] = {}
        self._gap = 0

    @property
    def header(self) -> Header | None:
        return self.parser.header

    @property
    def known_header(self) -> Header:
        return self.parser.known_header

    def _header(self) -> None:
        # The parser takes the header and leaves what follows.
        while self.header is None and self.buffer:
            list(self.parser.push(bytes(self.buffer[:1])))
            del self.buffer[:1]
        if self.header is not None and self.header.version == 0:
            raise BitstreamError("version 0 of the format has no checksums: there is nothing to recover by")

    def _section(self) -> Raw | None:
        """The next good one, None if there is a gap before it; Incomplete if more bytes must come."""
        self._early = {position: raw for position, raw in self._early.items() if position >= self.position}
        if self.position in self._early:
            return self._early.pop(self.position)
        if not self.buffer:
            self._gave_up()
            return None
        return self._next() if self._search is None else self._found(self._search)

    def _next(self) -> Raw | None:
        """The section that stands here; where it is damaged, the search begins."""
        try:
            raw = self._taken(self.position)
        except Incomplete:
            return self._looked_ahead()
        self._ahead = None
        if raw is not None and (ahead := self._ahead_of(raw)):
            if ahead <= self.jitter * self.known_header.packet_frames and len(self._early) < self.jitter:
                self._hold(raw, self.position + ahead)
                return None
            if self._gave_up():
                return None
        if raw is not None:
            del self.buffer[: raw.size]
            return raw
        if self._moved():
            return None
        if self._gave_up():
            return None
        self.damaged += 1
        self._search = Search(self.known_header, self.position)
        return None

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

    def _ahead_of(self, raw: Raw) -> int:
        """Frames that are missing before a key packet, or before the end while packets are held."""
        if raw.tag & TYPE == END and self._early:
            return self.known_header.packet_frames * (self.jitter + 1)
        return _missing_before(raw, self.position)

    def _hold(self, raw: Raw, position: int) -> None:
        self._early[position] = raw
        del self.buffer[: raw.size]

    def _moved(self) -> bool:
        """Whether a good continuing packet stands here that belongs elsewhere: it is held, dropped, or behind a gap."""
        frames = self.known_header.packet_frames
        if not self.buffer or self.buffer[0] & TYPE != PACKET:
            return False
        for count in (*range(-self.jitter - 1, 0), *range(1, MISSING)):
            position = self.position + count * frames
            if position < 0 or (raw := self._taken(position)) is None:
                continue
            if count < 0 or position in self._early:
                del self.buffer[: raw.size]
            elif count <= self.jitter and len(self._early) < self.jitter:
                self._hold(raw, position)
            elif not self._gave_up():
                self._lose(position)
            return True
        return False

    def _gave_up(self) -> bool:
        """What the packets that are held have waited for does not come; False if none are held."""
        if self._early:
            self._lose(min(self._early))
        return bool(self._early)

    def _lose(self, position: int) -> None:
        self.damaged += 1
        self._gap, self._context_lost = position - self.position, True

    def _looked_ahead(self) -> Raw | None:
        """Two good sections behind one that is not complete show that it is damaged; Incomplete without them."""
        self._ahead = self._ahead or Search(self.known_header, self.position, sure=True)
        if (found := self._ahead.find(self.buffer, closed=False)) is None:
            raise Incomplete
        self._ahead = None
        self.damaged += 1
        return self._resumed(found)

    def _found(self, search: Search) -> Raw | None:
        """A good section further on."""
        found = search.find(self.buffer, self._closed)
        if found is not None:
            self._search = None
            return self._resumed(found)
        search.trim(self.buffer)
        if self._closed:
            self.buffer.clear()
            self._search = None
            return None
        raise Incomplete

    def _resumed(self, found: Found) -> Raw | None:
        del self.buffer[: found.offset]
        kind = found.raw.tag & TYPE
        if kind == END or found.position > self.position:
            self._context_lost = True
        if kind == PACKET and found.position > self.position:
            self._gap = found.position - self.position
            return None
        del self.buffer[: found.raw.size]
        return found.raw


def _missing_before(raw: Raw, position: int) -> int:
    """Frames between a position and a key packet."""
    if raw.tag & TYPE != KEY_PACKET:
        return 0
    try:
        return max(0, Cursor(raw.body).varint() - position)
    except (BitstreamError, Incomplete):
        return 0
