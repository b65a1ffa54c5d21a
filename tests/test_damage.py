"""Damaged, foreign and hostile streams: one clear error, never wrong audio, never a hang."""

import dataclasses
import io
import subprocess
import sys

import numpy as np
import pytest
from conftest import GOLDEN, TINY, TINY_STEREO, VOICE, check, noise
from conftest import ecdc as run

import ecdc
from ecdc.bitstream import StreamParser, StreamWriter
from ecdc.errors import BitstreamError, EcdcError, ModelError

FILES = (("chunked", TINY), ("streaming", TINY), ("modelled", TINY), ("continued", TINY), ("stereo", TINY_STEREO))

FINGERPRINT = ecdc.load_model(TINY).fingerprint.hex()


def decode(data: bytes, model=TINY) -> np.ndarray:
    return ecdc.read(io.BytesIO(data), model=model)[0]


@pytest.mark.parametrize("name, model", FILES)
def test_cut_off_at_every_byte(name, model):
    data = (GOLDEN / f"{name}.ecdc").read_bytes()
    for length in range(len(data)):
        with pytest.raises(BitstreamError, match="empty" if length == 0 else "cut off"):
            decode(data[:length], model)


@pytest.mark.parametrize("name, model", FILES)
def test_one_flipped_bit_anywhere(name, model):
    data = (GOLDEN / f"{name}.ecdc").read_bytes()
    # All bits of two files; of the others, which take longer, one of each byte or so.
    for bit in range(0, 8 * len(data), 1 if name in ("chunked", "streaming") else 7):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BitstreamError):
            decode(damaged, model)


def test_random_damage_never_passes():
    data = (GOLDEN / "chunked.ecdc").read_bytes()
    random = np.random.default_rng(0)
    for _ in range(2000):
        damaged = bytearray(data)
        for _ in range(random.integers(1, 6)):
            position, kind = random.integers(0, len(damaged)), random.integers(0, 3)
            if kind == 0:
                damaged[position] = random.integers(0, 256)
            elif kind == 1:
                del damaged[position : position + random.integers(1, 20)]
            else:
                damaged[position:position] = random.bytes(random.integers(1, 20))
        if damaged != data:
            with pytest.raises(BitstreamError):
                decode(bytes(damaged))


def test_data_after_the_end():
    data = (GOLDEN / "chunked.ecdc").read_bytes()
    with pytest.raises(BitstreamError, match="after the end"):
        decode(data + b"\0")
    with pytest.raises(BitstreamError, match="after the end"):
        decode(data + data)


def rewritten(samples=None, header=None, payload=None) -> bytes:
    """The streaming golden file with valid checksums around a lie."""
    parser = StreamParser()
    packet, *_ = parser.push((GOLDEN / "streaming.ecdc").read_bytes())
    writer = StreamWriter(dataclasses.replace(parser.header, **header or {}))
    data = writer.start({})
    data += writer.packet(payload or packet.payload, packet.frames, key=True, last=True)
    return data + writer.finish(samples or 13230)


def test_lies_with_right_checksums():
    assert len(decode(rewritten())) == 13230
    for samples in (1, 12000, 14000, 2**62):
        with pytest.raises(BitstreamError, match="its end promises|claims"):
            decode(rewritten(samples))
    with pytest.raises(BitstreamError, match="cannot take"):
        decode(rewritten(payload=b"x"))
    for header in ({"hop_length": 640}, {"n_codebooks": 5}, {"channels": 2}, {"sample_rate": 48000}):
        with pytest.raises(ModelError, match="header does not fit"):
            decode(rewritten(header=header))
    with pytest.raises(ModelError, match="newer ecdc: its entropy coder 7"):
        decode(rewritten(header={"entropy": 7, "entropy_fingerprint": bytes(8)}))


def test_a_scale_that_is_no_number():
    parser = StreamParser()
    sections = list(parser.push((GOLDEN / "stereo.ecdc").read_bytes()))
    writer = StreamWriter(parser.header)
    data = writer.start({})
    first = sections[0]
    data += writer.packet(b"\xff" * 4 + first.payload[4:], first.frames, key=True)
    with pytest.raises(BitstreamError, match="scale"):
        decode(data, TINY_STEREO)


def test_models_that_the_reader_lacks(tmp_path):
    chunked = (GOLDEN / "chunked.ecdc").read_bytes()
    with pytest.raises(ModelError, match=f"tiny_24khz .fingerprint {FINGERPRINT}., which is not installed"):
        decode(chunked, None)
    with pytest.raises(ModelError, match="tiny_24khz.*but ecdc_24khz here has fingerprint"):
        decode(chunked, "ecdc_24khz")
    with pytest.raises(ModelError, match="no model nowhere"):
        decode(chunked, "nowhere")
    with pytest.raises(ModelError, match="config.json is missing"):
        decode(chunked, tmp_path)


