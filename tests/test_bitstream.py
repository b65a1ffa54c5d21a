"""The container: golden bytes, headers and sections of every kind, pushes of any size."""

import dataclasses
import zlib

import pytest
from support.streams import parse

from ecdc.bitstream import End, Header, Index, Packet, StreamParser, StreamWriter, Tags
from ecdc.bitstream.cursor import Incomplete, varint
from ecdc.bitstream.header import parse_header
from ecdc.bitstream.sections import pack_section
from ecdc.bitstream.writer import MAX_INDEX
from ecdc.errors import BitstreamError

HEADER = Header(
    model="ecdc_24khz",
    fingerprint=bytes(range(8)),
    sample_rate=24000,
    channels=1,
    hop_length=320,
    bits_per_code=10,
    n_codebooks=8,
    packet_frames=4,
    source_rate=44100,
    source_channels=2,
    samples=7000,
)
# Written out by hand from docs/FORMAT.md.
HEADER_BYTES = b"ECDC\x01\x00\x94\x01\x00\x01\x02\x03\x04\x05\x06\x07\x06\xc0\x02\x08\x04\x08\xd8\x36"


def with_crc(data: bytes) -> bytes:
    return data + zlib.crc32(data).to_bytes(4, "little")


def crc16(data: bytes) -> int:
    """CCITT, bit by bit, as docs/FORMAT.md has it."""
    value = 0xFFFF
    for byte in data:
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1 ^ 0x1021 if value & 0x8000 else value << 1) & 0xFFFF
    return value


def example(header: Header = HEADER) -> bytes:
    """Two key packets and a continuing one between them, tags, index and end."""
    writer = StreamWriter(header)
    data = writer.start({"title": "x"})
    data += writer.packet(b"a" * 40, 4, key=True)
    data += writer.packet(b"b" * 40, 4, key=False)
    data += writer.packet(b"c" * 30, 3, key=True, last=True, plain=True)
    return data + writer.finish(7000)


def test_header_bytes():
    assert HEADER.pack() == with_crc(HEADER_BYTES)
    streaming = HEADER_BYTES[:5] + b"\x01" + HEADER_BYTES[6:-2]
    assert dataclasses.replace(HEADER, samples=None).pack() == with_crc(streaming)


@pytest.mark.parametrize(
    "change",
    (
        {},
        {"samples": None},
        {"samples": 0},
        {"samples": 2**40},
        {"model": "mein Modell ü"},
        {"sample_rate": 31999, "source_rate": 1001},
        {"entropy": 1, "entropy_fingerprint": b"12345678"},
        {"channels": 2, "source_channels": 1},
        {"n_codebooks": 255, "bits_per_code": 16, "packet_frames": 65536},
    ),
)
def test_header_round_trip(change):
    header = dataclasses.replace(HEADER, **change)
    data = header.pack()
    assert parse_header(data + b"rest") == (header, len(data))
    for length in range(len(data)):
        with pytest.raises(Incomplete):
            parse_header(data[:length])


def test_header_is_small():
    full = dataclasses.replace(
        HEADER, entropy=1, entropy_fingerprint=bytes(8), samples=2**28 - 1, packet_frames=750, n_codebooks=32
    )
    assert len(full.pack()) <= 40


@pytest.mark.parametrize(
    "change",
    (
        {"model": ""},
        {"model": "x" * 65},
        {"model": "a\nb"},
        {"fingerprint": b"short"},
        {"n_codebooks": 0},
        {"n_codebooks": 256},
        {"source_rate": 0},
        {"packet_frames": 65537},
        {"hop_length": 0},
        {"bits_per_code": 17},
        {"source_channels": 5},
        {"samples": -1},
        {"entropy": 1},
    ),
)
def test_impossible_headers_are_not_written(change):
    with pytest.raises(BitstreamError):
        dataclasses.replace(HEADER, **change).pack()


def test_section_bytes():
    data = example()[len(HEADER.pack()) :]
    tags = with_crc(b"\x03\x08\x05title\x01x")
    first = with_crc(b"\x02\x29\x00" + b"a" * 40)
    second = b"\x01\x28" + b"b" * 40
    second += crc16((4).to_bytes(8, "little") + second).to_bytes(2, "little")
    third = with_crc(b"\x72\x20\x08\x03" + b"c" * 30)
    offsets = len(HEADER.pack()) + len(tags), len(first) + len(second)
    index = with_crc(bytes([4, 5, 2, 0, offsets[0], 8, offsets[1]]))
    before = HEADER.pack() + tags + first + second + third + index
    end = with_crc(
        b"\x05\x10"
        + (7000).to_bytes(8, "little")
        + zlib.crc32(before).to_bytes(4, "little")
        + len(index).to_bytes(4, "little")
    )
    assert data == tags + first + second + third + index + end


