"""Behind damage a live stream goes on with the next packet; packets that changed places or came twice are put right."""

import io
import random

import pytest
from conftest import TINY, check, noise
from conftest import ecdc as command

import ecdc
from ecdc.bitstream import End, Header, Lost, Packet, RecoveringParser, StreamParser, StreamWriter
from ecdc.bitstream.sections import (
    END,
    INDEX,
    KEY_PACKET,
    MAX_TAGS,
    PACKET,
    TAGS,
    body_limit,
    pack_section,
    packet_limit,
    take_section,
)
from ecdc.errors import BitstreamError
from ecdc.stream.repair import repair

FRAMES, BODY = 8, 80
HEADER = Header("ecdc_24khz", b"12345678", 24000, 1, 320, 10, 8, FRAMES, 24000, 1)


def live(packets: int = 60) -> list[bytes]:
    """The header, packets of 107 ms, and the end."""
    writer, generator = StreamWriter(HEADER), random.Random(3)
    parts = [writer.start({})]
    for number in range(packets):
        parts.append(writer.packet(generator.randbytes(BODY), FRAMES, key=number % 47 == 0))
    return [*parts, writer.finish(packets * FRAMES * 320)]


def read(data: bytes, size: int = 1 << 18, **options: int) -> list[object]:
    parser = RecoveringParser(**options)
    given = [each for at in range(0, len(data), size) for each in parser.push(data[at : at + size])]
    return given + list(parser.close())


def positions(given: list[object]) -> list[int]:
    return [each.position for each in given if isinstance(each, Packet)]


def damaged(packet: bytes, kind: str, generator: random.Random) -> bytes:
    changed, at = bytearray(packet), generator.randrange(len(packet))
    if kind == "bit":
        changed[at] ^= 1 << generator.randrange(8)
    elif kind == "noise":
        changed[at : at + 16] = generator.randbytes(len(changed[at : at + 16]))
    elif kind == "missing":
        del changed[at : at + generator.randrange(1, 20)]
    else:
        changed[:2] = generator.randbytes(2)
    return bytes(changed)


@pytest.mark.parametrize("kind", ("bit", "noise", "missing", "head"))
def test_it_goes_on_with_the_next_packet(kind):
    parts, generator, waits = live(), random.Random(kind), []
    for _ in range(200):
        number = generator.randrange(3, 40)
        bad = damaged(parts[number], kind, generator)
        if bad == parts[number]:
            continue
        parser = RecoveringParser()
        for part in (*parts[:number], bad):
            list(parser.push(part))
        waits.append(next(wait for wait, part in enumerate(parts[number + 1 :], 1) if list(parser.push(part))))
    assert sorted(waits)[len(waits) // 2] == 1 and max(waits) <= 9


@pytest.mark.parametrize("size", (1 << 18, 50, 1))
def test_duplicates_are_dropped_and_neighbours_put_right(size):
    parts, whole = live(), [number * FRAMES for number in range(60)]
    assert positions(read(b"".join(parts), size)) == whole
    for number in (5, 48, 30):
        for other in (
            [*parts[:number], parts[number], *parts[number:]],
            [*parts[:number], parts[number + 1], parts[number], *parts[number + 2 :]],
            [*parts[:number], parts[number + 2], parts[number], parts[number + 1], *parts[number + 3 :]],
        ):
            given = read(b"".join(other), size)
            assert positions(given) == whole and not any(isinstance(each, Lost) for each in given)


def test_a_missing_packet_is_waited_for_by_as_many_as_asked():
    parts = live()
    for jitter in (0, 1, 2, 3):
        parser = RecoveringParser(jitter)
        for part in parts[:10]:
            list(parser.push(part))
        waits = [wait for wait, part in enumerate(parts[11:20]) if list(parser.push(part))]
        assert waits[0] == jitter
    given = read(b"".join(parts[:10] + parts[11:]))
    assert [each for each in given if isinstance(each, Lost)] == [Lost(9 * FRAMES, FRAMES)]
    assert isinstance(given[-1], End)


def test_a_section_holds_what_its_type_can():
    limit = packet_limit(HEADER)
    for tag, most in (
        (PACKET, limit),
        (KEY_PACKET, limit),
        (TAGS, MAX_TAGS),
        (INDEX, 9 + 18 * 3),
        (END, 16),
        (9, 65536),
    ):
        assert body_limit(tag, limit, 3) == most
        assert take_section(pack_section(tag, bytes(most)), limit, 0, 3).body == bytes(most)
        with pytest.raises(BitstreamError, match="impossible length"):
            take_section(pack_section(tag, bytes(most + 1)), limit, 0, 3)


@pytest.mark.parametrize("known", (True, False))
@pytest.mark.parametrize("lm", (True, False))
def test_repair_of_a_good_stream_is_the_stream(known, lm):
    wave = noise(2 * 24000)
    options = {"lm": lm, "live": True, "packet_seconds": 0.1, "tags": {"title": "x"}}
    compressor = ecdc.Compressor(ecdc.load_model(TINY), 24000, 1, 3.0, samples=len(wave) if known else None, **options)
    data, fixed = compressor.push(wave.T) + compressor.flush(), io.BytesIO()
    repair(io.BytesIO(data), fixed, TINY)
    assert fixed.getvalue() == data


def test_repair_makes_whole_streams_of_what_was_forged():
    """A first packet that goes on from none, one of a wrong length, and an end of 2^60 samples; checksums are right."""
    wave = noise(24000)
    compressor = ecdc.Compressor(ecdc.load_model(TINY), 24000, 1, 3.0, lm=False, live=True, packet_seconds=0.1)
    parser = StreamParser()
    packets = [each for each in parser.push(compressor.push(wave.T) + compressor.flush()) if isinstance(each, Packet)]
    writer = StreamWriter(parser.known_header)
    forged = writer.start({})
    for number, packet in enumerate(packets):
        payload = packet.payload + b"x" * (number == 4)
        forged += writer.packet(payload, packet.frames, key=number == 6, last=packet.last)
    fixed = io.BytesIO()
    losses = repair(io.BytesIO(forged + writer.finish(1 << 60)), fixed, TINY)
    assert len(losses.stretches) == 2 and losses.cut_off is not None
    assert len(ecdc.read(io.BytesIO(fixed.getvalue()), model=TINY)[0]) == pytest.approx(24000, abs=320)


def test_the_command_takes_a_jitter(tmp_path):
    wave = noise(24000)
    compressor = ecdc.Compressor(ecdc.load_model(TINY), 24000, 1, 3.0, lm=False, live=True, packet_seconds=0.1)
    data, parser, bounds = compressor.push(wave.T) + compressor.flush(), StreamParser(), []
    for byte in range(len(data)):
        bounds += [byte + 1 for each in parser.push(data[byte : byte + 1]) if isinstance(each, Packet)]
    a, b, c = bounds[2:5]
    path = tmp_path / "swapped.ecdc"
    path.write_bytes(data[:a] + data[b:c] + data[a:b] + data[c:])
    for options, lost in (((), False), (("--jitter", "0"), True)):
        said = check(command("decompress", "--recover", *options, "-m", TINY, "-f", path, tmp_path / "o.wav")).stderr
        assert (b"lost" in said) == lost, said.decode()
    assert command("decompress", "--jitter", "2", "-m", TINY, "-f", path, tmp_path / "o.wav").returncode == 2
