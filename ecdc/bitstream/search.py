"""Looks through damaged bytes for the next good section."""

from __future__ import annotations

import binascii
import heapq
import re
import zlib
from typing import NamedTuple

from ..errors import BitstreamError
from .cursor import Cursor, Incomplete
from .header import Header
from .sections import (
    END,
    END_BODY,
    KEY_PACKET,
    PACKET,
    SMALL_BODY,
    TYPE,
    Raw,
    packed_size,
    packet_limit,
    parse_packet,
    take_section,
)

# Continuing packets that may be missing before one whose checksum is right for its place: each more that is tried
# makes it likelier that a damaged one is taken for good.
MISSING = 16
# So many are believed of a checksum of 16 bits alone; more if the section behind is good, too.
BELIEVED = 2
# Long packets have 32 bits, but each place that is tried reads them again.
TRIED_LONG = 3
# A key packet that claims a longer gap than this (in seconds) is not believed.
LONGEST_GAP = 24 * 3600
LONGEST_HEAD = 16
PACKETS = b"".join(re.escape(bytes([flags | kind])) for flags in range(0, 256, 16) for kind in (PACKET, KEY_PACKET))
STARTS = re.compile(b"[" + PACKETS + b"]|" + bytes([END]) + rb"(?:\x10|\Z)")


class Found(NamedTuple):
    """A good section: its offset in the buffer, and the frames before it, if it is a packet."""

    offset: int
    position: int
    raw: Raw


class Search:
    """Every place where a section may begin is a candidate, judged once, when its last byte has come.

    So none is waited for, and the first that is complete and good is found, whatever sizes are pushed. `position`:
    frames before the damage. `sure`: believe no section unless the one behind it is good.
    """

    def __init__(self, header: Header, position: int, sure: bool = False):
        self.header, self.position, self.sure = header, position, sure
        self.limit = packet_limit(header)
        self._dropped, self._next = 0, 1
        self._waiting: list[tuple[int, int]] = []
        self._places: dict[int, dict[int, int]] = {}

    def find(self, buffer: bytearray, closed: bool) -> Found | None:
        """`buffer` begins with the damaged section, or with what `trim` has left of it."""
        for match in STARTS.finditer(buffer, self._next - self._dropped):
            start = match.start()
            if (found := self._judged(buffer, start)) is not None:
                self._next = start + self._dropped
                return found
            try:
                size = self._size(buffer, start)
            except Incomplete:
                if not closed:
                    self._next = start + self._dropped
                    return self._judged(buffer, len(buffer))
                continue
            if size:
                heapq.heappush(self._waiting, (start + size + self._dropped, start + self._dropped))
        self._next = len(buffer) + self._dropped
        return self._judged(buffer, len(buffer))

    def trim(self, buffer: bytearray) -> None:
        """Forget bytes whose candidates have all been judged."""
        decided = self._next - self._dropped - 2 * (self.limit + LONGEST_HEAD)
        if decided > self.limit + LONGEST_HEAD:
            del buffer[:decided]
            self._dropped += decided

    def _size(self, buffer: bytearray, start: int) -> int:
        """Bytes of the section that may begin here, 0 if none can."""
        kind, behind = buffer[start] & TYPE, start + 2
        if behind > len(buffer):
            raise Incomplete
        length = buffer[start + 1]
        if length >= 0x80:
            try:
                cursor = Cursor(buffer, start + 1)
                length, behind = cursor.varint(), cursor.position
            except BitstreamError:
                return 0
        if length > self.limit or (kind == END and length != END_BODY):
            return 0
        return behind - start + length + (2 if kind == PACKET and length <= SMALL_BODY else 4)

    def _judged(self, buffer: bytearray, end: int) -> Found | None:
        """The first good one of the candidates that are complete before `end`."""
        while self._waiting and self._waiting[0][0] - self._dropped <= end:
            known, start = heapq.heappop(self._waiting)
            start -= self._dropped
            found = self._good(buffer, start)
            if found is None:
                continue
            if not self._needs_more(found):
                return found
            behind = start + found.raw.size
            if known - self._dropped > behind:
                if self._follows(buffer, behind, found):
                    return found
                continue
            # Judged again when the section behind it is complete.
            heapq.heappush(self._waiting, (self._end_behind(buffer, behind) + self._dropped, start + self._dropped))
        return None

    def _end_behind(self, buffer: bytearray, behind: int) -> int:
        try:
            return behind + max(1, self._size(buffer, behind)) if behind < len(buffer) else behind + 3
        except Incomplete:
            return len(buffer) + 1

    def _needs_more(self, found: Found) -> bool:
        if self.sure:
            return True
        missing = (found.position - self.position) // self.header.packet_frames
        short = found.raw.tag & TYPE == PACKET and len(found.raw.body) <= SMALL_BODY
        return short and missing >= BELIEVED

    def _follows(self, buffer: bytearray, behind: int, found: Found) -> bool:
        frames = parse_packet(found.raw, self.header.packet_frames, found.position).frames
        try:
            head = bytes(buffer[behind : behind + self.limit + LONGEST_HEAD])
            take_section(head, self.limit, found.position + frames)
        except (BitstreamError, Incomplete):
            return False
        return True

    def _good(self, buffer: bytearray, start: int) -> Found | None:
        kind = buffer[start] & TYPE
        if kind == END and self.sure:
            return None
        data = bytes(buffer[start : start + self._size(buffer, start)])
        if kind != PACKET and zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
            return None
        for position in self._positions(data) if kind == PACKET else (self.position,):
            try:
                raw = take_section(data, self.limit, position)
                if kind == END:
                    return Found(start, position, raw)
                if kind == KEY_PACKET:
                    position = Cursor(raw.body).varint()
                return Found(start, position, raw) if self._possible(raw, position) else None
            except (BitstreamError, Incomplete):
                continue
        return None

    def _positions(self, data: bytes) -> list[int]:
        """Frames before the continuing packet `data` for which its checksum may be right.

        Short ones have a CRC-16, which is affine: that of the place and that of the bytes add up.
        """
        frames = self.header.packet_frames
        if data[1] & 0x80:
            # A body of 128 bytes or more: three bytes of head, or a long packet.
            length = Cursor(data, 1).varint()
            if length > SMALL_BODY:
                return [self.position + count * frames for count in range(TRIED_LONG)]
        size = len(data) - 2
        if size not in self._places:
            zeros = bytes(size)
            places = ((self.position + count * frames).to_bytes(8, "little") for count in range(MISSING))
            self._places[size] = {
                binascii.crc_hqx(zeros, binascii.crc_hqx(place, 0xFFFF)): count for count, place in enumerate(places)
            }
        rest = binascii.crc_hqx(data[:-2], 0) ^ int.from_bytes(data[-2:], "little")
        count = self._places[size].get(rest)
        return [] if count is None else [self.position + count * frames]

    def _possible(self, raw: Raw, position: int) -> bool:
        header = self.header
        packet = parse_packet(raw, header.packet_frames, position)
        gap = position - self.position
        if not 0 <= gap * header.hop_length <= LONGEST_GAP * header.sample_rate:
            return False
        plain = packet.plain or not header.entropy
        return not plain or len(packet.payload) >= packed_size(header.n_codebooks, packet.frames, header.bits_per_code)
