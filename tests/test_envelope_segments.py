"""Envelopes of models with segments: their frames share no grid with the codec's."""

import io

import numpy as np
import pytest
from conftest import GOLDEN, TINY_STEREO
from hypothesis import given, settings
from hypothesis import strategies as st
from make_golden import changed
from support import streams
from support.streams import band_noise, damaged, decompressed, header, packets, rewritten

from ecdc.bitstream.envelope import split_envelope
from ecdc.codec.envelope import Meter
from ecdc.entropy.envelope_coder import decode_envelope, encode_envelope
from ecdc.entropy.payload import PayloadCoder
from ecdc.stream.decompressor import Decompressor
from ecdc.stream.edit import join

BLOCK = 33
SHAPED_STEREO = changed(TINY_STEREO, envelope_frames=BLOCK)
# Where segments, their overlap, frames and blocks end.
NEAR_ENDS = (47519, 47520, 47521, 47999, 48000, 48001, 95040, 95100, 15_700, 15_841, 47_690)


def decoded(data: bytes, **options) -> np.ndarray:
    return streams.decoded(data, TINY_STEREO, **options)


def test_golden_envelopes_are_written_as_ever():
    data, config = (GOLDEN / "shaped_stereo.ecdc").read_bytes(), SHAPED_STEREO.config
    assert header(data).envelope_frames == BLOCK
    for packet in packets(data):
        coded, segments = split_envelope(packet.payload)[0], max(1, packet.frames // config.block_frames)
        blocks = segments * config.envelope_blocks(packet.frames // segments, BLOCK)
        assert encode_envelope(decode_envelope(coded, 2, blocks, 28)) == coded


def packed(samples: int, sizes=(), **options) -> bytes:
    """Noise at 48 kHz in both channels, in segments, which the envelope's frames of 10 ms do not share a grid with."""
    wave = np.stack([band_noise(-(-samples // 24000), seed)[0, :samples] for seed in (1, 2)])
    return streams.packed(SHAPED_STEREO, wave, sizes=sizes, lm=False, **options)


@settings(max_examples=15, deadline=None)
@given(
    st.one_of(st.integers(1, 200_000), st.sampled_from(NEAR_ENDS)),
    st.lists(st.integers(0, 30_000), max_size=20),
    st.lists(st.integers(0, 4000), max_size=30),
)
def test_any_sizes_of_segments_give_the_same(samples, in_sizes, out_sizes):
    whole = packed(samples, packet_seconds=2.0)
    assert header(whole).envelope_frames == BLOCK
    assert packed(samples, in_sizes, packet_seconds=2.0) == whole
    once = decoded(whole)
    assert once.shape == (samples, 2)
    np.testing.assert_array_equal(decompressed(whole, out_sizes, TINY_STEREO).T, once)


def measured(wave: np.ndarray) -> np.ndarray:
    """Levels [C, blocks, bands] of six whole segments."""
    meter = Meter(SHAPED_STEREO.config, BLOCK)
    meter.push(wave.T)
    return np.concatenate([meter.levels(47520) for _ in range(6)], axis=1)


def test_segments_have_the_levels_of_the_original():
    """By the decoder's own measure, with the exact samples that its packets stand for."""
    data = packed(6 * 47520)
    coder = PayloadCoder(SHAPED_STEREO.config, 2, None, BLOCK)
    levels = np.concatenate([block.envelope for blocks in coder.decode(packets(data)) for block in blocks], axis=1)
    assert levels.shape == (2, 18, 28)
    after, before = (
        measured(decoded(stream))
        for stream in (data, rewritten(data, lambda payload: b"\0" + split_envelope(payload)[1]))
    )
    assert np.abs(after - levels).mean() < 0.5 * np.abs(before - levels).mean()


@pytest.mark.parametrize("first, second", ((100_000, 70_000), (47_600, 96_000), (95_040, 95_041)))
def test_joined_segments_begin_anew_off_the_grid(first, second):
    """A shorter segment ends where no frame of the envelope does."""
    target = io.BytesIO()
    join([io.BytesIO(packed(first)), io.BytesIO(packed(second))], target, TINY_STEREO)
    data = decoded(target.getvalue())
    ends = len(data) - second
    assert 0 <= ends - first < 320
    alone = decoded(packed(first))
    # The last block's gains may run to those of what follows.
    np.testing.assert_allclose(data[: first - 25_000], alone[: first - 25_000], atol=1e-6)
    assert np.isfinite(data).all() and np.abs(data[ends:]).max() < 2 * np.abs(decoded(packed(second))).max()


def test_a_stretch_of_segments_is_exact():
    data = packed(700_000, packet_seconds=2.0)
    whole = decoded(data)
    for start in (0, 90_000, 95_040, 190_500, 400_000, 690_000):
        np.testing.assert_allclose(decoded(data, start=start, frames=9000), whole[start : start + 9000], atol=1e-6)


def test_lost_segments_are_silent():
    data = packed(500_000, packet_seconds=2.0)
    whole, decompressor = decoded(data), Decompressor(TINY_STEREO, recover=True)
    wave = np.concatenate([*decompressor.push(damaged(data, 1)), *decompressor.finish()], axis=1).T
    assert wave.shape == whole.shape
    np.testing.assert_allclose(wave[:60_000], whole[:60_000], atol=1e-6)
    np.testing.assert_allclose(wave[97_000:188_000], 0, atol=1e-6)
    np.testing.assert_allclose(wave[240_000:], whole[240_000:], atol=1e-6)
