"""Reads a stream from pieces of any size, checking everything that can be checked without a model."""

from __future__ import annotations

import zlib
from typing import BinaryIO, Callable, Iterator, Optional

from ..errors import BitstreamError
from .cursor import Incomplete
from .header import MAGIC, Header, parse_header
from .sections import (END, INDEX, KEY_PACKET, PACKET, SKIPPABLE, TAGS, TYPE, End, Packet, Raw, Section, parse_end,
                       packed_size, packet_limit, parse_index, parse_packet, parse_tags, take_section)
from .version0 import CodedReader, Version0Reader, parse_header0

PIECE = 1 << 18


def pieces(file: BinaryIO) -> Iterator[bytes]:
    """What a file object or a pipe holds, as it comes."""
    read = getattr(file, "read1", file.read)
    while data := read(PIECE):
        yield data


class StreamParser:
    """Push bytes, get sections. `header` is None until it has come; counters are there for reports.

    Streams of version 0 give packets and an end as those of version 1 do. `coded` makes
    what reads their codes if they need a language model; without it such a stream gives
    no packets, and `opaque` is true.
    """

    def __init__(self, coded: Optional[Callable[[Header], CodedReader]] = None) -> None:
        self.coded = coded
        self.version0: Optional[Version0Reader] = None
        self.buffer = bytearray()
        self.header: Optional[Header] = None
        self.header_bytes = 0
        self.ended = False
        self.position = 0
        self.packets = 0
        self.key_packets = 0
        self.payload_bytes = 0
        self.plain_bytes = 0
        self.bytes = 0
        self._checksum = 0
        self._jumped = False
        self._last_seen = False
        self.packet_limit = 0

    def push(self, data: bytes) -> Iterator[Section]:
        """The sections that are complete with `data`. The iterator must be used up before the next push."""
        self.buffer += data
        while self.buffer or self._may_need_no_bytes:
            if self.ended:
                raise BitstreamError("damaged: there is data after the end of the stream")
            try:
                if self.header is None:
                    self._header()
                    continue
                if self.version0 is not None:
                    yield from self._version0_packets()
                    continue
                section, size = self._section()
            except Incomplete:
                return
            self._consume(size)
            if section is not None:
                yield section

    def _header(self) -> None:
        old = len(self.buffer) > 4 and self.buffer[:4] == MAGIC and self.buffer[4] == 0
        self.header, self.header_bytes = parse_header0(self.buffer) if old else parse_header(self.buffer)
        self.packet_limit = packet_limit(self.header.packet_frames, self.header.n_codebooks,
                                          self.header.bits_per_code)
        self._consume(self.header_bytes)
        if old:
            self.version0 = Version0Reader(self.header, self.coded and self.header.entropy and
                                           self.coded(self.header) or None)

    @property
    def _may_need_no_bytes(self) -> bool:
        # What a language model foresees costs next to nothing: the bits at hand may hold more frames.
        return self.version0 is not None and not self.ended and not self.opaque

    @property
    def opaque(self) -> bool:
        return self.version0 is not None and self.version0.opaque

    def _version0_packets(self) -> Iterator[Section]:
        """The next packet, and after the last one the end."""
        if self.opaque:
            self._consume(len(self.buffer))
            return
        before = len(self.buffer)
        try:
            found = self.version0.next(self.buffer)
        except BitstreamError as error:
            raise BitstreamError(f"{self._where()}: {error}") from None
        finally:
            self.bytes += before - len(self.buffer)
        if found is None:
            raise Incomplete
        payload, frames = found
        yield self._counted(Packet(payload, frames, self.position, key=True, last=self.version0.ended, plain=True))
        if self.version0.ended:
            self.ended = True
            yield End(self.header.samples, 0, 0)

    def jump(self, position: int) -> None:
        """Go on with a key packet that has so many frames before it; the whole stream's checksum is then unknown."""
        self.buffer.clear()
        self.position, self._checksum, self._jumped = position, 0, True

    def close(self) -> None:
        """Say that no more bytes come; BitstreamError if the stream has not ended."""
        if self.bytes == 0 and not self.buffer:
            raise BitstreamError("the file is empty")
        if self.header is None:
            raise BitstreamError("cut off in its header")
        if not self.ended and not self.opaque:
            raise BitstreamError(f"cut off at {self._where()}")

    def _consume(self, size: int) -> None:
        self._checksum = zlib.crc32(self.buffer[:size], self._checksum)
        self.bytes += size
        del self.buffer[:size]

    def _where(self) -> str:
        seconds = self.position * self.header.hop_length / self.header.sample_rate
        return f"packet {self.packets + 1} ({seconds:.2f} s)"

    def _section(self) -> tuple[Optional[Section], int]:
        try:
            raw = take_section(self.buffer, self.packet_limit, self.position)
            return self._parse(raw), raw.size
        except BitstreamError as error:
            raise BitstreamError(f"{self._where()}: {error}") from None

    def _parse(self, raw: Raw) -> Optional[Section]:
        kind = raw.tag & TYPE
        if kind in (PACKET, KEY_PACKET):
            return self._packet(raw)
        if kind & SKIPPABLE:
            return None
        if raw.tag & ~TYPE or kind not in (TAGS, INDEX, END):
            raise BitstreamError("made by a newer ecdc: it is of an unknown kind")
        if kind == END:
            return self._end(parse_end(raw))
        return parse_tags(raw) if kind == TAGS else parse_index(raw)

    def _packet(self, raw: Raw) -> Packet:
        packet = parse_packet(raw, self.header.packet_frames, self.position)
        if self._last_seen:
            raise BitstreamError("damaged: it comes after the last packet")
        if self.packets == 0 and not packet.key:
            raise BitstreamError("out of place: the first packet of a stream must be a key packet")
        return self._counted(packet)

    def _counted(self, packet: Packet) -> Packet:
        self.position += packet.frames
        self.packets += 1
        self.key_packets += packet.key
        self.payload_bytes += len(packet.payload)
        self.plain_bytes += packed_size(self.header.n_codebooks, packet.frames, self.header.bits_per_code)
        self._last_seen = packet.last
        return packet

    def _end(self, end: End) -> End:
        if end.checksum != self._checksum and not self._jumped:
            raise BitstreamError("damaged: the checksum of the whole stream is wrong")
        if self.header.samples not in (None, end.samples):
            raise BitstreamError("damaged: header and end disagree about the length")
        self.ended = True
        return end
