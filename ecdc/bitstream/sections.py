"""Sections, of which a stream consists after its header (docs/FORMAT.md, "Sections").

A section is a tag byte, the body's length, the body, and a checksum of all three.
"""

from __future__ import annotations

import binascii
import zlib
from dataclasses import dataclass, field
from typing import NamedTuple, Optional, Union

from ..errors import BitstreamError
from .cursor import MAX_VARINT_BYTES, Cursor, Incomplete, text, varint
from .header import Header

PACKET, KEY_PACKET, TAGS, INDEX, END = 1, 2, 3, 4, 5
TYPE = 0x0F
SKIPPABLE = 0x08
SHORT, LAST, PLAIN, SCALED = 0x10, 0x20, 0x40, 0x80

MAX_TAGS = 1 << 16
MAX_BODY = 1 << 24
# A continuing packet this small has a 16-bit checksum: in a live stream every byte counts.
SMALL_BODY = 255
END_BODY = 16
# More than a block of a channel's envelope can take, which is never shorter than a frame.
ENVELOPE_BLOCK = 64


class Packet(NamedTuple):
    """`frames` frames of codes as `payload`; `position`: frames before it.

    A key packet depends on no packet before it; `last`: its last frame may be padding;
    `plain`: packed plainly in a stream that has another entropy coder; `scaled`: it has a scale
    although its model does not normalise.
    """

    payload: bytes
    frames: int
    position: int
    key: bool
    last: bool = False
    plain: bool = False
    scaled: bool = False


@dataclass(frozen=True)
class Tags:
    values: dict[str, str] = field(default_factory=dict)


class Index(NamedTuple):
    """(frames before, byte offset in the stream) of key packets."""

    entries: list[tuple[int, int]]


class End(NamedTuple):
    """`samples` per channel at the source's rate; `checksum` of all bytes before; index from here, 0: none."""

    samples: int
    checksum: int
    index_distance: int


class Raw(NamedTuple):
    """A section taken off the wire, its checksum right; `size`: all its bytes."""

    tag: int
    body: bytes
    size: int


def _checksum(tag: int, data: bytes, body_length: int, position: int) -> bytes:
    if tag & TYPE != PACKET:
        return zlib.crc32(data).to_bytes(4, "little")
    # A continuing packet does not say where it stands; its checksum knows, so that none goes missing unnoticed.
    data = position.to_bytes(8, "little") + data
    if body_length <= SMALL_BODY:
        return binascii.crc_hqx(data, 0xFFFF).to_bytes(2, "little")
    return zlib.crc32(data).to_bytes(4, "little")


def pack_section(tag: int, body: bytes, position: int = 0) -> bytes:
    """`position`: frames before a packet."""
    data = bytes([tag]) + varint(len(body)) + body
    return data + _checksum(tag, data, len(body), position)


def take_section(buffer: Union[bytes, bytearray], packet_limit: int, position: int = 0) -> Raw:
    """The section at the front of `buffer`; Incomplete if more bytes must come.

    `position`: frames before it, which the checksum of a continuing packet depends on.
    `packet_limit`: the most bytes a packet's body can have. Without it, a live stream
    with one damaged length would be waited on for megabytes.
    """
    cursor = Cursor(buffer)
    tag, length = cursor.integer(1), cursor.varint()
    if length > (packet_limit if tag & TYPE in (PACKET, KEY_PACKET) else MAX_BODY):
        raise BitstreamError("damaged: it claims an impossible length")
    start = cursor.position
    end = start + length
    size = end + len(_checksum(tag, b"", length, 0))
    if len(buffer) < size:
        raise Incomplete
    if _checksum(tag, bytes(buffer[:end]), length, position) != bytes(buffer[end:size]):
        raise BitstreamError("damaged: its checksum is wrong")
    return Raw(tag, bytes(buffer[start:end]), size)


def section_size(head: bytes) -> int:
    """Bytes of the whole section that begins with `head`."""
    cursor = Cursor(head)
    tag, length = cursor.integer(1), cursor.varint()
    if length > MAX_BODY:
        raise BitstreamError("damaged: it claims an impossible length")
    return cursor.position + length + len(_checksum(tag, b"", length, 0))


def parse_packet_start(head: bytes, packet_frames: int) -> tuple[int, int]:
    """(frames before, frames) of the packet that begins with `head`; frames before are 0 unless it is a key packet."""
    cursor = Cursor(head)
    tag = cursor.integer(1)
    cursor.varint()
    before = cursor.varint() if tag & TYPE == KEY_PACKET else 0
    return before, cursor.varint() if tag & SHORT else packet_frames


