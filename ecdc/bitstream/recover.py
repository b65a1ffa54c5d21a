"""Reads a damaged stream of version 1: what is good of it, and where how much is missing."""

from __future__ import annotations

from typing import Iterator, NamedTuple, Optional, Union

from ..errors import BitstreamError
from .cursor import Cursor, Incomplete
from .header import Header
from .parser import StreamParser
from .sections import (END, END_BODY, KEY_PACKET, PACKET, TAGS, TYPE, Packet, Raw, Section, parse_end, parse_packet,
                       parse_tags, section_size, take_section)

# A key packet that claims a longer gap than this (in seconds) is not believed.
LONGEST_GAP = 24 * 3600
# Continuing packets that may be missing before one whose checksum is right for its place: each more that is tried
# makes it likelier that a damaged one is taken for good.
MISSING = 16


class Lost(NamedTuple):
    """`frames` frames from `position` on that cannot be decoded."""

    position: int
    frames: int


class RecoveringParser:
    """Push bytes, get sections and, in their place, `Lost` stretches.

    After damage it goes on with the next key packet, which says where it stands, or with the
    next continuing one, whose checksum tells its place; so timing never slips. A damaged header
    cannot be done without.
    `ended`: whether the end section has come; `damaged`: how many times something was wrong.
    """

    def __init__(self) -> None:
        self.parser = StreamParser()
        self.buffer = bytearray()
        self.position = 0
        self.damaged = 0
        self.packets = 0
        self.bytes = 0
        self.ended = False
        self._searching = False
        self._context_lost = False
        self._behind: Optional[int] = None
        self._closed = False
        self._gap = 0

    @property
    def header(self) -> Optional[Header]:
        return self.parser.header

    def push(self, data: bytes) -> Iterator[Union[Section, Lost]]:
        self.buffer += data
        self.bytes += len(data)
        if self.header is None:
            self._header()
        while self.header is not None and self.buffer and not self.ended:
            if self._gap:
                gap, self._gap = self._gap, 0
                yield self._lost(gap)
            try:
                found = self._found() if self._searching else self._next()
            except Incomplete:
                return
            if found is not None:
                yield from self._placed(found)

    def close(self) -> Iterator[Union[Section, Lost]]:
        """Say that no more bytes come: what is left in the buffer is looked through to its end."""
        self._closed = True
        if self.header is None:
            self.parser.close()
        yield from self.push(b"")
        if not self.ended:
            self.damaged += 1

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

    def _next(self) -> Optional[Raw]:
        """The section that stands here; where it is damaged, the search begins."""
        raw = self._taken(self.position)
        if raw is None:
            self._begin_search()
            return None
        del self.buffer[:raw.size]
        return raw

    def _taken(self, position: int) -> Optional[Raw]:
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

    def _found(self) -> Optional[Raw]:
        """A good section further on: behind the damaged one any, elsewhere only a key packet or the end."""
        while self.buffer and self._searching:
            kind = self.buffer[0] & TYPE
            if kind in (KEY_PACKET, END) or self._behind == 0:
                if kind == PACKET:
                    # How many frames the damaged one had shows here.
                    self._continued(range(1, MISSING))
                elif (raw := self._taken(self.position)) is not None:
                    self._searching, self._context_lost = False, True
                    del self.buffer[:raw.size]
                    return raw
            if self._searching:
                self._skip(1)
        return None

    def _continued(self, missing: range) -> bool:
        """Whether a continuing packet stands here that so many packets before it are missing for."""
        if not self.buffer or self.buffer[0] & TYPE != PACKET:
            return False
        for count in missing:
            if self._taken(self.position + count * self.header.packet_frames) is not None:
                self._gap = count * self.header.packet_frames
                self._searching, self._context_lost = False, True
                return True
        return False

    def _placed(self, raw: Raw) -> Iterator[Union[Section, Lost]]:
        kind = raw.tag & TYPE
        try:
            if kind == END:
                self.ended = True
                yield parse_end(raw)
            elif kind == TAGS and raw.tag == TAGS:
                yield parse_tags(raw)
            elif kind in (PACKET, KEY_PACKET):
                yield from self._packet(raw, kind == KEY_PACKET)
        except (BitstreamError, Incomplete):
            # Its checksum is right, but not what is in it.
            self.damaged += 1

    def _packet(self, raw: Raw, key: bool) -> Iterator[Union[Section, Lost]]:
        claimed = Cursor(raw.body).varint() if key else self.position
        packet = parse_packet(raw, self.header.packet_frames, claimed)
        if claimed < self.position:
            # Repeated, or taken for later than it is: its place has gone by.
            self.damaged += 1
            return
        gap = claimed - self.position
        if gap * self.header.hop_length > LONGEST_GAP * self.header.sample_rate:
            self.damaged += 1
            return
        if gap:
            yield self._lost(gap)
        if key:
            self._context_lost = False
        if self._context_lost and self.header.entropy:
            yield self._lost(packet.frames)
            return
        self.packets += 1
        self.position += packet.frames
        yield packet

    def _lost(self, frames: int) -> Lost:
        lost = Lost(self.position, frames)
        self.position += frames
        return lost
