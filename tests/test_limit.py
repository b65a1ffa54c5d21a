"""The limiter: no sample beyond full scale, none changed without need, the same for any sizes."""

import numpy as np
import pytest
from conftest import noise
from hypothesis import given, settings
from hypothesis import strategies as st

from ecdc.audio.limit import AHEAD_SECONDS, Limiter

RATE = 24000
AHEAD = round(AHEAD_SECONDS * RATE)


def limited(wave: np.ndarray, sizes=()) -> np.ndarray:
    limiter, ends = Limiter(RATE, len(wave)), np.cumsum(sizes, dtype=int)
    parts = [limiter.push(part) for part in np.split(wave, ends[ends < wave.shape[1]], axis=1)]
    return np.concatenate([*parts, limiter.flush()], axis=1)


def loud() -> np.ndarray:
    """[2, T]: soft but for a burst of one channel and a single sample of the other."""
    wave = np.clip(noise(20_000, 2).T, -0.9, 0.9)
    wave[0, 8000:8200] *= 20
    wave[1, 15_000] = -4
    return wave


def test_peaks_are_limited_and_the_rest_is_left_alone():
    wave = loud()
    given_back = limited(wave)
    assert given_back.shape == wave.shape and np.abs(given_back).max() <= 1
    far = np.ones(wave.shape[1], bool)
    far[8000 - AHEAD : 8200 + AHEAD] = far[15_000 - AHEAD : 15_001 + AHEAD] = False
    np.testing.assert_array_equal(given_back[:, far], wave[:, far])
    # Both channels have the same gain, so that the sound stays where it is; peaks come near full scale.
    gains = given_back[:, 15_000 - AHEAD + 1 : 15_000 + AHEAD] / wave[:, 15_000 - AHEAD + 1 : 15_000 + AHEAD]
    np.testing.assert_allclose(gains[0], gains[1], rtol=1e-5)
    assert given_back[1, 15_000] == pytest.approx(-1, abs=1e-6) and np.abs(np.diff(gains[0])).max() < 2 / AHEAD


def test_what_fits_is_the_same_to_the_last_bit():
    wave = np.clip(noise(5000).T * 5, -1, 1)
    np.testing.assert_array_equal(limited(wave), wave)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3000), max_size=20))
def test_any_sizes_give_the_same(sizes):
    np.testing.assert_array_equal(limited(loud(), sizes), limited(loud()))


@pytest.mark.parametrize("samples", (0, 1, AHEAD - 1, AHEAD, 2 * AHEAD + 1))
def test_short_signals(samples):
    wave = np.full((1, samples), 3, np.float32)
    assert limited(wave).shape == wave.shape and np.abs(limited(wave)).max(initial=0) <= 1
