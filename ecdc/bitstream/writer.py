"""Writes a version 1 stream: header, packets, index, end; never seeks."""

from __future__ import annotations

import zlib
from typing import Mapping

from ..errors import BitstreamError
from .header import Header
from .sections import End, Index, Packet, Tags, pack_end, pack_index, pack_packet, pack_tags

MAX_INDEX = 1 << 16


class StreamWriter:
    """Each method returns the bytes that come next."""

    def __init__(self, header: Header):
        self.header = header
        self.position = 0
        self.offset = 0
        self.checksum = 0
        self.index: list[tuple[int, int]] = []
        self.index_step = 1
        self.packets = 0
        self.key_packets = 0

    def _count(self, data: bytes) -> bytes:
        self.offset += len(data)
        self.checksum = zlib.crc32(data, self.checksum)
        return data

    def start(self, tags: Mapping[str, str]) -> bytes:
        data = self.header.pack()
        return self._count(data + pack_tags(Tags(dict(tags))) if tags else data)

    def packet(self, payload: bytes, frames: int, *, key: bool, last: bool = False, plain: bool = False) -> bytes:
        if key:
            self._remember()
        packet = Packet(payload, frames, self.position, key, last, plain)
        self.position += frames
        self.packets += 1
        return self._count(pack_packet(packet, self.header.packet_frames))

    def _remember(self) -> None:
        # Entries are thinned out as they grow many, so that an endless stream needs no endless memory.
        if self.key_packets % self.index_step == 0:
            self.index.append((self.position, self.offset))
        self.key_packets += 1
        if len(self.index) >= MAX_INDEX:
            self.index = self.index[::2]
            self.index_step *= 2

    def finish(self, samples: int) -> bytes:
        """Index and end; `samples` per channel at the source's rate."""
        if self.header.samples not in (None, samples):
            raise BitstreamError(f"the header promises {self.header.samples} samples, {samples} came")
        index = self._count(pack_index(Index(self.index))) if len(self.index) > 1 else b""
        return index + self._count(pack_end(End(samples, self.checksum, len(index))))
