"""A mutation loop over everything that reads streams: `python tests/fuzz.py [INPUTS]`, findings go to tests.

Parsers only: no model is run, so that a million inputs take minutes. What is watched:
exceptions other than EcdcError, time and memory per input.
"""

import io
import random
import sys
import time
import tracemalloc
import zlib
from pathlib import Path

import ecdc
from ecdc.bitstream import RecoveringParser, StreamParser
from ecdc.bitstream.header import parse_header
from ecdc.bitstream.sections import END, KEY_PACKET, PACKET, TYPE, pack_section, parse_packet, take_section
from ecdc.bitstream.version0 import pack_header
from ecdc.errors import EcdcError
from ecdc.stream.repair import repair
from ecdc.stream.seek import find_places, peek_header

GOLDEN = Path(__file__).parent / "golden"
MODELS = [GOLDEN / "tiny_24khz", GOLDEN / "tiny_48khz"]
SHORT = 1 << 12
# Seconds and bytes that no input of some kilobytes may take.
SLOW, LARGE = 1.0, 8 << 20


def seeds() -> list[bytes]:
    plain = pack_header("encodec_24khz", 3200, 2) + bytes(25)
    coded = pack_header("encodec_48khz", 3200, 2, lm=True) + bytes(50)
    return [path.read_bytes() for path in sorted(GOLDEN.glob("*.ecdc"))] + [plain, coded]


def mutated(data: bytes, generator: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(generator.randint(1, 8)):
        position = generator.randrange(len(changed) + 1)
        kind = generator.randrange(6)
        if kind == 0 and position < len(changed):
            changed[position] ^= 1 << generator.randrange(8)
        elif kind == 1 and position < len(changed):
            changed[position] = generator.choice((0, 1, 2, 0x7F, 0x80, 0xFF, generator.randrange(256)))
        elif kind == 2:
            del changed[position : position + generator.randint(1, 60)]
        elif kind == 3:
            changed[position:position] = generator.randbytes(generator.randint(1, 12))
        elif kind == 4:
            other = generator.randrange(len(changed) + 1)
            changed[position:position] = changed[other : other + generator.randint(1, 200)]
        else:
            changed[position:position] = b"\xff" * generator.randint(1, 10)
    return bytes(changed)


def forged(data: bytes, generator: random.Random) -> bytes:
    """A stream of version 1 with changed contents and right checksums: what a CRC does not keep out."""
    header, size = parse_header(data)
    sections, buffer, position = [], bytearray(data[size:]), 0
    while buffer:
        raw = take_section(buffer, 1 << 20, position)
        del buffer[: raw.size]
        sections.append((raw.tag, raw.body))
        if raw.tag & TYPE in (PACKET, KEY_PACKET):
            position += parse_packet(raw, header.packet_frames, position).frames
    chosen = generator.randrange(len(sections) + 1)
    head = data[: size - 4]
    if chosen == len(sections):
        head = head[:5] + mutated(head[5:], generator)
    else:
        tag, body = sections[chosen]
        sections[chosen] = generator.choice((tag, tag, tag ^ 1 << generator.randrange(8))), mutated(body, generator)
    out, position = head + zlib.crc32(head).to_bytes(4, "little"), 0
    for tag, body in sections:
        if tag & TYPE == END and len(body) == 16:
            body = body[:8] + zlib.crc32(out).to_bytes(4, "little") + body[12:]
        out += pack_section(tag, body, position)
        position += header.packet_frames if tag & TYPE in (PACKET, KEY_PACKET) else 0
    return out


def parse(data: bytes, size: int) -> None:
    parser = StreamParser()
    for index in range(0, len(data), size):
        for _ in parser.push(data[index : index + size]):
            pass
    parser.close()


def recover(data: bytes, size: int) -> None:
    parser = RecoveringParser()
    for index in range(0, len(data), size):
        for _ in parser.push(data[index : index + size]):
            pass
    for _ in parser.close():
        pass


def seek(data: bytes, size: int) -> None:
    file = io.BytesIO(data)
    found = peek_header(file)
    if found is not None:
        find_places(file, 0, *found, size)


def repaired(data: bytes, size: int) -> None:
    """What `repair` writes of streams of the tiny models is whole; those of other models it refuses."""
    for model in MODELS:
        out = io.BytesIO()
        try:
            repair(io.BytesIO(data), out, model)
        except EcdcError:
            continue
        header = parse_header(out.getvalue())[0]
        parse(out.getvalue(), size)
        if not header.entropy and len(data) < SHORT:
            ecdc.read(io.BytesIO(out.getvalue()), model=model)


def main(inputs: int, seed: int = 0, repairs: int = 0) -> None:
    """`repairs`: every so many inputs are repaired, too, and what comes of them is read."""
    generator, streams, slowest, most = random.Random(seed), seeds(), 0.0, 0
    started = time.monotonic()
    for number in range(inputs):
        data = generator.choice(streams)
        data = forged(data, generator) if data[4] and generator.random() < 0.5 else mutated(data, generator)
        size = generator.choice((len(data) + 1, 1000, 50, 7))
        for work in (parse, recover, seek, *((repaired,) if repairs and number % repairs == 0 else ())):
            watched = number % 100 == 0
            if watched:
                tracemalloc.start()
            before = time.monotonic()
            try:
                work(data, size)
            except EcdcError:
                pass
            except BaseException:
                print(f"{work.__name__}, pieces of {size}: {data.hex()}")
                raise
            slowest = max(slowest, time.monotonic() - before)
            if watched:
                most = max(most, tracemalloc.get_traced_memory()[1])
                tracemalloc.stop()
            if slowest > SLOW or most > LARGE:
                sys.exit(f"{work.__name__} took {slowest:.2f} s, {most} bytes: {data.hex()}")
    print(
        f"{inputs} inputs in {time.monotonic() - started:.0f} s: the slowest took {1000 * slowest:.1f} ms, "
        f"the largest {most / 1e6:.2f} MB"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:] or ["1000000"]))
