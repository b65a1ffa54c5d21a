"""The exact language model: the same bits everywhere, and near to the float model."""

import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import GOLDEN, ROOT, TINY
from support.codes import all_counts, real_codes
from support.oracle import Oracle

from ecdc.entropy.model_coder import ModelCoder
from ecdc.entropy.range_coder import RangeDecoder, RangeEncoder
from ecdc.errors import BitstreamError
from ecdc.models import language_model, load_model


@pytest.fixture(scope="module")
def bundled():
    codec = load_model()
    return language_model(codec), real_codes(codec, 8)


@pytest.fixture(scope="module")
def tiny():
    codec = load_model(TINY)
    return language_model(codec), real_codes(codec, 4)


@pytest.fixture(scope="module", params=("bundled", "tiny"))
def modelled(request):
    """An exact model and real codes for it; the tiny one has conditions inside the frame."""
    return request.getfixturevalue(request.param)


def test_step_by_step_equals_many_at_once(modelled):
    model, codes = modelled
    codes = codes[:, 300 : 300 + min(model.max_frames, 400)]
    expected = all_counts(model, codes, 1)
    for step in (7, 128, 400):
        np.testing.assert_array_equal(all_counts(model, codes, step), expected)
    assert (expected == np.floor(expected)).all() and expected.min() >= 1 and expected.max() < 2**24


def test_equals_the_int64_oracle(modelled):
    """Longer than the tiny model's window, and with two frames of the bundled one, which is slow here."""
    model, codes = modelled
    frames = 45 if model.window < 45 else 3
    codes = codes[:, 200 : 200 + frames]
    oracle = Oracle(model.config, model.tensors)
    ours = all_counts(model, codes, frames)
    previous = [0] * len(codes)
    for frame, row in enumerate(codes.T.tolist()):
        assert oracle.counts(oracle.hidden(previous), row) == ours[frame].tolist()
        previous = [1 + code for code in row]


@pytest.mark.parametrize("count", (1, 3, 16))
def test_batches_give_the_same_bytes(modelled, count):
    model, codes = modelled
    lengths = np.linspace(20, min(50, model.max_frames), count).astype(int)
    batch = [codes[:, 10 * index : 10 * index + length] for index, length in enumerate(lengths)]
    coder = ModelCoder(model, len(codes))
    payloads = coder.encode_batch(batch)
    assert payloads == [coder.encode(part, key=True) for part in batch]
    for group in ([payloads], [[payload] for payload in payloads]):
        decoded = []
        for part in group:
            decoded += coder.decode_batch(part, lengths[len(decoded) : len(decoded) + len(part)].tolist())
        assert all(np.array_equal(*pair) for pair in zip(decoded, batch))


def test_continuing_packets_keep_their_context(modelled):
    model, codes = modelled
    frames = min(model.max_frames, 300)
    parts = np.split(codes[:, :frames], range(9, frames, 9), axis=1)
    encoder, decoder = ModelCoder(model, len(codes)), ModelCoder(model, len(codes))
    payloads = [encoder.encode(part, key=index == 0) for index, part in enumerate(parts)]
    np.testing.assert_array_equal(decoder.decode_batch(payloads[:1], [9])[0], parts[0])
    for payload, part in zip(payloads[1:], parts[1:]):
        np.testing.assert_array_equal(decoder.decode(payload, part.shape[1]), part)
    # The context is worth it, and is the same as in one packet: only the coder's own ends are added.
    together = len(ModelCoder(model, len(codes)).encode(codes[:, :frames], key=True))
    assert sum(map(len, payloads)) <= together + 5 * len(parts)
    with pytest.raises(BitstreamError, match="without a key packet"):
        for _ in range(model.max_frames):
            encoder.encode(parts[-1], key=False)


