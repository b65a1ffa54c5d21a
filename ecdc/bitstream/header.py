"""The header of a version 1 stream (docs/FORMAT.md, "Header")."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Optional, Union

from ..errors import BitstreamError
from .cursor import Cursor, Incomplete, text, varint

MAGIC = b"ECDC"
VERSION = 1
MAX_HEADER = 160
MAX_NAME = 64
FINGERPRINT = 8

# Index in the table is the byte in the stream; 0 stands for "written out".
MODELS = ("", "ecdc_24khz", "ecdc_48khz", "encodec_24khz", "encodec_48khz", "encodec_32khz")
RATES = (0, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000, 176400, 192000)
STREAMING, ENVELOPE = 0x01, 0x02
MAX_RATE = 10_000_000


@dataclass(frozen=True)
class Header:
    """What a reader needs before the first packet.

    `samples` (per channel, at `source_rate`) is None in a streaming header: the end
    section has it then. `entropy` is the entropy coder's id, `entropy_fingerprint`
    names its tables and is empty for a coder without any. Streams of version 0 have no
    fingerprints. `envelope_frames`: how many frames each block of a packet's envelope has; 0: there are none.
    """

    model: str
    fingerprint: bytes
    sample_rate: int
    channels: int
    hop_length: int
    bits_per_code: int
    n_codebooks: int
    packet_frames: int
    source_rate: int
    source_channels: int
    samples: Optional[int] = None
    entropy: int = 0
    entropy_fingerprint: bytes = b""
    envelope_frames: int = 0
    version: int = VERSION

    def pack(self) -> bytes:
        problem = self._problem()
        if problem:
            raise BitstreamError(f"cannot write a header: {problem}")
        fields = MAGIC + bytes([
            VERSION,
            (STREAMING if self.samples is None else 0) | (ENVELOPE if self.envelope_frames else 0) | self.entropy << 4,
            (self.channels - 1) | (self.source_channels - 1) << 2 | (self.bits_per_code - 1) << 4,
        ])
        fields += _pack_known(self.model, MODELS, text)
        fields += self.fingerprint
        fields += _pack_known(self.sample_rate, RATES, varint)
        fields += varint(self.hop_length) + varint(self.n_codebooks)
        fields += self.entropy_fingerprint
        fields += varint(self.packet_frames)
        if self.envelope_frames:
            fields += varint(self.envelope_frames)
        fields += _pack_known(self.source_rate, RATES, varint)
        if self.samples is not None:
            fields += varint(self.samples)
        return fields + zlib.crc32(fields).to_bytes(4, "little")

    def _problem(self) -> str:
        checks = {
            "channels": 1 <= self.channels <= 4 and 1 <= self.source_channels <= 4,
            "bits per code": 1 <= self.bits_per_code <= 16,
            "number of codebooks": 1 <= self.n_codebooks <= 255,
            "entropy coder": 0 <= self.entropy <= 15,
            "fingerprints": len(self.fingerprint) == FINGERPRINT and
                            len(self.entropy_fingerprint) == (FINGERPRINT if self.entropy else 0),
            "model name": 1 <= len(self.model.encode()) <= MAX_NAME and self.model.isprintable(),
            "hop length": 1 <= self.hop_length <= 65536,
            "packet length": 1 <= self.packet_frames <= 65536,
            "envelope": self.envelope_frames == 0 or 4 <= self.envelope_frames <= 1000,
            "rates": 1 <= self.sample_rate <= MAX_RATE and 1 <= self.source_rate <= MAX_RATE,
        }
        return ", ".join(f"impossible {name}" for name, good in checks.items() if not good)


def _pack_known(value, table, write) -> bytes:
    return bytes([table.index(value)]) if value in table[1:] else b"\0" + write(value)


def _read_known(cursor: Cursor, table, read):
    index = cursor.integer(1)
    if index >= len(table):
        raise BitstreamError("damaged: the header names an unknown model or rate")
    return table[index] if index else read()


def parse_header(buffer: Union[bytes, bytearray]) -> tuple[Header, int]:
    """The header at the front of `buffer` and its length; Incomplete if more bytes must come."""
    if bytes(buffer[:4]) != MAGIC[:len(buffer)]:
        raise BitstreamError("not an .ecdc file (it does not begin with ECDC)")
    cursor = Cursor(buffer, 4)
    version = cursor.integer(1)
    if version != VERSION:
        raise BitstreamError(f"written in version {version} of the format, this ecdc reads versions 0 and {VERSION}: "
                             "update ecdc, or the file is damaged")
    try:
        header = _parse_fields(cursor)
        checked = bytes(buffer[:cursor.position])
        crc = cursor.integer(4)
    except Incomplete:
        if len(buffer) >= MAX_HEADER:
            raise BitstreamError("damaged: the header has no end") from None
        raise
    if zlib.crc32(checked) != crc:
        raise BitstreamError("damaged: the header's checksum is wrong")
    problem = header._problem()
    if problem:
        raise BitstreamError(f"the header is no good: {problem}")
    return header, cursor.position


def _envelope_frames(cursor: Cursor) -> int:
    frames = cursor.varint()
    if frames == 0:
        raise BitstreamError("damaged: the header promises an envelope without frames")
    return frames


def _parse_fields(cursor: Cursor) -> Header:
    kind, layout = cursor.integer(1), cursor.integer(1)
    entropy = kind >> 4
    if kind & 0x0F & ~(STREAMING | ENVELOPE):
        raise BitstreamError("damaged, or made by a newer ecdc: the header has unknown flags")
    return Header(
        channels=(layout & 3) + 1,
        source_channels=(layout >> 2 & 3) + 1,
        bits_per_code=(layout >> 4) + 1,
        entropy=entropy,
        model=_read_known(cursor, MODELS, cursor.text),
        fingerprint=cursor.take(FINGERPRINT),
        sample_rate=_read_known(cursor, RATES, cursor.varint),
        hop_length=cursor.varint(),
        n_codebooks=cursor.varint(),
        entropy_fingerprint=cursor.take(FINGERPRINT if entropy else 0),
        packet_frames=cursor.varint(),
        envelope_frames=_envelope_frames(cursor) if kind & ENVELOPE else 0,
        source_rate=_read_known(cursor, RATES, cursor.varint),
        samples=None if kind & STREAMING else cursor.varint(),
    )
