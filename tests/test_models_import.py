"""What cannot be imported, damage after installation, and values published for official models."""

import json
import os

import pytest
import torch
from conftest import VOICE
from conftest import ecdc as command
from safetensors.torch import load_file, save_file
from support.checkpoints import OFFICIAL, official_checkpoint, save_official

import ecdc
from ecdc.errors import ModelError
from ecdc.models.conformance import RECORDING, VALUES, check_conformance
from ecdc.models.importing import import_model
from ecdc.models.store import installed

pytestmark = pytest.mark.usefixtures("home")


class Evil:
    def __reduce__(self):
        return print, ("run",)


def test_what_cannot_be_imported(tmp_path, home):
    config = OFFICIAL["encodec_24khz"]
    state = official_checkpoint(config).state_dict()
    torch.save({"state": Evil()}, tmp_path / "evil.th")
    torch.save({**state, "quantizer.vq.layers.40._codebook.embed": torch.zeros(1024, 128)}, tmp_path / "shape.th")
    torch.save({**state, "encoder.model.99.conv.conv.bias": torch.zeros(3)}, tmp_path / "extra.th")
    torch.save({name: tensor for name, tensor in state.items() if "model.3." not in name}, tmp_path / "missing.th")
    torch.save({"a": 1}, tmp_path / "numbers.th")
    torch.save(state, tmp_path / "encodec_24khz-d7cc33bc.th")
    (tmp_path / "cut.th").write_bytes((tmp_path / "extra.th").read_bytes()[:1000])
    folders = {"empty": {}, "other": {"model_type": "dac"}, "no weights": {"model_type": "encodec"}}
    for name, values in folders.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(values))
    messages = {
        "evil.th": "for safety",
        "shape.th": "not published",
        "extra.th": "do not fit",
        "missing.th": "do not fit",
        "numbers.th": "no state dict",
        "encodec_24khz-d7cc33bc.th": "its SHA-256 is",
        "cut.th": "cannot be read",
        "empty": "model_type is None",
        "other": "'dac'",
        "no weights": "none of model.safetensors",
    }
    for name, message in messages.items():
        with pytest.raises(ModelError, match=message):
            import_model(tmp_path / name)
    assert installed() == {} and not list((home / "models").glob("*") if home.exists() else ())


def test_damage_after_installation_is_found(tmp_path, home):
    _, path, lm_path = save_official(tmp_path, "encodec_48khz", lm=True)
    folder = import_model(path, lm=lm_path)
    state = load_file(folder / "weights.safetensors")
    name = "decoder.model.0.conv.conv.bias"
    save_file({**state, name: state[name] + 1e-3}, folder / "weights.safetensors")
    done = command("models", "verify", "encodec_48khz")
    assert done.returncode == 1 and b"import it again" in done.stderr


@pytest.mark.parametrize("name", VALUES)
def test_conformance_with_the_published_values(name, monkeypatch):
    """For those who have the weights and the recording: ECDC_CONFORMANCE=recording.wav bin/test -k conformance."""
    monkeypatch.delenv("ECDC_HOME")
    monkeypatch.delenv("HF_HUB_CACHE")
    recording = os.environ.get("ECDC_CONFORMANCE")
    if not recording:
        pytest.skip(f"needs official weights and {RECORDING} in ECDC_CONFORMANCE")
    try:
        codec = ecdc.load_model(name)
    except ModelError as error:
        pytest.skip(f"official weights are not installed: {error}")
    assert check_conformance(codec, recording)


def test_conformance_tells_other_weights(tmp_path):
    _, path, _ = save_official(tmp_path, "encodec_24khz")
    import_model(path)
    done = command("models", "verify", "encodec_24khz", "--conformance", VOICE)
    assert done.returncode == 1 and b"published is [62, 835" in done.stderr
    with pytest.raises(ModelError, match="no values are published"):
        check_conformance(ecdc.load_model(), VOICE)