SETTINGS = (
    {"OMP_NUM_THREADS": "1"},
    {"OMP_NUM_THREADS": "2"},
    {"OMP_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "4"},
    {"ATEN_CPU_CAPABILITY": "default", "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F"},
    {"ATEN_CPU_CAPABILITY": "avx2", "OPENBLAS_CORETYPE": "Haswell"},
    {"ATEN_CPU_CAPABILITY": "avx512", "OPENBLAS_CORETYPE": "Nehalem"},
    {"OPENBLAS_CORETYPE": "Sandybridge"},
    {"MKL_CBWR": "COMPATIBLE", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "OPENBLAS_CORETYPE": "SkylakeX"},
    {"ONEDNN_MAX_CPU_ISA": "SSE41", "OPENBLAS_CORETYPE": "Zen"},
)


def test_the_same_bytes_under_all_settings(tmp_path, bundled):
    """Programs of their own, under other thread counts, instruction sets, BLAS kernels and batch sizes."""
    _, codes = bundled
    np.save(tmp_path / "codes.npy", codes[:, 500:680])
    digests = set()
    for index, setting in enumerate(SETTINGS):
        done = subprocess.run(
            [
                sys.executable,
                ROOT / "tests" / "support" / "exact_run.py",
                "ecdc_24khz",
                tmp_path / "codes.npy",
                str((1, 3, 16)[index % 3]),
            ],
            env={**os.environ, **setting},
            capture_output=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr.decode()
        digests.add(done.stdout)
    assert len(digests) == 1


@pytest.mark.parametrize("name", ("modelled", "continued"))
def test_golden_streams_are_coded_as_ever(name):
    """The codes in a golden stream, coded again, give its payloads: to the byte, on any machine."""
    from ecdc.bitstream import Packet, StreamParser

    parser = StreamParser()
    packets = [part for part in parser.push((GOLDEN / f"{name}.ecdc").read_bytes()) if isinstance(part, Packet)]
    model = language_model(load_model(TINY))
    assert parser.header.entropy_fingerprint == model.fingerprint and not any(packet.plain for packet in packets)
    decoder, encoder = ModelCoder(model, 4), ModelCoder(model, 4)
    for packet in packets:
        codes = (
            decoder.decode_batch([packet.payload], [packet.frames])[0]
            if packet.key
            else decoder.decode(packet.payload, packet.frames)
        )
        assert encoder.encode(codes, packet.key) == packet.payload
    assert {packet.key for packet in packets} == ({True, False} if name == "continued" else {True})


def test_overhead_of_the_coder(bundled):
    """Against the sum of -log2 of the counts, for 10 s."""
    model, codes = bundled
    codes = codes[:, :750]
    counts = all_counts(model, codes, 50)
    own = np.take_along_axis(counts, codes.T[..., None], axis=2)[..., 0]
    ideal = -np.log2(own / counts.sum(-1)).sum() / 8
    coded = len(ModelCoder(model, len(codes)).encode(codes, key=True))
    assert ideal - 1 < coded < 1.003 * ideal


def test_weights_are_exact_integers_in_float64(modelled):
    model, _ = modelled
    for layer in model.layers:
        for linear in (layer.qkv, layer.out, layer.up, layer.down):
            assert linear.weight.dtype == np.float64 and (linear.weight == np.rint(linear.weight)).all()
            # The largest partial sum there can be, whatever comes in.
            assert np.abs(linear.weight).sum(0).max() * max(32767, layer.activation.max()) < 2**53
        assert (layer.activation == np.rint(layer.activation)).all()


def test_payloads_that_are_nonsense(tiny):
    """With a right checksum around them: codes of any kind, or an error, but nothing else and no hang."""
    model, codes = tiny
    good = ModelCoder(model, 4).encode(codes[:, :20], key=True)
    random, caught = np.random.default_rng(0), 0
    for trial in range(300):
        data = bytearray(random.bytes(random.integers(0, 2 * len(good))) if trial % 2 else good)
        if trial % 2 == 0:
            data[random.integers(len(data))] ^= 1 << random.integers(8)
        try:
            decoded = ModelCoder(model, 4).decode_batch([bytes(data)], [20])[0]
            assert decoded.shape == (4, 20) and decoded.min() >= 0 and decoded.max() < 1024
        except BitstreamError:
            caught += 1
    assert caught > 150


def test_failures_of_the_range_coder_are_ordinary_errors():
    counts = np.ones((50, 1024))
    encoder = RangeEncoder()
    encoder.push(np.arange(50), counts)
    data = encoder.finish()
    decoder = RangeDecoder(data)
    assert (decoder.pull(counts) == np.arange(50)).all()
    decoder.finish()
    decoder = RangeDecoder(data)
    decoder.pull(counts[:20])
    with pytest.raises(BitstreamError, match="beyond its codes"):
        decoder.finish()
    with pytest.raises(BitstreamError):
        RangeDecoder(data).pull(np.full((1, 1024), np.nan))
