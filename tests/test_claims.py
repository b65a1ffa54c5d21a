"""A few bytes may claim hours: memory stays bounded, and too much is refused."""

import dataclasses
import io
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, TINY, noise
from support.command import ecdc
from support.streams import header, packed, packets

import ecdc as library
from ecdc.bitstream import StreamWriter
from ecdc.bitstream.sections import End, pack_end
from ecdc.errors import BitstreamError
from ecdc.models import load_engine
from ecdc.stream.decompressor import Decompressor, decompress

RATE = 24000
MOST_MEMORY = 500 << 10


def short() -> bytes:
    return packed(load_engine(TINY), noise(RATE)[None, :, 0], lm=False)


def claiming(end: int, frames: int | None = None, **fields) -> bytes:
    """One packet, perhaps of many frames, and an end that claims so many samples."""
    data = short()
    packet = packets(data)[0]
    writer = StreamWriter(dataclasses.replace(header(data), **({"samples": None} | fields)))
    payload, count = packet.payload, packet.frames
    if frames is not None:
        codebooks, bits = writer.header.n_codebooks, writer.header.bits_per_code
        count, payload = frames, bytes(-(-codebooks * frames * bits // 8))
    claimed = writer.start({}) + writer.packet(payload, count, key=True, last=True)
    return claimed + writer._count(pack_end(End(end, writer.checksum, 0)))


def peak_memory(*arguments) -> tuple[int, int]:
    """KiB, and the exit status, of a command."""
    # By a small process of its own: a child begins with its parent's peak.
    program = (
        "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:], capture_output=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, done.returncode)"
    )
    command = [sys.executable, "-c", program, sys.executable, "-m", "ecdc", *map(str, arguments)]
    memory, status = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.split()
    return int(memory), int(status)


def test_an_end_that_claims_an_hour(tmp_path):
    path = tmp_path / "tail.ecdc"
    path.write_bytes(claiming(3600 * RATE))
    memory, status = peak_memory("decompress", "-m", TINY, "--recover", path, tmp_path / "out.wav")
    assert status == 0 and memory < MOST_MEMORY
    assert peak_memory("test", "-m", TINY, path)[1] == 1


def test_a_packet_of_many_frames(tmp_path):
    path, frames = tmp_path / "long.ecdc", 40_000
    path.write_bytes(claiming(frames * 320, frames, packet_frames=frames, envelope_frames=0))
    memory, status = peak_memory("test", "-m", TINY, path)
    assert status == 0 and memory < MOST_MEMORY
    assert peak_memory("repair", "-m", TINY, path, tmp_path / "out.ecdc")[0] < MOST_MEMORY


def test_the_highest_rate_of_output(tmp_path):
    data = claiming(2000 * 320 * 32, 2000, packet_frames=2000, envelope_frames=0, source_rate=768_000)
    given, largest = 0, 0
    for block in decompress(io.BytesIO(data), Decompressor(TINY)):
        given, largest = given + block.shape[1], max(largest, block.shape[1])
    assert given == 2000 * 320 * 32 and largest <= 2 * 768_000


@pytest.mark.parametrize("claim", ({"samples": 200 * 3600 * RATE}, {}))
def test_more_than_a_hundred_hours_need_consent(claim, tmp_path):
    hours = 200 * 3600 * RATE
    data = claiming(hours, **claim)
    with pytest.raises(BitstreamError, match=r"claims 200\.0 hours of audio, and 100 are the most"):
        list(decompress(io.BytesIO(data), Decompressor(TINY)))
    with pytest.raises(BitstreamError, match="its packets hold"):
        list(decompress(io.BytesIO(data), Decompressor(TINY, max_duration=201 * 3600)))
    path = tmp_path / "claim.ecdc"
    path.write_bytes(data)
    for command in (["test"], ["decompress"]):
        done = ecdc(*command, "-m", TINY, path)
        assert done.returncode == 1 and b"--max-duration" in done.stderr
    assert ecdc("decompress", "-m", TINY, "--recover", "--max-duration", "0.5", path).returncode == 2


def test_what_is_held_back_at_the_end_is_what_was_pushed():
    """The last packet may be longer than what is kept of it."""
    wave = np.cumsum(noise(20 * RATE)[:, 0]).astype(np.float32)
    wave *= 0.3 / np.abs(wave).max()
    data = packed(load_engine(TINY), wave[None], lm=False, packet_seconds=10)
    samples, _ = library.read(io.BytesIO(data), model=TINY)
    assert len(samples) == len(wave)
    parts, _ = zip(*(library.read(io.BytesIO(data), RATE, start, model=TINY) for start in range(0, 20 * RATE, RATE)))
    np.testing.assert_allclose(np.concatenate(parts), samples, atol=1e-4)
