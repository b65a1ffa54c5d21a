"""Levels: packets reach a model at the level that it is best at, and come back at their own."""

import io

import numpy as np
import pytest
import soundfile
import soxr
from conftest import GOLDEN, MUSIC, TINY, TINY_STEREO, VOICE, noise, si_snr
from hypothesis import given, settings
from hypothesis import strategies as st
from make_golden import changed
from support import streams
from support.streams import damaged, decoded, decompressed, packets, rewritten

import ecdc
from ecdc.codec.config import CodecConfig
from ecdc.codec.level import level_of, scale_for
from ecdc.errors import BitstreamError, ModelError
from ecdc.models import load_model
from ecdc.stream.decompressor import Decompressor
from ecdc.stream.edit import cut, join, truncate

RATE = 24000
TINY_LEVELLED = changed(TINY, target_peak=0.6)


def packed(wave: np.ndarray, codec=TINY_LEVELLED, bandwidth: float = 3.0, **options) -> bytes:
    """`wave` [T] at 24 kHz."""
    return streams.packed(codec, wave[None], bandwidth, **options)


def exponents(data: bytes) -> list[int]:
    """Halvings (below 0: doublings) of each packet."""
    return [
        int.from_bytes(packet.payload[:1], "little", signed=True) if packet.scaled else 0 for packet in packets(data)
    ]


@pytest.fixture(scope="module", params=(VOICE, MUSIC), ids=("voice", "music"))
def sound(request) -> np.ndarray:
    """Six seconds at 24 kHz, peak 0.9."""
    data, rate = soundfile.read(request.param, always_2d=True, dtype="float32")
    data = soxr.resample(data.mean(1), rate, RATE)[: 6 * RATE]
    return (data * (0.9 / np.abs(data).max())).astype(np.float32)


def test_scales_are_powers_of_two_that_bring_the_peak_near_the_target():
    config = CodecConfig(target_peak=0.6)
    assert [scale_for(peak, config) for peak in (0.6, 0.31, 0.3, 0.61, 1.0, 1.2, 40.0, 0.001, 1e-9, 0.0)] == [
        None,
        None,
        0.5,
        2,
        2,
        2,
        128,
        1 / 256,
        1 / 256,
        None,
    ]
    assert scale_for(0.001, CodecConfig()) is None


@pytest.mark.parametrize("click, level", [([1.0], 0.125), ([0.3, -0.3], 0.05), ([0.09], 0.09), ([1.0] * 144, 1.0)])
def test_a_click_does_not_set_the_level_of_quiet_sound_and_a_drum_does(click, level):
    wave = np.full((1, 5 * RATE), 0.05, np.float32)
    wave[0, RATE : RATE + len(click)] = click
    assert level_of(wave, CodecConfig(target_peak=0.6)) == pytest.approx(level)


def test_quiet_speech_beside_a_click_sounds_as_without(sound):
    codec = load_model("ecdc_24khz")
    quiet = sound[: 5 * RATE] / 16
    clicked = quiet.copy()
    clicked[2 * RATE] = 1
    plain, other = (decoded(streams.packed(codec, wave[None], 6, lm=False), None) for wave in (quiet, clicked))
    rest = np.r_[0 : 2 * RATE - 2400, 2 * RATE + 2400 : 5 * RATE]
    assert si_snr(quiet[rest], other[rest]) > si_snr(quiet[rest], plain[rest]) - 0.5


@pytest.mark.parametrize("decibels", (-20, -40, -50, 12))
def test_what_is_quiet_or_too_loud_is_as_good_as_the_rest(sound, decibels):
    usual = si_snr(sound, decoded(packed(sound, ecdc.load_model(), 6.0, lm=False), None))
    other = sound * np.float32(10 ** (decibels / 20))
    assert si_snr(other, decoded(packed(other, ecdc.load_model(), 6.0, lm=False), None)) > usual - 1


def test_quieter_by_powers_of_two_is_the_same_stream_but_for_the_scales(sound):
    codec = changed(ecdc.load_model().folder, envelope_frames=None)
    loud, quiet = (packed(wave, codec, 6.0, lm=False) for wave in (sound, sound / 16))
    assert [exponent - 4 for exponent in exponents(loud)] == exponents(quiet)
    np.testing.assert_array_equal(decoded(loud, None), decoded(quiet, None) * 16)


def test_a_level_is_held_through_pauses_and_falls_at_once():
    wave = np.concatenate([noise(6 * RATE, seed=seed)[:, 0] * gain for seed, gain in enumerate((0.01, 1, 0.01))])
    found = exponents(packed(wave, live=True, packet_seconds=0.1, lm=False))
    assert max(found[:56]) < -5 and found[57] > -2
    raised = max(index for index, exponent in enumerate(found) if exponent > -2) + 1
    assert 12 + 4.8 < raised * 8 / 75 < 12 + 5.1 and max(found[raised:]) < -5


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 60_000),
    st.lists(st.integers(0, 9000), max_size=30),
    st.lists(st.integers(0, 4000), max_size=30),
    st.sampled_from(({}, {"lm": False, "packet_seconds": 1.4}, {"live": True, "packet_seconds": 0.1})),
)
def test_any_sizes_give_the_same(samples, in_sizes, out_sizes, options):
    wave = noise(samples)[:, 0] * np.exp(-np.arange(samples) / 6000).astype(np.float32)
    whole = packed(wave, **options)
    assert packed(wave, sizes=in_sizes, **options) == whole
    np.testing.assert_array_equal(decompressed(whole, out_sizes, TINY)[0], decoded(whole))


