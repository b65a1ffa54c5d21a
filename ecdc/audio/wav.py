"""WAV headers, for streams: read from and written to pipes, where no library can seek."""

from __future__ import annotations

import struct
from typing import BinaryIO, Mapping, NamedTuple, Optional

from ..errors import AudioError
from .pcm import FORMATS
from .tags import info_chunk, parse_info

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
UNKNOWN = 0xFFFFFFFF
# What tools write that do not know the length: 0, 2 GiB or 4 GiB, or a little less, rounded down to whole frames.
UNKNOWN_SIZES = (range(0, 1), range(0x7FFFF000, 0x80000001), range(0xFFFFF000, 0x100000000))
# Of a chunk that is looked into, no more than this is kept.
MAX_CHUNK = 1 << 16


class WavHeader(NamedTuple):
    """`data_bytes` is None where the header does not say how long the audio is."""

    sample_format: str
    samplerate: int
    channels: int
    data_bytes: Optional[int]
    tags: dict[str, str]


def is_wav(start: bytes) -> bool:
    return start[:4] in (b"RIFF", b"RF64") and start[8:12] == b"WAVE"


def read_exactly(file: BinaryIO, count: int) -> bytes:
    """`count` bytes, fewer only at the end of the file."""
    pieces, missing = [], count
    while missing:
        piece = file.read(missing)
        if not piece:
            break
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


def _skip(file: BinaryIO, count: int) -> None:
    while count > 0:
        piece = file.read(min(count, 1 << 16))
        if not piece:
            raise AudioError("its WAV header is cut off")
        count -= len(piece)


def read_wav_header(file: BinaryIO) -> Optional[WavHeader]:
    """Read up to the first sample; the first 12 bytes, which `is_wav` has seen, are already taken.

    Returns None for a kind of WAV other than plain PCM and float (the caller may know a
    library that reads it).
    """
    layout, long_data, tags = None, None, {}
    while True:
        chunk = read_exactly(file, 8)
        if len(chunk) < 8:
            raise AudioError("its WAV header is cut off")
        name, size = chunk[:4], int.from_bytes(chunk[4:], "little")
        if name == b"data":
            break
        body = read_exactly(file, min(size, MAX_CHUNK)) if name in (b"fmt ", b"ds64", b"LIST") else b""
        _skip(file, size + size % 2 - len(body))
        if name == b"fmt ":
            layout = _parse_fmt(body)
        elif name == b"ds64" and len(body) >= 16:
            long_data = int.from_bytes(body[8:16], "little")
        elif name == b"LIST":
            tags |= parse_info(body)
    if layout is None:
        return None
    if size == UNKNOWN and long_data:
        size = long_data
    elif any(size in sizes for sizes in UNKNOWN_SIZES):
        size = None
    return WavHeader(*layout, size, tags)


def _parse_fmt(body: bytes) -> Optional[tuple[str, int, int]]:
    if len(body) < 16:
        raise AudioError("its WAV header is damaged")
    kind, channels, samplerate, _, frame_size, bits = struct.unpack("<HHIIHH", body[:16])
    if kind == EXTENSIBLE and len(body) >= 26:
        kind = int.from_bytes(body[24:26], "little")
    for name, (size, format_bits) in FORMATS.items():
        if kind == (PCM if format_bits else FLOAT) and frame_size == size * channels and bits == 8 * size:
            if channels == 0 or samplerate == 0:
                raise AudioError("its WAV header is damaged")
            return name, samplerate, channels
    return None


def wav_header(sample_format: str, samplerate: int, channels: int, samples: Optional[int],
               tags: Mapping[str, str] = {}) -> bytes:
    """A header for `samples` samples per channel; None: the conventional one of unknown length.

    Beyond 4 GiB it is an RF64 header (EBU Tech 3306).
    """
    size, bits = FORMATS[sample_format]
    frame_size = size * channels
    fmt = struct.pack("<HHIIHH", PCM if bits else FLOAT, channels, samplerate, samplerate * frame_size,
                      frame_size, 8 * size)
    chunks = _chunk(b"fmt ", fmt if bits else fmt + b"\0\0")
    if not bits:
        chunks += _chunk(b"fact", min(samples or 0, UNKNOWN).to_bytes(4, "little"))
    chunks += info_chunk(tags)
    data_bytes = None if samples is None else samples * frame_size
    if data_bytes is None:
        return b"RIFF" + _u32(UNKNOWN) + b"WAVE" + chunks + b"data" + _u32(UNKNOWN)
    riff_bytes = 4 + len(chunks) + 8 + data_bytes + data_bytes % 2
    if riff_bytes < UNKNOWN:
        return b"RIFF" + _u32(riff_bytes) + b"WAVE" + chunks + b"data" + _u32(data_bytes)
    sizes = _chunk(b"ds64", struct.pack("<QQQI", riff_bytes + 36, data_bytes, samples, 0))
    return b"RF64" + _u32(UNKNOWN) + b"WAVE" + sizes + chunks + b"data" + _u32(UNKNOWN)


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "little")


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + _u32(len(body)) + body
