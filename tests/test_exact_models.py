"""Exact language models against their float ones, and as files."""

import numpy as np
import pytest
import torch
from conftest import GOLDEN, TINY
from support.codes import all_counts, real_codes
from support.peers import official_language_model

import ecdc
from ecdc.entropy.convert import convert
from ecdc.entropy.float_model import FloatLanguageModel
from ecdc.errors import ModelError
from ecdc.models import language_model, load_model


def test_the_float_model_is_the_official_one():
    torch.manual_seed(0)
    official = official_language_model(codebooks=4, card=64, window=20)
    ours = FloatLanguageModel(4, 64, window=20)
    ours.load_state_dict(official.state_dict())
    codes = torch.randint(0, 64, (2, 4, 60))
    previous = torch.nn.functional.pad(codes + 1, (1, 0))[..., :-1]
    with torch.inference_mode():
        expected, _, _ = official(previous)
        states, offset, steps = None, 0, []
        for frame in range(60):
            step, states, offset = official(previous[..., frame : frame + 1], states, offset)
            steps.append(step)
        log = ours.log_probabilities(ours.hidden(previous), codes).permute(0, 3, 1, 2)
    torch.testing.assert_close(log, expected.log(), rtol=0, atol=1e-4)
    torch.testing.assert_close(log, torch.cat(steps, -1).log(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("inner", (False, True))
def test_quantisation_costs_less_than_half_a_percent(inner):
    """On a model trained for a moment on real codes; the bundled one was measured on minutes of audio."""
    torch.manual_seed(0)
    codes = torch.from_numpy(real_codes(load_model(), 4)).long()
    codes = codes[:, :1050].reshape(4, 7, 150).transpose(0, 1).contiguous()
    model = FloatLanguageModel(4, layers=2, window=100, inner=inner)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(12):
        optimizer.zero_grad()
        model.bits(codes).mean().backward()
        optimizer.step()
    exact = convert(model, 150)
    total = 0.0
    for part in codes.numpy():
        counts = all_counts(exact, part, 64)
        own = np.take_along_axis(counts, part.T[..., None], axis=2)[..., 0]
        total -= np.log2(own / counts.sum(-1)).sum()
    ideal = float(model.bits(codes).detach().sum())
    assert ideal < 9.7 * codes.numel()
    assert abs(total / ideal - 1) < 0.005


def test_the_bundled_file_is_small_enough():
    assert (load_model().folder / "exact_lm.safetensors").stat().st_size < 20e6


@pytest.mark.parametrize("data", (b"", b"x" * 100, None))
def test_damaged_language_models(tmp_path, data):
    for file in TINY.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / "exact_lm.safetensors"
    if data is None:
        path.write_bytes((tmp_path / "weights.safetensors").read_bytes())
    else:
        path.write_bytes(data)
    with pytest.raises(ModelError, match="exact_lm.safetensors"):
        language_model(load_model(tmp_path))


def test_a_stream_names_its_language_model(tmp_path):
    for file in TINY.iterdir():
        if file.name != "exact_lm.safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ModelError, match="coded with the language model [0-9a-f]{16}, but tiny_24khz here has none"):
        ecdc.read(GOLDEN / "modelled.ecdc", model=tmp_path)
    np.testing.assert_array_equal(
        ecdc.read(GOLDEN / "chunked.ecdc", model=tmp_path)[0], ecdc.read(GOLDEN / "chunked.ecdc", model=TINY)[0]
    )
