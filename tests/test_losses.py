"""Losses of training: they vanish where nothing differs, and each gets its share of the gradient."""

import numpy as np
import pytest
import soundfile
import soxr
import torch
from conftest import VOICE

from training.codec.balancer import Balancer
from training.codec.losses import mel_filters, mel_loss, si_snr
from training.codec.similarity import similarity_loss


def test_mel_filters_cover_the_band_evenly():
    filters = mel_filters(24000, 1024, 64)
    assert filters.shape == (64, 513) and torch.allclose(filters.sum(1), torch.ones(64), atol=1e-5)
    peaks = filters.argmax(1)
    assert (peaks.diff() >= 0).all() and peaks[-1] > 480


def test_losses_fall_with_the_error_and_vanish_without():
    wave = torch.from_numpy(soundfile.read(VOICE, frames=24000, dtype="float32")[0])[None, None]
    noise = torch.randn_like(wave) * 0.01
    assert mel_loss(wave, wave, 24000) == 0
    assert mel_loss(wave + noise, wave, 24000) > mel_loss(wave + noise / 10, wave, 24000) > 0
    assert si_snr(wave * 0.3 + 0.1, wave).item() > 60 > si_snr(wave + noise, wave).item()


@pytest.mark.parametrize("rate", [24000, 48000])
def test_similarity_falls_with_the_error_whatever_the_level(rate):
    wave = torch.from_numpy(soundfile.read(VOICE, frames=24000, dtype="float32")[0])[None, None]
    wave = torch.from_numpy(soxr.resample(wave[0, 0].numpy(), 24000, rate))[None, None]
    noise = torch.randn_like(wave) * 0.01
    assert abs(similarity_loss(wave, wave, rate)) < 1e-5
    some, more = (similarity_loss(wave + x, wave, rate) for x in (noise / 10, noise))
    assert 0.01 < some < more < 1
    assert similarity_loss(100 * (wave + noise), 100 * wave, rate) == pytest.approx(more.item(), abs=1e-3)
    silent = torch.zeros_like(wave, requires_grad=True)
    similarity_loss(silent, wave, rate).backward()
    assert silent.grad.isfinite().all()


def test_similarity_is_what_visqol_finds():
    """Its constants are smaller, and it leaves out less that is silent."""
    core = pytest.importorskip("visqol")
    rate, random = 48000, np.random.default_rng(0)
    wave = soxr.resample(soundfile.read(VOICE, frames=24000 * 5)[0], 24000, rate)
    api = core.VisqolApi()
    api.create(mode="audio")
    for level in (0.0003, 0.003, 0.03):
        noisy = wave + level * random.standard_normal(len(wave))
        found = api.measure_from_arrays(wave, noisy, rate).vnsim
        a, b = (torch.from_numpy(x).float()[None, None] for x in (wave, noisy))
        assert 1 - similarity_loss(b, a, rate).item() == pytest.approx(found, abs=0.08)


def test_balancer_gives_each_loss_its_share():
    output = torch.randn(2, 1, 50, requires_grad=True)
    losses = {"small": 1e-4 * output.square().sum(), "large": 1e4 * (output**3).sum()}
    gradient = Balancer().gradient(losses, {"small": 3.0, "large": 1.0}, output)
    small, large = output.detach(), output.detach().square()
    expected = 0.75 * small / small.flatten(1).norm(dim=1).mean() + 0.25 * large / large.flatten(1).norm(dim=1).mean()
    assert torch.allclose(gradient, expected, atol=1e-5)