@pytest.mark.parametrize("header", (HEADER, dataclasses.replace(HEADER, samples=None)))
def test_pushes_of_any_size_give_the_same_sections(header):
    data = example(header)
    parser, sections = parse(data)
    assert parse(data, [1] * len(data))[1] == sections
    assert sections[0] == Tags({"title": "x"})
    assert sections[1:4] == [
        Packet(b"a" * 40, 4, 0, True),
        Packet(b"b" * 40, 4, 4, False),
        Packet(b"c" * 30, 3, 8, True, last=True, plain=True),
    ]
    assert isinstance(sections[4], Index) and isinstance(sections[5], End)
    assert sections[5].samples == 7000
    for frame, offset in sections[4].entries:
        assert data[offset] & 0x0F == 2 and data[offset + 2] == frame
    index_start = len(data) - 22 - sections[5].index_distance
    assert data[index_start] == 4
    assert (parser.packets, parser.key_packets, parser.payload_bytes, parser.bytes) == (3, 2, 110, len(data))


def test_skippable_sections_are_skipped_and_others_not():
    writer = StreamWriter(HEADER)
    start = writer.start({})
    future = writer._count(pack_section(0x38, b"from the future"))
    data = start + future + writer.packet(b"a" * 30, 3, key=True, last=True) + writer.finish(7000)
    assert [type(section) for section in parse(data)[1]] == [Packet, End]
    for tag in (0x06, 0x07, 0x13, 0x83):
        with pytest.raises(BitstreamError, match="newer ecdc"):
            parse(start + pack_section(tag, b"x"))


@pytest.mark.parametrize(
    "sections, message",
    (
        ([(0x01, b"x" * 40)], "first packet"),
        ([(0x02, b"\x00" + b"x" * 40), (0x02, b"\x03" + b"x" * 40)], "out of place"),
        ([(0x12, b"\x00\x05" + b"x" * 40)], "5 frames"),
        ([(0x12, b"\x00\x00")], "0 frames"),
        ([(0x02, b"")], "shorter than its own fields"),
        ([(0x22, b"\x00" + b"x" * 40), (0x02, b"\x04" + b"x" * 40)], "after the last"),
        ([(0x03, b"\x05ab")], "tag has no end"),
        ([(0x03, b"\x01\xff\x00")], "UTF-8"),
        ([(0x05, b"x" * 15)], "wrong length"),
        ([(0x05, b"x" * 16)], "whole stream"),
        ([(0x04, b"\x02\x00")], "index has no end"),
        ([(0x02, b"\x80\x00" + b"x" * 40)], "impossible form"),
    ),
)
def test_sections_that_make_no_sense(sections, message):
    data = HEADER.pack() + b"".join(pack_section(*section) for section in sections)
    with pytest.raises(BitstreamError, match=message):
        parse(data)


def test_absurd_lengths_are_refused_at_once():
    for tag, length in ((2, 2**20), (1, 300), (8, 2**40), (3, 2**25)):
        with pytest.raises(BitstreamError, match="impossible length"):
            list(StreamParser().push(HEADER.pack() + bytes([tag]) + varint(length)))


def test_reordered_and_repeated_packets_are_noticed():
    writer = StreamWriter(dataclasses.replace(HEADER, samples=None))
    start = writer.start({})
    first, second = (writer.packet(bytes([letter]) * 40, 4, key=True) for letter in b"ab")
    end = writer.finish(2560)
    parse(start + first + second + end)
    for order in ((second, first), (first, first), (first, second, second), (first,), (second,)):
        with pytest.raises(BitstreamError):
            parse(start + b"".join(order) + end)


def test_index_of_an_endless_stream_stays_small():
    writer = StreamWriter(HEADER)
    writer.start({})
    for _ in range(MAX_INDEX + 10):
        writer.packet(b"", 4, key=True)
    assert len(writer.index) < MAX_INDEX and writer.index[1][0] == 8
