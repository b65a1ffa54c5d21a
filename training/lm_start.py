"""A language model's training that starts from another's weights, be they floats or an exact model's integers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ecdc.codec.config import CodecConfig
from ecdc.entropy.convert import GELU_STEPS, NAT_STEPS
from ecdc.entropy.float_model import FloatLanguageModel, load_float_model
from ecdc.entropy.language_model import LanguageModel
from ecdc.errors import EcdcError
from ecdc.models import load_model
from ecdc.models.checkpoints import read_tensors
from ecdc.models.registry import language_model

EPSILON = 1e-5


def start_model(start: str, config: CodecConfig) -> FloatLanguageModel:
    """A model to train on, of a file of float weights with official names, or of a model's exact language model.

    Raises EcdcError if there is no such file or model, if it has no language model, or one for other codebooks than
    those of `config`.
    """
    try:
        model = load_float_model(_start_state(start), config.frame_rate)
    except (KeyError, RuntimeError):
        raise EcdcError(f"{start} is not a float language model: give a file of one, or a model's name or folder") from None
    if (len(model.emb), model.codebook_size) != (config.codebooks, config.codebook_size):
        raise EcdcError(f"the language model to start from has {len(model.emb)} codebooks of {model.codebook_size}, "
                        f"the codec {config.codebooks} of {config.codebook_size}")
    return model


def _start_state(start: str) -> dict[str, Tensor]:
    if Path(start).is_file():
        return read_tensors(Path(start))
    exact = language_model(load_model(start))
    if exact is None:
        raise EcdcError(f"{start} has no language model to start from")
    return float_state(exact)


def float_state(exact: LanguageModel) -> dict[str, Tensor]:
    """The float model that an exact one comes from, but for the rounding of its weights.

    All activations' scales are powers of two, which epsilons, positions and attention's factor give away.
    """
    tensors, dimension = exact.tensors, exact.dimension
    state: dict[str, np.ndarray] = {}

    def scale_before(norm: str) -> float:
        return _power_of_two(math.sqrt(float(tensors[norm + ".epsilon"][0]) / EPSILON) / dimension)

    def norm(name: str, official: str, scale_out: float) -> None:
        state[official + ".weight"] = tensors[name + ".gain"] / scale_out
        state[official + ".bias"] = tensors[name + ".bias"] / scale_out

    def linear(name: str, official: str, scale_in: float, scale_out: float, offset: float = 0.0,
               joint: str = ".") -> None:
        steps = tensors[name + ".scale"] * scale_in / scale_out
        state[f"{official}{joint}weight"] = tensors[name + ".weight"] * steps[..., None]
        state[f"{official}{joint}bias"] = (tensors[name + ".bias"] - offset) / scale_out

    steps = tensors["embed_scale"] / scale_before("norm_in")
    state.update({f"emb.{k}.weight": table * step for k, (table, step) in enumerate(zip(tensors["embed"], steps))})
    scale = float(tensors["positions"][0, 0])  # the first position's cosine, 1
    norm("norm_in", "transformer.norm_in", scale)
    for index in range(len(exact.layers)):
        name, official = f"layers.{index}.", f"transformer.layers.{index}."
        last = index + 1 == len(exact.layers)
        qkv = _power_of_two(math.sqrt(NAT_STEPS / (math.sqrt(dimension // exact.heads)
                                                   * float(tensors[name + "score_scale"][0]))))
        middle = len(tensors[name + "gelu"]) // 2
        norm1, gelu = scale_before(name + "norm2"), _power_of_two(tensors[name + "gelu"][-1] / (middle / GELU_STEPS))
        linear(name + "qkv", official + "self_attn.in_proj", scale, qkv, joint="_")
        linear(name + "out", official + "self_attn.out_proj", qkv, scale)
        norm(name + "norm1", official + "norm1", norm1)
        linear(name + "up", official + "linear1", norm1, GELU_STEPS, middle + 0.5)
        linear(name + "down", official + "linear2", gelu, norm1)
        # Before the heads any scale will do: it goes into the norm and out of the heads.
        scale = (_power_of_two(np.abs(tensors[name + "norm2.gain"]).mean()) if last
                 else scale_before(f"layers.{index + 1}.norm1"))
        norm(name + "norm2", official + "norm2", scale)
    linear("head", "heads", scale, NAT_STEPS)
    weights, biases = state.pop("heads.weight"), state.pop("heads.bias")
    for k in range(exact.codebooks):
        state[f"linears.{k}.weight"], state[f"linears.{k}.bias"] = weights[k], biases[k]
    if exact.inner is not None:
        state.update({f"inner.{k}.weight": table * step / scale
                      for k, (table, step) in enumerate(zip(exact.inner, exact.inner_scale))})
    return {name: torch.from_numpy(np.asarray(tensor, np.float32)) for name, tensor in state.items()}


def _power_of_two(value: float) -> float:
    return 2.0 ** round(math.log2(value))
