"""Properties: whatever the sizes pushed, wherever a stream is cut; and long runs through real pipes (slow)."""

import functools
import io
import os
import signal
import subprocess
import sys
import time

import fuzz
import numpy as np
import pytest
import soundfile
from conftest import TINY, TINY_STEREO, VOICE, noise
from hypothesis import given, settings
from hypothesis import strategies as st
from support.checkpoints import OFFICIAL, official_checkpoint
from support.streams import decompressed, pieces

import ecdc
from ecdc.audio.wav import wav_header
from ecdc.bitstream.sections import pack_section
from ecdc.codec.codec import Codec
from ecdc.codec.streaming import decoder_stream, encoder_stream
from ecdc.errors import BitstreamError

MODELS = {"mono": (TINY, 1), "segments": (TINY_STEREO, 2)}
RATE = 16000
SIZES = st.lists(st.integers(0, 9000), min_size=0, max_size=40)


def compressed(codec, wave: np.ndarray, sizes, **options) -> bytes:
    compressor = ecdc.Compressor(codec, RATE, wave.shape[0], 3.0, samples=wave.shape[1], **options)
    return b"".join([compressor.push(part) for part in pieces(wave, sizes, wave.shape[1])]) + compressor.flush()


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(sorted(MODELS)),
    st.integers(1, 50_000),
    SIZES,
    SIZES,
    st.sampled_from(({}, {"lm": False}, {"live": True, "packet_seconds": 0.1}, {"live": True, "lm": False})),
)
def test_any_sizes_give_the_same(kind, samples, in_sizes, out_sizes, options):
    model, channels = MODELS[kind]
    codec, wave = ecdc.load_model(model), noise(samples, channels).T
    whole = compressed(codec, wave, [], **options)
    assert compressed(codec, wave, in_sizes, **options) == whole
    decoded = decompressed(whole, [], model)
    assert decoded.shape == wave.shape
    np.testing.assert_array_equal(decompressed(whole, out_sizes, model), decoded)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 40_000), SIZES, SIZES)
def test_any_sizes_with_the_official_architecture(samples, in_sizes, out_sizes):
    """Padding by reflection: the first frame waits for seven, everything after is exact."""
    codec, wave = reflecting(), noise(samples).T
    whole = compressed(codec, wave, [])
    assert compressed(codec, wave, in_sizes) == whole
    coder = encoder_stream(codec, 4, 75)
    blocks = [block for part in pieces(wave, in_sizes, samples) for block in coder.push(part)]
    blocks += coder.flush()
    decoder = decoder_stream(codec)
    streamed = [piece for block in blocks for piece in decoder.push(block)] + [decoder.flush()]
    codes = codec.encode(as_tensor(wave)[None], 4)
    np.testing.assert_allclose(np.concatenate(streamed, axis=1), codec.decode(codes)[0].numpy(), atol=1e-4)


def as_tensor(wave: np.ndarray):
    import torch

    return torch.from_numpy(np.ascontiguousarray(wave))


@functools.cache
def reflecting() -> Codec:
    config = OFFICIAL["encodec_24khz"]
    return Codec.from_state(config, official_checkpoint(config).state_dict())


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(MODELS)), st.floats(0, 1), SIZES)
def test_a_stream_cut_anywhere_is_an_error(kind, where, sizes):
    model, channels = MODELS[kind]
    data = compressed(ecdc.load_model(model), noise(20_000, channels).T, [])
    with pytest.raises(BitstreamError, match="cut off|empty"):
        decompressed(data[: int(where * (len(data) - 1))], sizes, model)


def test_some_thousand_mutations():
    fuzz.main(4000, seed=11)


def test_what_fuzzing_found():
    """A key packet whose checksum is right and that has no contents."""
    data = compressed(ecdc.load_model(TINY), noise(20_000).T, [], lm=False)
    _, size = fuzz.parse_header(data)
    fuzz.recover(data[:size] + pack_section(2, b"") + data[size:], 50)


def soak_input(seconds: int) -> bytes:
    data, rate = soundfile.read(VOICE, dtype="int16")
    return wav_header("s16le", rate, 1, seconds * rate) + np.resize(data, seconds * rate).tobytes()


def start(*arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "ecdc", *arguments, "-q"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


@pytest.mark.slow
def test_an_hour_through_pipes(tmp_path):
    """Written in random sizes, with pauses; the same bytes as from a file, the exact length out."""
    import threading

    data = soak_input(3600)
    (tmp_path / "hour.wav").write_bytes(data)
    encoder = start("compress", "--no-lm", "-", "-")
    decoder = subprocess.Popen(
        [sys.executable, "-m", "ecdc", "decompress", "-q", "-", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    random, packed = np.random.default_rng(0), bytearray()

    def feed() -> None:
        position = 0
        while position < len(data):
            size = int(random.integers(1, 200_000))
            encoder.stdin.write(data[position : position + size])
            position += size
            if random.random() < 0.01:
                time.sleep(0.05)
        encoder.stdin.close()

    def pass_on() -> None:
        while piece := encoder.stdout.read1(int(random.integers(1, 5000))):
            packed.extend(piece)
            decoder.stdin.write(piece)
        decoder.stdin.close()

    threads = [threading.Thread(target=work, daemon=True) for work in (feed, pass_on)]
    for thread in threads:
        thread.start()
    length = 0
    while piece := decoder.stdout.read(1 << 20):
        length += len(piece)
    assert (encoder.wait(60), decoder.wait(60)) == (0, 0) and length == len(data)
    subprocess.run([sys.executable, "-m", "ecdc", "compress", "-q", "--no-lm", tmp_path / "hour.wav"], check=True)
    assert (tmp_path / "hour.wav.ecdc").read_bytes() == packed


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_killed_at_a_random_moment(tmp_path, seed):
    """No half file; what was written to a pipe is good up to the last whole packet."""
    random = np.random.default_rng(seed)
    data = soak_input(300)
    (tmp_path / "in.wav").write_bytes(data)
    to_file = subprocess.Popen([sys.executable, "-m", "ecdc", "compress", "-q", tmp_path / "in.wav"])
    to_pipe = start("compress", "--no-lm", "-", "-")
    import threading

    def feed() -> None:
        try:
            to_pipe.stdin.write(data)
        except BrokenPipeError:
            pass

    threading.Thread(target=feed, daemon=True).start()
    time.sleep(random.uniform(3, 6))
    for process in (to_file, to_pipe):
        process.send_signal(random.choice([signal.SIGTERM, signal.SIGINT]))
    piped = to_pipe.stdout.read()
    assert to_file.wait(30) != 0 or (tmp_path / "in.wav.ecdc").exists()
    assert {path.name for path in tmp_path.iterdir()} <= {"in.wav", "in.wav.ecdc"}
    if (tmp_path / "in.wav.ecdc").exists():
        assert ecdc.info(tmp_path / "in.wav.ecdc").duration == 300
    if to_pipe.wait(30) != 0 and len(piped) > 5000:
        from ecdc.stream.repair import repair

        fixed = io.BytesIO()
        repair(io.BytesIO(piped), fixed)
        whole, _ = ecdc.read(io.BytesIO(fixed.getvalue()))
        assert len(whole) % (5 * RATE) == 0 and len(whole) >= 5 * RATE
    assert os.path.exists(tmp_path / "in.wav")
