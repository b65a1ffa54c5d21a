"""Envelopes of live streams: each continues that of the packet before, and samples do not wait for the next."""

import io

import numpy as np
import pytest
from conftest import GOLDEN, TINY, TINY_STEREO, noise, si_snr
from hypothesis import given, settings
from hypothesis import strategies as st
from make_golden import changed
from support import streams
from support.streams import band_noise, check_any_sizes, damaged, decoded, header, packets

import ecdc
from ecdc.bitstream import Header
from ecdc.codec.envelope import LEVELS, Shaper
from ecdc.entropy.envelope_coder import decode_envelope, encode_envelope
from ecdc.errors import BitstreamError
from ecdc.stream.decompressor import Decompressor
from ecdc.stream.edit import cut, truncate
from ecdc.stream.repair import repair

RATE, HOP, BANDS, PACKET = 24000, 320, 24, 8
SHAPED = changed(TINY, envelope_frames=12)


def packed(wave: np.ndarray, codec=SHAPED, bandwidth: float = 3.0, live: bool = True, **options) -> bytes:
    """A live stream of `wave` [T] at 24 kHz."""
    return streams.packed(codec, wave[None], bandwidth, live=live, **options)


def measured(wave: np.ndarray) -> np.ndarray:
    return streams.measured(SHAPED.config, PACKET, wave)


def shaped(wave: np.ndarray, levels, sizes=()) -> np.ndarray:
    return streams.shaped(Shaper(SHAPED.config, PACKET, prompt=True), wave, levels, sizes)


@pytest.mark.parametrize("seconds, frames", ((0.02, 0), (0.06, 0), (0.08, 6), (0.1, 8), (0.25, 12), (2.0, 12)))
def test_blocks_are_no_longer_than_packets(seconds, frames):
    made = header(packed(band_noise(3)[0], lm=False, packet_seconds=seconds))
    assert made.envelope_frames == frames and made.prompt == (frames > 0)


def test_segments_wait_anyway():
    made = header(
        streams.packed(changed(TINY_STEREO, envelope_frames=33), noise(96_000, 2).T, 3.0, live=True, lm=False)
    )
    assert made.envelope_frames == 33 and not made.prompt


def test_levels_go_on_from_those_before():
    levels = 20 + np.random.default_rng(0).integers(-1, 2, (2, 9, BANDS)).cumsum(1).astype(np.int32)
    whole = encode_envelope(levels)
    first, rest = encode_envelope(levels[:, :4]), encode_envelope(levels[:, 4:], levels[:, 3])
    np.testing.assert_array_equal(decode_envelope(rest, 2, 5, BANDS, levels[:, 3]), levels[:, 4:])
    assert len(whole) <= len(first) + len(rest) <= len(whole) + 4 < len(first) + len(encode_envelope(levels[:, 4:]))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 100), st.lists(st.integers(0, 9000), max_size=30))
