"""Training hears what a decoder gives: the same samples, and a gradient."""

import numpy as np
import pytest
import torch
from conftest import TINY, TINY_STEREO
from make_golden import changed
from support.streams import band_noise

from ecdc.codec.config import CodecConfig
from ecdc.codec.envelope import Meter, Shaper
from training.codec.shaping import Shaping

SHAPED = ((TINY, 12), (TINY_STEREO, 33))


def waves(config: CodecConfig, samples: int) -> tuple[torch.Tensor, torch.Tensor]:
    """An original [C, T], and another at other levels."""
    wave = torch.from_numpy(np.concatenate([band_noise(3, seed) for seed in range(config.channels)]))[:, :samples]
    return wave, wave.roll(7, 1) * torch.linspace(0.1, 2, samples) + 0.001 * wave.flip(1)


@pytest.mark.parametrize("folder, block", SHAPED)
def test_it_is_what_a_decoder_gives(folder, block):
    config = changed(folder, envelope_frames=block).config
    samples = 4 * block * config.envelope_hop
    wave, other = waves(config, samples)
    meter, shaper = Meter(config, block), Shaper(config, block)
    meter.push(wave.numpy())
    shaper.expect(samples, meter.levels(samples))
    expected = np.concatenate([shaper.push(other.numpy()), shaper.flush(other[:, :0].numpy())], axis=1)
    expected = torch.from_numpy(expected)
    assert (expected - other).abs().max() > 0.01
    torch.testing.assert_close(Shaping(config)(other[None], wave[None])[0], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("folder, block", SHAPED)
def test_any_length_keeps_it_and_has_a_gradient(folder, block):
    config = changed(folder, envelope_frames=block).config
    for samples in (100, block * config.envelope_hop // 3, 2 * block * config.envelope_hop + 777):
        wave, other = waves(config, samples)
        for output in (other, torch.zeros_like(other), 1e4 * other):
            output = output[None].clone().requires_grad_()
            heard = Shaping(config)(output, wave[None])
            assert heard.shape == output.shape
            heard.square().sum().backward()
            assert output.grad.isfinite().all()


def test_levels_cost_nothing_where_they_are_sent():
    config = changed(TINY, envelope_frames=12).config
    wave, _ = waves(config, 9 * 12 * config.envelope_hop)
    first, second = (Shaping(config)(gain * wave.roll(7, 1)[None], wave[None]) for gain in (4, 8))
    torch.testing.assert_close(first, second, rtol=0, atol=1e-3 * float(first.std()))
    assert 0.9 < float(first.std() / wave.std()) < 1.1
