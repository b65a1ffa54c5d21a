"""Models with values and shapes that no model has are refused, by the tensor's name; good ones of ours are imported."""

import json
import shutil

import numpy as np
import pytest
import torch
from conftest import GOLDEN, TINY, check
from conftest import ecdc as command
from safetensors.torch import load_file, save_file

import ecdc
from ecdc.entropy.language_model import LanguageModel
from ecdc.errors import ModelError
from ecdc.fingerprint import fingerprint
from ecdc.models import language_model, load_model
from ecdc.models.importing import import_model

pytestmark = pytest.mark.usefixtures("home")
BIAS, G, V = (f"decoder.model.0.conv.conv.{part}" for part in ("bias", "weight_g", "weight_v"))
SCALE = "quantizer.vq.layers.1._codebook.embed_scale"


def copied(tmp_path):
    """The tiny model, with one layer in weight norm's two parts."""
    folder = tmp_path / "copy"
    shutil.copytree(TINY, folder)
    state = load_file(folder / "weights.safetensors")
    state[V] = state.pop(V.replace("weight_v", "weight"))
    state[G] = torch.linalg.vector_norm(state[V].float(), dim=(1, 2), keepdim=True)
    save_file(state, folder / "weights.safetensors")
    return folder


@pytest.mark.parametrize(
    "name, change",
    (
        (BIAS, lambda x: x * float("nan")),
        (BIAS, lambda x: x + float("inf")),
        (BIAS, lambda x: x.float() + 1e30),
        (G, lambda x: x[:1]),
        (G, lambda x: x[:, :, 0]),
    ),
)
def test_impossible_weights(tmp_path, name, change):
    folder = copied(tmp_path)
    state = load_file(folder / "weights.safetensors")
    save_file({**state, name: change(state[name]).contiguous()}, folder / "weights.safetensors")
    for refused in (load_model, import_model):
        with pytest.raises(ModelError, match=f"copy.*{name}"):
            refused(folder)


def test_a_direction_of_zero_and_a_broadcast_factor(tmp_path):
    folder = copied(tmp_path)
    state = load_file(folder / "weights.safetensors")
    save_file({**state, V: torch.zeros_like(state[V])}, folder / "weights.safetensors")
    with pytest.raises(ModelError, match=f"{G} is zero"):
        load_model(folder)
    save_file({**state, SCALE: torch.ones(1)}, folder / "weights.safetensors")
    with pytest.raises(ModelError, match="codebook 1"):
        import_model(folder)


@pytest.mark.parametrize("value", ("[NaN]", "[1.5, Infinity]", "[1e999]", "[-1.5]", "[" * 100_000))
def test_impossible_configurations(tmp_path, value):
    folder = copied(tmp_path)
    values = json.loads((folder / "config.json").read_text())
    text = json.dumps({**values, "bandwidths": "HERE"}).replace('"HERE"', value)
    (folder / "config.json").write_text(text)
    for refused in (load_model, import_model):
        with pytest.raises(ModelError):
            refused(folder)


@pytest.mark.parametrize(
    "name, change",
    (
        ("layers.0.qkv.weight", lambda x: x.astype(np.int64) * 10**10),
        ("layers.0.qkv.weight", lambda x: x.astype(np.float64)),
        ("layers.1.down.weight", lambda x: x[:-1]),
        ("layers.0.score_scale", lambda x: x * 1e12),
        ("layers.0.score_scale", lambda x: x * 0),
        ("layers.1.up.scale", lambda x: x * np.nan),
        ("head.scale", lambda x: x * 1e15),
        ("embed_scale", lambda x: x[:1]),
        ("embed_scale", lambda x: np.array([1e308, -1e308, 1e308, 1])),
        ("count_table", lambda x: x - x[-1]),
        ("attention_table", lambda x: x + 1),
        ("norm_in.epsilon", lambda x: x * 0),
        ("inner_scale", lambda x: x * 2**40),
    ),
)
def test_impossible_language_models(name, change):
    model = language_model(load_model(TINY))
    tensors = {**model.tensors, name: change(model.tensors[name])}
    # The sums that conditions inside the frame make too large are those of the heads.
    with pytest.raises(ModelError, match="head.weight" if name == "inner_scale" else name):
        LanguageModel(model.config, tensors)


def test_a_folder_of_ours_is_imported_as_it_is():
    check(command("models", "import", TINY, "--name", "mine"))
    mine, before = load_model("mine"), load_model(TINY)
    assert mine.fingerprint == before.fingerprint and mine.config.name == "mine"
    assert language_model(mine).fingerprint == language_model(before).fingerprint
    data, _ = ecdc.read(GOLDEN / "modelled.ecdc")
    np.testing.assert_array_equal(data, ecdc.read(GOLDEN / "modelled.ecdc", model=TINY)[0])


def test_fingerprints_do_not_depend_on_the_order_of_bytes():
    values = np.arange(-3, 4)
    for kind in ("i2", "i8", "f4", "f8"):
        assert fingerprint(b"", {"x": values.astype(">" + kind)}) == fingerprint(b"", {"x": values.astype("<" + kind)})
