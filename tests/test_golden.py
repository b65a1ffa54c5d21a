"""Golden streams decode, and are written, as ever; numbers and plainly packed codes have the bytes of the format."""

import numpy as np
import pytest
from conftest import GOLDEN, TINY, TINY_STEREO
from support.streams import parse

import ecdc
from ecdc.bitstream import Packet, StreamWriter, Tags
from ecdc.bitstream.cursor import Cursor, varint
from ecdc.entropy.plain import pack, packed_size, unpack
from ecdc.errors import BitstreamError


def test_varint():
    for value in (0, 1, 127, 128, 2**32, 2**63 - 1):
        assert Cursor(varint(value)).varint() == value
    for data in (b"\x80\x00", b"\xff" * 9 + b"\x01"):
        with pytest.raises(BitstreamError):
            Cursor(data).varint()


def test_plain_packing_bytes():
    codes = np.array([[1023, 0, 1], [512, 3, 2]], np.int32)
    bits = "".join(format(value, "010b")[::-1] for value in (1023, 512, 0, 3, 1, 2))
    expected = int(bits[::-1], 2).to_bytes(8, "little")
    assert pack(codes, 10) == expected
    np.testing.assert_array_equal(unpack(expected, 2, 3, 10), codes)


@pytest.mark.parametrize("bits", (1, 8, 10, 11, 16))
def test_plain_packing_round_trip(bits):
    codes = np.random.default_rng(bits).integers(0, 2**bits, (5, 13)).astype(np.int32)
    payload = pack(codes, bits)
    assert len(payload) == packed_size(5, 13, bits)
    np.testing.assert_array_equal(unpack(payload, 5, 13, bits), codes)
    for damaged in (payload + b"\0", payload[:-1]):
        with pytest.raises(BitstreamError):
            unpack(damaged, 5, 13, bits)


def test_padding_must_be_zero():
    with pytest.raises(BitstreamError, match="padding"):
        unpack(b"\x00\x80", 1, 1, 10)


@pytest.mark.parametrize(
    "name, model",
    (
        ("chunked", TINY),
        ("streaming", TINY),
        ("modelled", TINY),
        ("continued", TINY),
        ("levelled", TINY),
        ("shaped", TINY),
        ("shaped_live", TINY),
        ("shaped_stereo", TINY_STEREO),
        ("stereo", TINY_STEREO),
    ),
)
def test_golden_files_decode_as_ever(name, model):
    data, _ = ecdc.read(GOLDEN / f"{name}.ecdc", model=model)
    expected = np.load(GOLDEN / f"{name}.npy")
    assert data.shape == expected.shape
    np.testing.assert_allclose(data, expected, atol=2e-3)


@pytest.mark.parametrize(
    "name",
    ("chunked", "streaming", "modelled", "continued", "levelled", "shaped", "shaped_live", "shaped_stereo", "stereo"),
)
def test_golden_files_are_written_as_ever(name):
    """From its own packets and header, every byte of a golden file comes back."""
    original = (GOLDEN / f"{name}.ecdc").read_bytes()
    parser, sections = parse(original)
    writer = StreamWriter(parser.header)
    tags = [section.values for section in sections if isinstance(section, Tags)]
    data = writer.start(tags[0] if tags else {})
    for packet in sections:
        if isinstance(packet, Packet):
            data += writer.packet(
                packet.payload,
                packet.frames,
                key=packet.key,
                last=packet.last,
                plain=packet.plain,
                scaled=packet.scaled,
            )
    assert data + writer.finish(sections[-1].samples) == original
