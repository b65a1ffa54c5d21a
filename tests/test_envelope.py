"""Envelopes: streams say how loud each band was, and decoded samples have these levels, however the stream is read."""

import io

import numpy as np
import pytest
import soundfile
import soxr
import torch
from conftest import GOLDEN, MUSIC, TINY, TINY_STEREO, VOICE, noise, si_snr
from hypothesis import given, settings
from hypothesis import strategies as st
from make_golden import changed
from support import streams
from support.streams import band_noise, check_any_sizes, damaged, decoded, header, packets, rewritten

import ecdc
from ecdc.bitstream.envelope import split_envelope
from ecdc.codec.config import CodecConfig
from ecdc.codec.envelope import FLOOR, LEVELS, Shaper
from ecdc.entropy.envelope_coder import decode_envelope, encode_envelope
from ecdc.entropy.payload import PayloadCoder
from ecdc.errors import BitstreamError, EcdcError, ModelError
from ecdc.stream.decompressor import Decompressor
from ecdc.stream.edit import cut, join, truncate
from ecdc.stream.repair import repair
from training.codec.losses import mel_distance

RATE, BLOCK, HOP, BANDS = 24000, 25, 320, 24
SHAPED = changed(TINY, envelope_frames=BLOCK)


def packed(wave: np.ndarray, codec=SHAPED, bandwidth: float = 3.0, **options) -> bytes:
    """`wave` [T] at 24 kHz."""
    return streams.packed(codec, wave[None], bandwidth, **options)


def envelopes(data: bytes) -> list[bytes]:
    return [split_envelope(packet.payload)[0] for packet in packets(data)]


def measured(wave: np.ndarray) -> np.ndarray:
    return streams.measured(SHAPED.config, BLOCK, wave)


def shaped(wave: np.ndarray, levels, sizes=()) -> np.ndarray:
    return streams.shaped(Shaper(SHAPED.config, BLOCK), wave, levels, sizes)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 2), st.integers(1, 6), st.integers(0, 2**32), st.sampled_from((1, 3, LEVELS)))
def test_levels_come_back(channels, blocks, seed, spread):
    levels = np.random.default_rng(seed).integers(0, spread, (channels, blocks, BANDS)).astype(np.int32)
    data = encode_envelope(levels)
    np.testing.assert_array_equal(decode_envelope(data, channels, blocks, BANDS), levels)
    with pytest.raises(BitstreamError):
        decode_envelope(data + bytes([1] * 400), channels, blocks, BANDS)


def test_golden_envelopes_are_written_as_ever():
    data = (GOLDEN / "shaped.ecdc").read_bytes()
    assert header(data).envelope_frames == BLOCK
    for packet, coded in zip(packets(data), envelopes(data)):
        assert (
            encode_envelope(decode_envelope(coded, 1, SHAPED.config.envelope_blocks(packet.frames, BLOCK), BANDS))
            == coded
        )


