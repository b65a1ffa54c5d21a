"""What a stream says of itself, without decoding it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from .bitstream import End, Header, StreamParser, Tags, pieces
from .entropy import LANGUAGE_MODEL, PLAIN

ENTROPY_NAMES = {PLAIN: "plain", LANGUAGE_MODEL: "language model"}


@dataclass(frozen=True)
class StreamInfo:
    """`samples` per channel at `samplerate`, the source's rate; rates in kbps, lengths in seconds and bytes.

    `saved`: the part of plain packing's bytes that the entropy coder does without. A stream
    of version 0 that is coded with a language model does not show its packets: none are
    counted, and that it is whole is not checked.
    """

    model: str
    fingerprint: str
    samplerate: int
    channels: int
    samples: int
    duration: float
    model_samplerate: int
    model_channels: int
    codebooks: int
    bandwidth: float
    entropy: str
    streaming: bool
    packets: int
    key_packets: int
    packet_seconds: float
    bytes: int
    payload_bytes: int
    overhead_bytes: int
    kbps: float
    payload_kbps: float
    saved: float
    tags: dict[str, str]
    version: int = 1


def read_info(file: BinaryIO) -> StreamInfo:
    """Walk through a stream, checking every checksum.

    Raises BitstreamError if it is damaged.
    """
    parser, tags, samples = StreamParser(), {}, 0
    for data in pieces(file):
        for section in parser.push(data):
            if isinstance(section, Tags):
                tags = section.values
            elif isinstance(section, End):
                samples = section.samples
    parser.close()
    if parser.opaque:
        samples, parser.payload_bytes = parser.header.samples, parser.bytes - parser.header_bytes
    return _summary(parser, parser.header, samples, tags)


def _summary(parser: StreamParser, header: Header, samples: int, tags: dict[str, str]) -> StreamInfo:
    duration = samples / header.source_rate
    frame_rate = header.sample_rate / header.hop_length
    rate = 8e-3 / duration if duration else 0.0
    return StreamInfo(
        model=header.model, fingerprint=header.fingerprint.hex(), samplerate=header.source_rate,
        channels=header.source_channels, samples=samples, duration=duration,
        model_samplerate=header.sample_rate, model_channels=header.channels, codebooks=header.n_codebooks,
        bandwidth=header.n_codebooks * header.bits_per_code * frame_rate / 1000,
        entropy=ENTROPY_NAMES.get(header.entropy, f"coder {header.entropy}"), streaming=header.samples is None,
        packets=parser.packets, key_packets=parser.key_packets,
        packet_seconds=header.packet_frames / frame_rate, bytes=parser.bytes, payload_bytes=parser.payload_bytes,
        overhead_bytes=parser.bytes - parser.payload_bytes, kbps=parser.bytes * rate,
        payload_kbps=parser.payload_bytes * rate,
        saved=1 - parser.payload_bytes / parser.plain_bytes if parser.plain_bytes and header.entropy else 0.0, tags=tags,
        version=header.version)
