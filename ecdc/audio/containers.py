"""What a file's own container says of its audio: its parts, and whether all of it is there.

libsndfile lowers its counts to what a cut file holds, and reads the first of several joined files.
"""

from __future__ import annotations

from collections.abc import Iterator

from .mpeg import id3_size, is_mpeg, mpeg_parts
from .ogg import ogg_parts
from .parts import Part
from .wav import is_wav
from .window import Window

# Of WAV's format tag: MPEG layer 1 or 2, layer 3.
MPEG_KINDS = (0x50, 0x55)
AUDIO_CHUNKS = (b"SSND", b"BODY", b"data")
# A STREAMINFO block comes first in every FLAC file, and is always of this size.
FLAC_STARTS = (b"fLaC\0\0\0\x22", b"fLaC\x80\0\0\x22")
# What is written where a size is not known: for 32 bits these and more, for 64 bits all that is negative.
UNKNOWN_32, UNKNOWN_64 = 0x7FFFF000, 1 << 63


def find_parts(file: Window) -> list[Part]:
    """The parts of any file but WAV in PCM, in order; where nothing is known of a kind, libsndfile sees all of it."""
    start = file.at(0, 16)
    behind_id3 = id3_size(file)
    if is_wav(start):
        return _wav_parts(file)
    if start[:4] == b"OggS":
        return ogg_parts(file)
    if file.at(behind_id3, 4) == b"fLaC":
        return _flac_parts(file)
    if (behind_id3 and file.at(behind_id3, 4)) or is_mpeg(file, 0):
        return mpeg_parts(file, behind_id3) or [Part(0, len(file))]
    fault = "cut off" if _audio_end(file, start) > len(file) else ""
    return [Part(0, len(file), fault=fault)]


def _wav_parts(file: Window) -> list[Part]:
    """A WAV file that is no plain PCM: MPEG audio in it, which FFmpeg reads, or a kind that libsndfile knows."""
    form, end = "", 0
    for name, position, size in _chunks(file, 12, "little", 4):
        if name == b"fmt " and int.from_bytes(file.at(position, 2), "little") in MPEG_KINDS:
            form = "wav"
        if name == b"data":
            end = position + size if size < UNKNOWN_32 and size else 0
            break
    return [Part(0, len(file), form, fault="cut off" if end > len(file) else "")]


def _audio_end(file: Window, start: bytes) -> int:
    """Where the audio ends, as the header says; 0 if it says nothing."""
    if start[:4] in (b"FORM", b"RIFX"):
        return _chunks_end(file, 12, "big", 4)
    if start[:4] == b"caff":
        return _chunks_end(file, 8, "big", 8)
    if start[:4] == b"riff":
        return _w64_end(file)
    if start[:4] in (b".snd", b"dns."):
        order = "big" if start[:4] == b".snd" else "little"
        offset, size = (int.from_bytes(start[place : place + 4], order) for place in (4, 8))  # type: ignore[arg-type]
        return offset + size if size < UNKNOWN_32 else 0
    return 0


def _chunks_end(file: Window, position: int, order: str, width: int) -> int:
    """The end of the audio's chunk, or of the chunk that reaches beyond the file."""
    for name, start, size in _chunks(file, position, order, width):
        if name in AUDIO_CHUNKS or start + size > len(file):
            return start + size if size < (UNKNOWN_32 if width == 4 else UNKNOWN_64) else 0
    # Without audio: only a file that was cut has none.
    return len(file) + 1


def _chunks(file: Window, position: int, order: str, width: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, place and size of each chunk from `position` on; sizes are of `width` bytes, four or eight."""
    while len(head := file.at(position, 4 + width)) == 4 + width:
        size = int.from_bytes(head[4:], order)  # type: ignore[arg-type]
        position += 4 + width
        yield head[:4], position, size
        position += size + (size % 2 if width == 4 else 0)


def _w64_end(file: Window) -> int:
    position = 40
    while len(head := file.at(position, 24)) == 24:
        size = int.from_bytes(head[16:], "little")
        if head[:4] == b"data" or size < 24:
            return position + size if size < UNKNOWN_64 else 0
        position += -(-size // 8) * 8
    return position + 1


def _flac_parts(file: Window) -> list[Part]:
    """A part for each STREAMINFO: no eight other bytes are likely to look like one."""
    starts: list[int] = []
    position, step = 0, 1 << 20
    while position < len(file):
        data = file.at(position, step + 7)
        for mark in FLAC_STARTS:
            found = data.find(mark)
            while 0 <= found < step:
                starts.append(position + found)
                found = data.find(mark, found + 1)
        position += step
    starts.sort()
    if not starts:
        return [Part(0, len(file))]
    parts: list[Part] = []
    for start, end in zip([0, *starts[1:]], [*starts[1:], len(file)]):
        fields = file.at(starts[len(parts)] + 21, 5)
        unknown = not int.from_bytes(fields, "big") & 0xFFFFFFFFF
        parts.append(Part(starts[len(parts)] if unknown else start, end, "flac" if unknown else ""))
    return parts
