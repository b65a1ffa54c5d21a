"""Stereo for a mono model: what the mix loses is said, and another channel can be taken."""

import numpy as np
import pytest
import soundfile
from conftest import TINY, noise
from hypothesis import given, settings
from hypothesis import strategies as st
from support.command import check, ecdc
from support.streams import pieces

from ecdc.audio.mix import Mixer
from ecdc.errors import AudioError

RATE = 8000
TONE = (0.1 * np.sin(np.arange(3 * RATE) / 5)).astype(np.float32)


def mixed(wave: np.ndarray, choice: str = "mix", sizes=()) -> tuple[np.ndarray, Mixer]:
    mixer = Mixer(len(wave), RATE, choice)
    parts = [mixer.push(part) for part in pieces(wave, sizes, wave.shape[1])]
    return np.concatenate([*parts, mixer.flush()], axis=1), mixer


@pytest.mark.parametrize(
    "right, loss",
    [
        (TONE, None),
        (0 * TONE, None),
        (-0.2 * TONE, None),
        (noise(len(TONE))[:, 0], None),
        (-TONE, "in 3 of 3 s its channels cancel in the mono mix"),
        (-0.9 * TONE, "in 3 of 3 s its channels cancel in the mono mix"),
        (np.r_[TONE[:RATE], -TONE[RATE:]], "in 2 of 3 s its channels cancel in the mono mix"),
        (TONE[::-1] / 1000, "channel 2 is 60 dB softer than the loudest, and is lost in the mono mix"),
    ],
)
def test_what_the_mix_loses_is_named(right, loss):
    wave = np.stack([TONE, right])
    mono, mixer = mixed(wave)
    assert mixer.loss == loss
    np.testing.assert_array_equal(mono, wave.mean(0, keepdims=True))


def test_silence_does_not_cancel():
    assert mixed(np.stack([1e-4 * TONE, -1e-4 * TONE]))[1].loss is None


def test_channels_are_taken_as_asked():
    wave = np.stack([TONE, -TONE])
    np.testing.assert_array_equal(mixed(wave, "left")[0][0], TONE)
    np.testing.assert_array_equal(mixed(wave, "right")[0][0], -TONE)
    with pytest.raises(AudioError, match="choose mix, left, right, max"):
        Mixer(2, RATE, "both")


def test_the_louder_channel_is_followed():
    wave = np.stack([0.3 * TONE, np.r_[0.5 * TONE[:RATE], 0.03 * TONE[RATE : 2 * RATE], TONE[2 * RATE :]]])
    mono, _ = mixed(wave[::-1], "max")
    # From the second channel to the first where that is ten times as loud, and back where it is three times softer.
    np.testing.assert_array_equal(mono[0, :RATE], wave[1, :RATE])
    np.testing.assert_array_equal(mono[0, RATE + 80 : 2 * RATE], wave[0, RATE + 80 : 2 * RATE])
    np.testing.assert_array_equal(mono[0, 2 * RATE + 80 :], wave[1, 2 * RATE + 80 :])
    steady = np.stack([0.3 * TONE, np.r_[0.3 * TONE[:RATE], 0.5 * TONE[RATE:]]])
    np.testing.assert_array_equal(mixed(steady, "max")[0][0], steady[0])


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(("mix", "left", "right", "max")), st.lists(st.integers(1, 9000), max_size=6))
def test_any_sizes_give_the_same(choice, sizes):
    wave = noise(len(TONE), 2).T * np.linspace(1, 3, len(TONE), dtype=np.float32) * [[1], [-1]]
    whole, mixer = mixed(wave, choice)
    parts, other = mixed(wave, choice, sizes)
    np.testing.assert_array_equal(whole, parts)
    assert whole.shape == (1, len(TONE)) and mixer.loss == other.loss


def test_the_command_says_it_once_and_takes_another_channel(tmp_path):
    source, packed, mono = tmp_path / "a.wav", tmp_path / "a.ecdc", tmp_path / "left.wav"
    soundfile.write(source, np.stack([TONE, -TONE], axis=1), RATE)
    soundfile.write(mono, TONE, RATE)
    said = check(ecdc("compress", "-m", TINY, "-b", "3", source, packed)).stderr.decode()
    assert said.count("cancel in the mono mix") == 1 and "-r 48" in said and "--channel left" in said
    left = check(ecdc("compress", "-m", TINY, "-b", "3", "--channel", "left", source, "-"))
    assert b"cancel" not in left.stderr
    alone = check(ecdc("compress", "-m", TINY, "-b", "3", mono, "-"))
    # But for the number of channels in the header, and the checksums that count it.
    assert left.stdout[60:-40] == alone.stdout[60:-40] and len(left.stdout) == len(alone.stdout)