@pytest.mark.parametrize(
    "name, content",
    (
        ("config.json", b"{"),
        ("config.json", b"[]"),
        ("config.json", b'{"ratios": 3}'),
        ("weights.safetensors", b""),
        ("weights.safetensors", b"\xff" * 100),
        ("weights.safetensors", None),
        ("config.json", b"{}"),
    ),
)
def test_damaged_models(tmp_path, name, content):
    for file in TINY.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / name).unlink() if content is None else (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError):
        ecdc.load_model(tmp_path)


def test_absurd_sizes_are_not_allocated():
    """A header that promises 2^60 samples, and a packet that claims megabytes, in a process with little memory."""
    absurd = rewritten(2**60, {"samples": 2**60, "packet_frames": 65536})
    code = (
        "import io, sys, resource, ecdc; data = sys.stdin.buffer.read(); ecdc.load_model(sys.argv[1]);"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize();"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2);"
        "ecdc.read(io.BytesIO(data), model=sys.argv[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, TINY],
        input=absurd,
        capture_output=True,
        timeout=60,
        env={"OMP_NUM_THREADS": "1", "PATH": ""},
    )
    assert b"BitstreamError" in done.stderr and b"MemoryError" not in done.stderr


NOT_ECDC = {
    "missing.ecdc": (None, "No such file"),
    "empty.ecdc": (b"", "empty"),
    "magic.ecdc": (b"RIFF" + bytes(100), "not an .ecdc file"),
    "short.ecdc": (b"EC", "cut off in its header"),
    "version0.ecdc": (b"ECDC\0\0\0\0\x02{}", "version 0"),
    "newer.ecdc": (b"ECDC\x07" + bytes(100), "version 7 of the format"),
    "damaged.ecdc": ((GOLDEN / "chunked.ecdc").read_bytes()[:-40] + bytes(40), "packet 5 (0.43 s): damaged"),
    "foreign.ecdc": ((GOLDEN / "chunked.ecdc").read_bytes(), f"fingerprint {FINGERPRINT}"),
}


@pytest.mark.parametrize("name", NOT_ECDC)
def test_the_command_says_one_line_and_leaves_nothing(tmp_path, name):
    content, message = NOT_ECDC[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    (tmp_path / "kept.wav").write_bytes(b"precious")
    before = sorted(tmp_path.iterdir())
    for target in ("out.wav", "kept.wav"):
        done = run("decompress", "-f", name, target, *(["-m", TINY] if "damaged" in name else []), cwd=tmp_path)
        assert done.returncode == 1 and done.stdout == b""
        assert done.stderr.decode().startswith(f"ecdc: {name}: ") and message in done.stderr.decode()
        assert done.stderr.count(b"\n") == 1
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "kept.wav").read_bytes() == b"precious"


@pytest.mark.parametrize("value", (np.nan, np.inf, -np.inf))
def test_samples_that_are_no_numbers(tmp_path, value):
    data = noise(100_000)
    data[77_777] = value
    with pytest.raises(ecdc.AudioError, match=r"sample 77777 \(3.241 s\) is not a finite number"):
        ecdc.write(tmp_path / "out.ecdc", data, 24000, bandwidth=3, model=TINY)
    assert not list(tmp_path.iterdir())


def test_samples_that_are_no_audio(tmp_path):
    path = tmp_path / "out.ecdc"
    for data, message in (
        (noise(0), "no samples"),
        (noise(100) * 32768, "divide them"),
        (noise(10, 3), "2 are the most$"),
        (np.zeros((2, 2, 2)), "shape"),
        (np.array(["a"]), "floats"),
        (np.zeros(5, "u2"), "floats"),
        (np.zeros(5, bool), "floats"),
        (np.float32(0), "shape"),
        (np.zeros((2, 176400)), r"it has 176400 channels: is it \[C, T\]\? pass data.T"),
    ):
        with pytest.raises(ecdc.AudioError, match=message):
            ecdc.write(path, data, 24000, bandwidth=3, model=TINY)
    assert not path.exists()


def test_full_disk():
    done = run("compress", VOICE, "-o", "/dev/full")
    assert done.returncode == 1 and b"No space left on device" in done.stderr and done.stderr.count(b"\n") == 1
    with open("/dev/full", "wb") as full:
        for command in (("compress", VOICE), ("decompress", "-m", TINY, GOLDEN / "chunked.ecdc")):
            done = subprocess.run(
                [sys.executable, "-m", "ecdc", *map(str, command), "-"], stdout=full, stderr=subprocess.PIPE, timeout=60
            )
            assert done.returncode == 1 and b"No space left on device" in done.stderr
            assert done.stderr.count(b"\n") == 1


def test_a_reader_that_goes_away():
    with subprocess.Popen(
        [sys.executable, "-m", "ecdc", "compress", VOICE, "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        error = process.stderr.read()
    assert error == b"" and process.returncode == -13


def test_error_types():
    for error in (ecdc.AudioError, ecdc.ModelError, ecdc.BitstreamError):
        assert issubclass(error, EcdcError) and issubclass(error, ValueError)


def test_a_good_stream_is_still_good(tmp_path):
    check(run("compress", VOICE, tmp_path / "v.ecdc"))
    assert check(run("test", tmp_path / "v.ecdc")).stderr.endswith(b"ok, 7.10 s\n")