def test_shaping_does_not_depend_on_sizes(frames, sizes):
    wave = noise(frames * HOP, seed=frames).T
    levels = np.random.default_rng(frames).integers(0, LEVELS, (1, -(-frames // PACKET), BANDS))
    whole = shaped(wave, levels)
    assert whole.shape == wave.shape
    np.testing.assert_array_equal(shaped(wave, levels, sizes), whole)


def test_samples_are_a_frame_late_and_have_the_levels_asked_for():
    wanted, other = measured(band_noise(6)), 0.3 * band_noise(6, seed=9) + 0.01 * noise(6 * RATE, seed=8).T
    shaper, given_samples = Shaper(SHAPED.config, PACKET, prompt=True), 0
    shaper.expect(other.shape[1], wanted)
    for index in range(20):
        given_samples += shaper.push(other[:, index * PACKET * HOP : (index + 1) * PACKET * HOP]).shape[1]
        assert given_samples == ((index + 1) * PACKET - 1) * HOP
    before, after = (np.abs(measured(wave) - wanted) for wave in (other, shaped(other, wanted)))
    assert before.mean() > 2 and after.mean() < 0.6
    wave = band_noise(6)
    assert si_snr(wave[0], shaped(wave, measured(wave))[0]) > 60


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 60_000),
    st.lists(st.integers(0, 9000), max_size=30),
    st.lists(st.integers(0, 4000), max_size=30),
    st.sampled_from(({}, {"lm": False, "packet_seconds": 0.3})),
)
def test_any_sizes_give_the_same(samples, in_sizes, out_sizes, options):
    check_any_sizes(SHAPED, samples, in_sizes, out_sizes, live=True, **options)


def test_live_sound_is_nearly_that_of_a_file():
    codec, wave = ecdc.load_model(), band_noise(6)[0]
    wanted = measured(wave[None])
    plain, live, file = (
        np.abs(measured(decoded(data, None)[None]) - wanted).mean()
        for data in (
            packed(wave, changed(codec.folder, envelope_frames=None), lm=False),
            packed(wave, codec, lm=False),
            packed(wave, codec, lm=False, live=False),
        )
    )
    assert live < 0.6 * plain and live < file + 0.1


def test_edited_streams_keep_their_envelopes():
    codec, wave = ecdc.load_model(), band_noise(12)[0]
    data = packed(wave, codec, 3.0)
    truncate(io.BytesIO(data), lower := io.BytesIO(), 1.5)
    assert lower.getvalue() == packed(wave, codec, 1.5)
    whole = decoded(data, None)
    for first in (0, 30_000, 123_456, 200_000):
        np.testing.assert_allclose(
            decoded(data, None, start=first, frames=9_000), whole[first : first + 9_000], rtol=0, atol=1e-6
        )
    cut(io.BytesIO(data), part := io.BytesIO(), 6, 4)
    later = decoded(part.getvalue(), None)
    start = next(packet.position for packet in packets(data)[1:] if packet.key) * HOP
    # It begins without what came before.
    np.testing.assert_allclose(later[RATE : 4 * RATE], whole[start + RATE : start + 4 * RATE], rtol=0, atol=1e-6)


def test_after_a_loss_envelopes_are_left_out_until_a_key_packet():
    """Packets that are packed plainly decode all the same."""
    codec = ecdc.load_model()
    data = packed(band_noise(12)[0], codec, lm=False)
    without = packed(band_noise(12)[0], changed(codec.folder, envelope_frames=None), lm=False)
    whole, bare, decompressor = decoded(data, None), decoded(without, None), Decompressor(recover=True)
    wave = np.concatenate([*decompressor.push(damaged(data, 20)), *decompressor.finish()], axis=1)[0]
    assert len(wave) == len(whole) and decompressor.lost.seconds == pytest.approx(PACKET * HOP / RATE)
    key = next(packet.position for packet in packets(data)[1:] if packet.key) * HOP
    sure, bared, after = (
        slice(0, 19 * PACKET * HOP),
        slice(30 * PACKET * HOP, key - 3 * HOP),
        slice(key + RATE // 2, None),
    )
    np.testing.assert_allclose(wave[sure], whole[sure], rtol=0, atol=1e-6)
    np.testing.assert_allclose(wave[bared], bare[bared], rtol=0, atol=1e-5)
    np.testing.assert_allclose(wave[after], whole[after], rtol=0, atol=1e-6)
    repair(io.BytesIO(damaged(data, 20)), target := io.BytesIO())
    repaired = decoded(target.getvalue(), None)
    np.testing.assert_allclose(repaired[sure], whole[sure], rtol=0, atol=1e-6)
    np.testing.assert_allclose(repaired[bared], bare[bared], rtol=0, atol=1e-5)
    np.testing.assert_allclose(repaired[after], whole[after], rtol=0, atol=1e-6)


@pytest.mark.parametrize("lm", (True, False))
def test_whatever_is_lost_the_rest_can_be_decoded(lm):
    data = packed(band_noise(12)[0], lm=lm)
    whole = decoded(data)
    for number in (1, 2, 20, 45, len(packets(data)) - 1):
        decompressor = Decompressor(TINY, recover=True)
        wave = np.concatenate([*decompressor.push(damaged(data, number)), *decompressor.finish()], axis=1)[0]
        assert len(wave) == len(whole)
        repair(io.BytesIO(damaged(data, number)), target := io.BytesIO(), TINY)
        # How long the last packet was, nothing says.
        assert len(whole) - PACKET * HOP < len(decoded(target.getvalue())) <= len(whole)


def test_promptness_without_envelopes_makes_no_sense():
    made = bytearray((GOLDEN / "streaming.ecdc").read_bytes())
    made[5] |= 0x04
    with pytest.raises(BitstreamError, match="checksum|envelope"):
        decoded(bytes(made))
    with pytest.raises(BitstreamError, match="impossible envelope"):
        Header(**{**vars(header((GOLDEN / "streaming.ecdc").read_bytes())), "prompt": True}).pack()