def test_what_was_expected_costs_little():
    levels = np.full((1, 15, BANDS), 20, np.int32)
    assert len(encode_envelope(levels)) < 40
    levels[:, 1::2] += 1
    assert len(encode_envelope(levels)) < 70


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 200), st.lists(st.integers(0, 9000), max_size=30), st.booleans())
def test_shaping_does_not_depend_on_sizes(frames, sizes, known):
    wave = noise(frames * HOP, seed=frames).T
    levels = np.random.default_rng(frames).integers(0, LEVELS, (1, -(-frames // BLOCK), BANDS)) if known else None
    whole = shaped(wave, levels)
    assert whole.shape == wave.shape
    np.testing.assert_array_equal(shaped(wave, levels, sizes), whole)
    if not known:
        np.testing.assert_allclose(whole, wave, atol=1e-6)


def test_samples_get_the_levels_asked_for():
    wanted, other = measured(band_noise(6)), 0.3 * band_noise(6, seed=9) + 0.01 * noise(6 * RATE, seed=8).T
    before, after = (np.abs(measured(wave) - wanted) for wave in (other, shaped(other, wanted)))
    assert before.mean() > 2
    assert after.mean() < 0.5 and np.quantile(after, 0.99) <= 1


def test_what_is_right_stays_as_it_is():
    wave = band_noise(6)
    assert si_snr(wave[0], shaped(wave, measured(wave))[0]) > 60


@pytest.mark.parametrize("path", (VOICE, MUSIC))
def test_streams_are_closer_to_the_original(path):
    data, rate = soundfile.read(path, always_2d=True, dtype="float32")
    wave = soxr.resample(data.mean(1), rate, RATE)[: 10 * RATE].astype(np.float32)
    models = changed(ecdc.load_model().folder, envelope_frames=None), ecdc.load_model()
    without, with_it = (packed(wave, model, 6.0, lm=False) for model in models)
    assert len(with_it) - len(without) < 550 / 8 * len(wave) / RATE
    tensor = torch.from_numpy(wave)[None, None]
    before, after = (torch.from_numpy(decoded(stream, None))[None, None] for stream in (without, with_it))
    assert mel_distance(after, tensor, RATE) < mel_distance(before, tensor, RATE) - 0.3
    assert si_snr(wave, after[0, 0].numpy()) > si_snr(wave, before[0, 0].numpy()) - 1.2


@settings(max_examples=20, deadline=None)
@given(
    st.integers(1, 90_000),
    st.lists(st.integers(0, 9000), max_size=30),
    st.lists(st.integers(0, 4000), max_size=30),
    st.sampled_from(({}, {"lm": False, "packet_seconds": 1.4})),
)
def test_any_sizes_give_the_same(samples, in_sizes, out_sizes, options):
    check_any_sizes(SHAPED, samples, in_sizes, out_sizes, **options)


def test_short_packets_have_none():
    for seconds, frames in ((5.0, BLOCK), (1.0, BLOCK), (0.9, 0)):
        made = header(packed(band_noise(3)[0], lm=False, packet_seconds=seconds))
        assert made.envelope_frames == frames and not made.prompt


def test_edited_streams_keep_their_envelopes():
    wave = band_noise(8)[0]
    data = packed(wave, packet_seconds=2.0, nearest=True)
    lower, part, twice = io.BytesIO(), io.BytesIO(), io.BytesIO()
    truncate(io.BytesIO(data), lower, 1.5, TINY)
    assert lower.getvalue() == packed(wave, bandwidth=1.5, packet_seconds=2.0, nearest=True)
    cut(io.BytesIO(data), part, 3, 4, TINY)
    assert envelopes(part.getvalue()) == envelopes(data)[1:4]
    join([io.BytesIO(data), io.BytesIO(data)], twice, TINY)
    assert envelopes(twice.getvalue()) == 2 * envelopes(data)
    assert len(decoded(twice.getvalue())) == 2 * len(wave)
    with pytest.raises(EcdcError, match="envelope frames"):
        join(
            [io.BytesIO(data), io.BytesIO(packed(wave, ecdc.load_model(TINY), packet_seconds=2.0))], io.BytesIO(), TINY
        )


@pytest.mark.parametrize("packet_seconds", (1.0, 5.0))
def test_a_stretch_is_exact(packet_seconds):
    codec = ecdc.load_model()
    data = packed(band_noise(20)[0], codec, 3.0, packet_seconds=packet_seconds, lm=False)
    assert header(data).envelope_frames == 12
    whole = decoded(data, None)
    for start in (0, 24000, 130_000, 240_000, 244_000, 300_000, 479_000):
        np.testing.assert_allclose(
            decoded(data, None, start=start, frames=30_000), whole[start : start + 30_000], rtol=0, atol=1e-6
        )


def test_what_is_lost_is_concealed_in_its_place():
    data = packed(band_noise(8)[0], packet_seconds=1.0, lm=False)
    whole, decompressor = decoded(data), Decompressor(TINY, recover=True)
    wave = np.concatenate([*decompressor.push(damaged(data, 3)), *decompressor.finish()], axis=1)[0]
    assert decompressor.lost.seconds == pytest.approx(1, abs=0.02) and len(wave) == len(whole)
    # The last block before the gap has no other to run its gains to.
    np.testing.assert_allclose(wave[: int(2.8 * RATE)], whole[: int(2.8 * RATE)], atol=1e-6)
    np.testing.assert_allclose(wave[int(3.4 * RATE) : 4 * RATE], 0, atol=1e-6)
    np.testing.assert_allclose(wave[int(4.7 * RATE) :], whole[int(4.7 * RATE) :], atol=0.1 * np.abs(whole).max())


@pytest.mark.parametrize("lm", (False, True))
def test_a_repaired_stream_has_silence_without_an_envelope(lm):
    data, target = packed(band_noise(8)[0], packet_seconds=1.0, lm=lm), io.BytesIO()
    repair(io.BytesIO(damaged(data, 3)), target, TINY)
    kept = envelopes(data)
    assert envelopes(target.getvalue()) == [*kept[:3], None, *kept[4:]]
    assert len(decoded(target.getvalue())) == 8 * RATE


def test_silence_is_silent():
    """All its levels are zero, and then so are all bytes of its envelope."""
    codec = ecdc.load_model()
    wave = np.concatenate([np.zeros(10 * RATE, np.float32), band_noise(2)[0]])
    levels = measured(np.zeros((1, RATE), np.float32))
    assert (levels == 0).all() and encode_envelope(levels) == b""
    without, with_it = (
        decoded(packed(wave, model, 3.0, lm=False), None)[: 10 * RATE]
        for model in (changed(codec.folder, envelope_frames=None), codec)
    )
    assert np.abs(with_it[RATE : 9 * RATE]).max() <= 0.1 * np.abs(without[RATE : 9 * RATE]).max()


def golden(name: str, payload, envelope_frames: int = BLOCK) -> bytes:
    """A golden stream whose header promises envelopes; valid checksums."""
    return rewritten((GOLDEN / f"{name}.ecdc").read_bytes(), payload, envelope_frames=envelope_frames)


def test_without_levels_a_stream_is_as_it_was():
    np.testing.assert_allclose(
        decoded(golden("streaming", lambda payload: b"\0" + payload)),
        ecdc.read(GOLDEN / "streaming.ecdc", model=TINY)[0],
        atol=1e-6,
    )


@pytest.mark.parametrize(
    "name, payload, model, message",
    (
        ("streaming", lambda payload: b"", TINY, "too short for its envelope"),
        ("streaming", lambda payload: b"\x7f" + payload[:9], TINY, "too short for its envelope"),
        ("streaming", lambda payload: b"\x80\x00" + payload, TINY, "impossible form"),
        ("streaming", lambda payload: b"\x05" + b"\xff" * 4 + payload[:-4], TINY, "damaged"),
        ("streaming", lambda payload: b"\x65" + bytes(99) + b"\1" + payload, TINY, "damaged"),
        ("streaming", lambda payload: payload, TINY, "damaged"),
        ("stereo", lambda payload: b"\x05" + bytes(4) + payload[4:], TINY_STEREO, "damaged"),
    ),
)
def test_envelopes_that_make_no_sense(name, payload, model, message):
    with pytest.raises(BitstreamError, match=message):
        decoded(golden(name, payload), model)


@pytest.mark.parametrize("frames", (1, 3, 1001, 70000))
def test_lengths_of_blocks_that_make_no_sense(frames):
    with pytest.raises(BitstreamError, match="envelope"):
        decoded(golden("streaming", lambda payload: b"\0" + payload, frames))


def test_only_where_it_is_possible():
    plain = {"pad_mode": "constant"}
    assert CodecConfig(**plain, envelope_frames=25).canonical() == CodecConfig(**plain).canonical()
    for wrong in (
        {"envelope_frames": 3},
        {"pad_mode": "reflect"},
        {"sample_rate": 4000},
        {"ratios": (8, 5)},
        {"causal": False},
        {"causal": False, "segment": 0.1003},
    ):
        with pytest.raises(ModelError, match="envelope_frames"):
            CodecConfig(**{**plain, "envelope_frames": 25, **wrong})
    with pytest.raises(BitstreamError, match="official cannot have"):
        PayloadCoder(CodecConfig(name="official"), 2, None, 25)


def test_levels_have_the_unit_of_the_format():
    # A sine of full scale at 1 kHz has 80 in its band, as docs/FORMAT.md says.
    wave = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)[None].astype(np.float32)
    levels = FLOOR + measured(wave)[0, 1]
    assert np.argmax(levels) == 9 and levels[9] == round(np.log2(80))