def changing() -> np.ndarray:
    """Eleven seconds, each at another level; the loudest is held for five."""
    return noise(11 * RATE)[:, 0] * np.repeat([0, 0.01, 0.1, 1, 8, 1, 0.5, 0, 0.02, 0.02, 0.02], RATE).astype(
        np.float32
    )


@pytest.mark.parametrize("options", ({"packet_seconds": 1.0}, {"packet_seconds": 1.0, "lm": False}))
def test_edited_streams_keep_their_levels(options):
    data = packed(changing(), **options)
    assert len(set(exponents(data))) > 4
    lower, part, twice = io.BytesIO(), io.BytesIO(), io.BytesIO()
    truncate(io.BytesIO(data), lower, 1.5, TINY)
    assert exponents(lower.getvalue()) == exponents(data)
    cut(io.BytesIO(data), part, 3, 4, TINY)
    assert exponents(part.getvalue()) == exponents(data)[3:7]
    join([io.BytesIO(data), io.BytesIO(data)], twice, TINY)
    assert exponents(twice.getvalue()) == 2 * exponents(data)


def test_a_stretch_has_the_levels_of_the_whole():
    codec = ecdc.load_model()
    data = packed(changing(), codec, 3.0, packet_seconds=1.0, lm=False)
    whole = decoded(data, None)
    for start in (24000, 30000, 71999, 72000, 200_000):
        np.testing.assert_allclose(
            decoded(data, None, start=start, frames=30_000), whole[start : start + 30_000], rtol=0, atol=1e-6
        )


def test_what_is_concealed_is_as_loud_as_what_was_before():
    data = packed(noise(4 * RATE)[:, 0] * np.float32(0.01), packet_seconds=1.0, lm=False)
    decompressor = Decompressor(TINY, recover=True)
    wave = np.concatenate([*decompressor.push(damaged(data, 1)), *decompressor.finish()], axis=1)[0]
    assert decompressor.lost.seconds == pytest.approx(1, abs=0.02)
    assert 0 < np.abs(wave[RATE : 2 * RATE]).max() < 3 * np.abs(wave[:RATE]).max()


def rescaled(name: str, payload) -> bytes:
    """A golden stream whose packets claim to be scaled."""
    return rewritten((GOLDEN / f"{name}.ecdc").read_bytes(), payload, scaled=True)


@pytest.mark.parametrize(
    "name, payload, model, message",
    (
        ("streaming", lambda payload: b"\0" + payload, TINY, "scale is impossible"),
        ("streaming", lambda payload: b"\x21" + payload, TINY, "scale is impossible"),
        ("streaming", lambda payload: b"\x80" + payload, TINY, "scale is impossible"),
        ("streaming", lambda payload: b"", TINY, "scale is impossible"),
        ("streaming", lambda payload: payload, TINY, "damaged"),
        ("stereo", lambda payload: b"\1" + payload, TINY_STEREO, "knows nothing of"),
    ),
)
def test_scales_that_make_no_sense(name, payload, model, message):
    with pytest.raises(BitstreamError, match=message):
        decoded(rescaled(name, payload), model)


def test_a_scale_only_where_it_is_allowed():
    assert len(decoded(rescaled("streaming", lambda payload: b"\xff" + payload), TINY)) == 13230
    for wrong in ({"target_peak": 0}, {"target_peak": 2.0}, {"target_peak": 0.5, "segment": 1.0}):
        with pytest.raises(ModelError, match="target_peak"):
            CodecConfig(**wrong)


def test_the_target_is_no_part_of_what_a_stream_needs():
    assert CodecConfig(target_peak=0.5).canonical() == CodecConfig().canonical()
    assert decoded(packed(changing())).shape == (11 * RATE,)


@pytest.mark.parametrize("right", (-1.0, -0.9, -0.5, 0.0, 1.0))
def test_stereo_of_any_width_keeps_its_level(right):
    """The mono mix of wide stereo, whose loudness segments are divided by, is near silence."""
    data, rate = soundfile.read(MUSIC, always_2d=True, dtype="float32", frames=3 * 48000)
    left = soxr.resample(data[:, 0], rate, 48000)[-48000:]
    wave = np.stack([left, right * left]).astype(np.float32)
    codec = load_model("ecdc_48khz")
    heard = decoded(streams.packed(codec, wave, 12, lm=False), None)
    assert 20 * np.log10(np.sqrt((heard**2).mean() / (wave**2).mean())) == pytest.approx(0, abs=1)


@pytest.mark.parametrize("floor, right, told", ((0.0, -1.0, True), (0.0, 0.9, False), (0.5, -1.0, False)))
def test_models_without_a_floor_say_what_wide_stereo_loses(floor, right, told):
    left = noise(48_000)[:, 0]
    codec = changed(load_model("ecdc_48khz").folder, scale_floor=floor)
    compressor = ecdc.Compressor(codec, 48_000, 2, 3, lm=False)
    compressor.push(np.stack([left, right * left]))
    compressor.flush()
    assert ("channels cancel" in (compressor.level_loss or "")) == told
