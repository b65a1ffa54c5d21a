"""Training of language models: what comes out codes losslessly, and what was stopped goes on."""

import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from conftest import ROOT, VOICE
from support.streams import decoded, packed

import ecdc
from ecdc.entropy.convert import convert
from ecdc.entropy.float_model import FloatLanguageModel
from ecdc.entropy.model_file import load_language_model
from ecdc.errors import EcdcError
from ecdc.models import language_model
from ecdc.models.registry import LANGUAGE_MODEL
from training.data.crops import Crops, scan
from training.lm.codes import collect
from training.lm.start import float_state
from training.lm.trainer import LmSettings, train_lm


def test_language_model_is_trained_and_used(causal_run, audio, tmp_path, capsys):
    for inner in (False, True):
        folder = tmp_path / f"mine-{inner}"
        shutil.copytree(causal_run.model, folder)
        train_lm(
            folder,
            [audio],
            tmp_path / f"lm-{inner}.pt",
            LmSettings(steps=2, batch=1, processes=1, hours=0.01, inner=inner),
        )
        assert abs(float(re.search(r"exact form: (\S+) %", capsys.readouterr().err)[1])) < 1
        data, _ = soundfile.read(VOICE, frames=24000, dtype="float32")
        with_it, without = (
            packed(ecdc.load_model(folder), data[None], 1.2, nearest=True, lm=lm) for lm in (True, False)
        )
        assert with_it != without and np.array_equal(decoded(with_it, folder), decoded(without, folder))
    first = language_model(ecdc.load_model(folder))
    shutil.copytree(folder, tmp_path / "further")
    train_lm(
        tmp_path / "further",
        [audio],
        tmp_path / "further.pt",
        LmSettings(steps=1, batch=1, processes=1, hours=0.01, start=str(folder), rate=0.0),
    )
    further = load_language_model(tmp_path / "further" / LANGUAGE_MODEL)
    assert further.config == first.config and "inner" in further.tensors
    for name, tensor in first.tensors.items():
        if tensor.dtype == np.int8:
            assert np.array_equal(tensor, further.tensors[name]), name
    with pytest.raises(EcdcError, match="the codec 4 of 16"):
        train_lm(folder, [audio], tmp_path / "other.pt", LmSettings(start="ecdc_24khz"))
    with pytest.raises(EcdcError, match="is not a float language model"):
        train_lm(folder, [audio], tmp_path / "other.pt", LmSettings(start=str(folder / LANGUAGE_MODEL)))
    (tmp_path / "further" / LANGUAGE_MODEL).unlink()
    with pytest.raises(EcdcError, match="has no language model to start from"):
        train_lm(folder, [audio], tmp_path / "other.pt", LmSettings(start=str(tmp_path / "further")))


def stop_at(said: bytes, *arguments) -> None:
    """Start a training command, and send SIGTERM once it has said this."""
    process = subprocess.Popen(
        [sys.executable, "-m", "training", *map(str, arguments)], cwd=ROOT, stderr=subprocess.PIPE
    )
    heard = b""
    while said not in heard and (more := process.stderr.read(1)):
        heard += more
    process.terminate()
    heard += process.stderr.read()
    assert process.wait(60) == 0 and b"the same command goes on" in heard and b"Traceback" not in heard, heard


def test_stopped_language_model_goes_on(causal_run, audio, tmp_path):
    folder, state = tmp_path / "mine", tmp_path / "lm.pt"
    shutil.copytree(causal_run.model, folder)
    stop_at(
        b"bits a code",
        "lm",
        folder,
        "--audio",
        audio,
        "--state",
        state,
        "--hours",
        "0.02",
        "--batch",
        "1",
        "--steps",
        "100000",
    )
    done = torch.load(state, weights_only=True)["step"]
    assert 0 < done < 100000 and not (folder / LANGUAGE_MODEL).exists()
    train_lm(folder, [audio], state, LmSettings(steps=done + 1, batch=1, processes=1))
    assert torch.load(state, weights_only=True)["step"] == done + 1 and (folder / LANGUAGE_MODEL).exists()


def test_stopped_collection_of_codes_goes_on(causal_run, audio, tmp_path):
    folder, state = tmp_path / "mine", tmp_path / "lm.pt"
    shutil.copytree(causal_run.model, folder)
    stop_at(b"codes of", "lm", folder, "--audio", audio, "--state", state, "--hours", "100")
    parts = [tmp_path / f"lm.codes.{number}of2" for number in range(2)]
    made = [torch.load(part, weights_only=True) for part in parts]
    assert len(made[0]) == len(made[1]) > 0 and not state.exists()
    # As after a kill while only one of them had saved.
    torch.save(made[1][:0], parts[1])
    hours = 20 * (len(made[0]) + 1) / 3600
    assert collect(
        folder, Crops(scan([audio], tmp_path / "lm.index"), 24000, 1), tmp_path / "lm.codes", hours, 2, 0, None
    )
    codes = torch.load(tmp_path / "lm.codes", weights_only=True)
    assert len(codes) == 2 * len(made[0]) + 2 and not any(part.exists() for part in parts)
    torch.testing.assert_close(codes[: len(made[0])], made[0], rtol=0, atol=0)


@pytest.mark.parametrize("inner", [False, True])
def test_float_weights_come_back_from_an_exact_language_model(inner):
    torch.manual_seed(3)
    model = FloatLanguageModel(4, 64, dimension=32, layers=2, heads=4, hidden=64, window=50, inner=inner)
    for layer in model.transformer.layers:
        torch.nn.init.normal_(layer.norm1.weight, 1.5, 0.2), torch.nn.init.normal_(layer.norm2.bias, 0, 0.3)
    back = FloatLanguageModel.from_state(float_state(convert(model, 100)), 4, 50)
    codes = torch.randint(0, 64, (2, 4, 80))
    with torch.inference_mode():
        assert (model.bits(codes) - back.bits(codes)).abs().mean() < 0.02 < (model.bits(codes) - 6).abs().mean()
