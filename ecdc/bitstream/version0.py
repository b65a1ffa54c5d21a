"""Version 0 of the format, as the official encodec tool writes it (docs/FORMAT.md, "Version 0").

A JSON header, then segment after segment without lengths or checksums: the scale, where
the model normalises, and the codes, each segment padded to a whole byte. The frames of a
segment follow from the length in integer arithmetic; so files are read, too, whose frames
the official reader miscounts by rounding.
"""

from __future__ import annotations

import json
import struct
from typing import Mapping, NamedTuple, Optional, Protocol

from ..errors import BitstreamError
from .cursor import Cursor
from .header import MAGIC, Header
from .sections import packed_size

HEADER = struct.Struct("!4sBI")
MAX_JSON = 4096
MAX_SAMPLES = 1 << 48
# A multiple of four frames is a whole number of bytes, whatever the number of codebooks.
PACKET_FRAMES = 300


class Layout(NamedTuple):
    """What the official tool knows of a model by its name; `segment` and `stride` in samples."""

    sample_rate: int
    channels: int
    codebooks: int
    segment: Optional[int] = None
    stride: Optional[int] = None
    hop_length: int = 320
    bits_per_code: int = 10

    @property
    def packet_frames(self) -> int:
        """Frames that are read and written at once: a segment, or some of a stream."""
        return PACKET_FRAMES if self.segment is None else self.segment // self.hop_length


LAYOUTS = {"encodec_24khz": Layout(24000, 1, 32), "encodec_48khz": Layout(48000, 2, 16, 48000, 47520)}


class CodedReader(Protocol):
    """Reads segments that were coded with a language model."""

    def start(self) -> None:
        """A segment begins."""

    def read(self, buffer: bytearray, frames: int, last: bool) -> Optional[bytes]:
        """Plainly packed codes of so many frames, None until they have all come; what is read leaves the buffer."""


def pack_header(model: str, samples: int, n_codebooks: int, lm: bool = False) -> bytes:
    fields = json.dumps({"m": model, "al": samples, "nc": n_codebooks, "lm": lm}).encode()
    return HEADER.pack(MAGIC, 0, len(fields)) + fields


def parse_header0(buffer: bytearray) -> tuple[Header, int]:
    """The header at the front of `buffer` and its length; Incomplete if more bytes must come."""
    cursor = Cursor(buffer)
    _, _, length = HEADER.unpack(cursor.take(HEADER.size))
    if length > MAX_JSON:
        raise BitstreamError("damaged: its header claims an impossible length")
    try:
        fields = json.loads(cursor.take(length))
        model, samples, codebooks, lm = (fields[key] for key in ("m", "al", "nc", "lm"))
    except (ValueError, TypeError, KeyError):
        raise BitstreamError("damaged: its header is not that of a version 0 file") from None
    if model not in LAYOUTS:
        raise BitstreamError(f"a version 0 file of an unknown model: {str(model)[:64]}")
    layout = LAYOUTS[model]
    if type(samples) is not int or not 1 <= samples <= MAX_SAMPLES or type(codebooks) is not int \
            or not 1 <= codebooks <= layout.codebooks or type(lm) is not bool:
        raise BitstreamError("damaged: its header holds impossible values")
    header = Header(
        version=0, model=model, fingerprint=b"", sample_rate=layout.sample_rate, channels=layout.channels,
        hop_length=layout.hop_length, bits_per_code=layout.bits_per_code, n_codebooks=codebooks,
        packet_frames=layout.packet_frames,
        source_rate=layout.sample_rate, source_channels=layout.channels, samples=samples, entropy=int(lm))
    return header, cursor.position


class Version0Reader:
    """Takes what would be packets of version 1 from the front of a buffer.

    Without a `reader` of coded segments, those of a coded stream cannot be told apart.
    """

    def __init__(self, header: Header, reader: Optional[CodedReader]):
        self.header, self.reader = header, reader
        self.layout = LAYOUTS[header.model]
        self.opaque = bool(header.entropy) and reader is None
        self.begun = 0
        self.frames_left = 0
        self.scale: Optional[bytes] = b""

    @property
    def ended(self) -> bool:
        return self.frames_left == 0 and self.begun >= self.header.samples

    def next(self, buffer: bytearray) -> Optional[tuple[bytes, int]]:
        """A payload of version 1, plainly packed, and its frames; None if more bytes must come."""
        if self.frames_left == 0:
            self._start()
        if self.scale is None:
            if len(buffer) < 4:
                return None
            self.scale = bytes(reversed(buffer[:4]))
            del buffer[:4]
        frames = min(self.frames_left, self.header.packet_frames)
        codes = self._codes(buffer, frames)
        if codes is None:
            return None
        payload = self.scale + codes
        self.frames_left -= frames
        self.scale = b""
        return payload, frames

    def _start(self) -> None:
        """The next segment: its frames, from where it begins and the length of the whole."""
        length, stride = (self.layout.segment or self.header.samples), (self.layout.stride or self.header.samples)
        samples = min(length, self.header.samples - self.begun)
        self.frames_left = -(-samples // self.layout.hop_length)
        self.begun += stride
        self.scale = None if self.layout.segment is not None else b""
        if self.reader is not None:
            self.reader.start()

    def _codes(self, buffer: bytearray, frames: int) -> Optional[bytes]:
        if self.header.entropy:
            return self.reader.read(buffer, frames, last=frames == self.frames_left)
        size = packed_size(self.header.n_codebooks, frames, self.layout.bits_per_code)
        if len(buffer) < size:
            return None
        codes = bytes(buffer[:size])
        del buffer[:size]
        return codes


class Version0Writer:
    """Each method returns the bytes that come next; `samples` and lengths count at the model's rate.

    Without `samples` nothing comes before the end: the header must say them.
    """

    def __init__(self, model: str, n_codebooks: int, samples: Optional[int] = None):
        self.model, self.n_codebooks, self.samples = model, n_codebooks, samples
        self.layout = LAYOUTS[model]
        self.packets = self.offset = 0
        self._waiting = bytearray()

    def start(self, tags: Mapping[str, str]) -> bytes:
        if tags:
            raise BitstreamError("version 0 of the format has no place for tags")
        return b"" if self.samples is None else self._count(pack_header(self.model, self.samples, self.n_codebooks))

    def packet(self, payload: bytes, frames: int, **_: bool) -> bytes:
        """A plainly packed payload of version 1: a whole segment, or some of a segment's frames, a multiple of 4."""
        self.packets += 1
        data = bytes(reversed(payload[:4])) + payload[4:] if self.layout.segment is not None else payload
        if self.samples is not None:
            return self._count(data)
        self._waiting += data
        return b""

    def finish(self, samples: int) -> bytes:
        if self.samples is None:
            return self._count(pack_header(self.model, samples, self.n_codebooks) + bytes(self._waiting))
        if samples != self.samples:
            raise BitstreamError(f"the header promises {self.samples} samples, {samples} came")
        return b""

    def _count(self, data: bytes) -> bytes:
        self.offset += len(data)
        return data
