"""Raw samples, rates and channels: what comes out is what went in, whatever the sizes of blocks."""

import numpy as np
import pytest
from conftest import noise

from ecdc.audio.convert import Resampler, check_channels, converted_length, map_channels
from ecdc.audio.formats import FORMATS
from ecdc.audio.pcm import decode_pcm, encode_pcm
from ecdc.errors import AudioError


@pytest.mark.parametrize("name", FORMATS)
def test_pcm_keeps_every_value_and_clamps(name):
    _size, bits = FORMATS[name]
    if bits:
        full = 2 ** (bits - 1)
        values = np.unique(np.linspace(-full, full - 1, 1001).astype(np.int64))
        block = (values / full).astype(np.float32)[None]
        np.testing.assert_array_equal(decode_pcm(encode_pcm(block, name), name, 1), block.clip(-1, (full - 1) / full))
    loud = np.array([[-3, 3]], np.float32)
    expected = loud if not bits else [[-1, 1 - 2.0 ** (1 - bits)]]
    np.testing.assert_allclose(decode_pcm(encode_pcm(loud, name), name, 1), expected, atol=1e-9)


RATES = (
    (44100, 24000),
    (24000, 44100),
    (8000, 24000),
    (24000, 8000),
    (48000, 24000),
    (22050, 24000),
    (24000, 24000),
    (384000, 24000),
    (44101, 24000),
)


@pytest.mark.parametrize("rate, new_rate", RATES)
def test_resampler_gives_the_same_for_any_block_sizes(rate, new_rate):
    data = noise(rate // 2 + 17, 2).T
    results = []
    for seed in range(3):
        resampler, sizes, pieces, position = Resampler(rate, new_rate, 2), np.random.default_rng(seed), [], 0
        while position < data.shape[1]:
            size = int(sizes.integers(0, 9000)) if seed else data.shape[1]
            pieces.append(resampler.push(data[:, position : position + size]))
            position += size
        results.append(np.concatenate([*pieces, resampler.flush()], axis=1))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])
    assert abs(results[0].shape[1] - converted_length(data.shape[1], rate, new_rate)) <= 1


def test_resampler_keeps_time():
    """A tone comes out as the same tone, in phase."""
    t = np.arange(44100) / 44100
    resampler = Resampler(44100, 24000, 1)
    out = np.concatenate([resampler.push(np.sin(2 * np.pi * 440 * t)[None]), resampler.flush()], axis=1)[0]
    expected = np.sin(2 * np.pi * 440 * np.arange(len(out)) / 24000)
    assert np.abs(out - expected)[500:-500].max() < 1e-4


def test_channels():
    stereo = noise(10, 2).T
    np.testing.assert_allclose(map_channels(stereo, 1)[0], stereo.mean(0))
    np.testing.assert_array_equal(map_channels(stereo[:1], 2), stereo[[0, 0]])
    assert map_channels(stereo, 2) is stereo
    check_channels(6, downmix=True)
    with pytest.raises(AudioError, match="2 are the most$"):
        check_channels(6, downmix=False)