def pack_packet(packet: Packet, packet_frames: int) -> bytes:
    tag = KEY_PACKET if packet.key else PACKET
    body = varint(packet.position) if packet.key else b""
    if packet.frames != packet_frames:
        tag |= SHORT
        body += varint(packet.frames)
    tag |= LAST if packet.last else 0
    tag |= PLAIN if packet.plain else 0
    tag |= SCALED if packet.scaled else 0
    return pack_section(tag, body + packet.payload, packet.position)


def packed_size(n_codebooks: int, frames: int, bits: int) -> int:
    """Bytes that plain packing takes."""
    return -(-n_codebooks * frames * bits // 8)


def packet_limit(header: Header) -> int:
    """The most bytes that a packet's body can have: plain packing, a scale for every frame, an envelope, its own fields."""
    frames = header.packet_frames
    envelope = ENVELOPE_BLOCK * header.channels * frames if header.envelope_frames else 0
    return packed_size(header.n_codebooks, frames, header.bits_per_code) + 4 * frames + envelope + 3 * MAX_VARINT_BYTES


def parse_packet(raw: Raw, packet_frames: int, position: int) -> Packet:
    """`position`: where the packet must stand, for a key packet says it too."""
    key = raw.tag & TYPE == KEY_PACKET
    cursor = Cursor(raw.body)
    try:
        if key and cursor.varint() != position:
            raise BitstreamError("out of place: packets before it are missing or repeated")
        frames = cursor.varint() if raw.tag & SHORT else packet_frames
    except Incomplete:
        raise BitstreamError("damaged: it is shorter than its own fields") from None
    if not 1 <= frames <= packet_frames:
        raise BitstreamError(f"damaged: it claims {frames} frames where {packet_frames} are the most")
    return Packet(cursor.rest, frames, position, key, bool(raw.tag & LAST), bool(raw.tag & PLAIN),
                  bool(raw.tag & SCALED))


def pack_envelope(coded: Optional[bytes]) -> bytes:
    """What a payload begins with in a stream that has envelopes: its length and 1, or 0 where the packet has none."""
    return varint(0) if coded is None else varint(1 + len(coded)) + coded


def split_envelope(payload: bytes) -> tuple[Optional[bytes], bytes]:
    """The coded envelope, or None, and the rest of the payload."""
    cursor = Cursor(payload)
    try:
        length = cursor.varint()
        return (cursor.take(length - 1) if length else None), cursor.rest
    except Incomplete:
        raise BitstreamError("damaged: it is too short for its envelope") from None


def pack_tags(tags: Tags) -> bytes:
    body = b"".join(text(key) + text(value) for key, value in tags.values.items())
    if len(body) > MAX_TAGS:
        raise BitstreamError(f"the tags take {len(body)} bytes, {MAX_TAGS} are the most")
    return pack_section(TAGS, body)


def parse_tags(raw: Raw) -> Tags:
    cursor, values = Cursor(raw.body), {}
    if len(raw.body) > MAX_TAGS:
        raise BitstreamError("damaged: its tags are longer than the format allows")
    try:
        while cursor.position < len(raw.body):
            key = cursor.text()
            values[key] = cursor.text()
    except Incomplete:
        raise BitstreamError("damaged: a tag has no end") from None
    return Tags(values)


def pack_index(index: Index) -> bytes:
    body, before = varint(len(index.entries)), (0, 0)
    for entry in index.entries:
        body += varint(entry[0] - before[0]) + varint(entry[1] - before[1])
        before = entry
    return pack_section(INDEX, body)


def parse_index(raw: Raw) -> Index:
    cursor, entries, frame, offset = Cursor(raw.body), [], 0, 0
    try:
        for _ in range(cursor.varint()):
            frame, offset = frame + cursor.varint(), offset + cursor.varint()
            entries.append((frame, offset))
    except Incomplete:
        raise BitstreamError("damaged: the index has no end") from None
    return Index(entries)


def pack_end(end: End) -> bytes:
    return pack_section(END, end.samples.to_bytes(8, "little") + end.checksum.to_bytes(4, "little") +
                        end.index_distance.to_bytes(4, "little"))


def parse_end(raw: Raw) -> End:
    if len(raw.body) != END_BODY:
        raise BitstreamError("damaged: the end section has a wrong length")
    cursor = Cursor(raw.body)
    return End(cursor.integer(8), cursor.integer(4), cursor.integer(4))


Section = Union[Packet, Tags, Index, End]
