"""Makes the exact integer language model from a float one. Done once; the integers then define the streams."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import torch
from torch import Tensor, nn

from .exact import LIMIT
from .float_model import FloatLanguageModel, position_table
from .language_model import LanguageModel

WEIGHT_LIMIT = 127
HEADROOM = 1.5
# Steps of the tables: per nat of a logarithm, and per unit of the GELU's input.
NAT_STEPS = 128
GELU_STEPS = 256
ATTENTION_BITS = 16
COUNT_BITS = 20
GELU_LIMIT = 1 << 15


def convert(model: FloatLanguageModel, codes: Tensor, max_frames: int) -> LanguageModel:
    """The exact model nearest to a float one.

    Args:
        model: with official names.
        codes: [B, K, T] real codes, to measure the ranges of activations on.
        max_frames: the longest run of frames to provide positions for.
    """
    scales = _activation_scales(model, codes)
    tensors: dict[str, np.ndarray] = {}

    def norm(name: str, layer: nn.LayerNorm, scale_in: float, scale_out: float) -> None:
        dimension = layer.normalized_shape[0]
        tensors[name + ".gain"] = _array(layer.weight) * scale_out
        tensors[name + ".bias"] = _array(layer.bias) * scale_out
        tensors[name + ".epsilon"] = np.array([max(1.0, round(layer.eps * (dimension * scale_in) ** 2))])

    def linear(name: str, weight: Tensor, bias: Tensor, scale_in: float, scale_out: float, offset: float = 0.0) -> None:
        integers, steps = _quantised(_array(weight))
        tensors[name + ".weight"] = integers
        tensors[name + ".scale"] = steps * scale_out / scale_in
        tensors[name + ".bias"] = _array(bias) * scale_out + offset

    embeds = [_quantised_table(_array(layer.weight)) for layer in model.emb]
    tensors["embed"] = np.stack([integers for integers, _ in embeds])
    tensors["embed_scale"] = np.array([step for _, step in embeds]) * scales["embed"]
    norm("norm_in", model.transformer.norm_in, scales["embed"], scales["norm_in"])
    positions = position_table(max_frames, model.emb[0].embedding_dim).double().numpy()
    tensors["positions"] = np.rint(positions * scales["norm_in"]).astype(np.int16)
    scale = scales["norm_in"]
    for index, layer in enumerate(model.transformer.layers):
        name, attention = f"layers.{index}.", layer.self_attn
        qkv, norm1 = scales[name + "qkv"], scales[name + "norm1"]
        head = attention.embed_dim // attention.num_heads
        linear(name + "qkv", attention.in_proj_weight, attention.in_proj_bias, scale, qkv)
        tensors[name + "score_scale"] = np.array([NAT_STEPS / (math.sqrt(head) * qkv * qkv)])
        linear(name + "out", attention.out_proj.weight, attention.out_proj.bias, qkv, scale)
        norm(name + "norm1", layer.norm1, scale, norm1)
        gelu, middle = _gelu_table(scales[name + "up"])
        tensors[name + "gelu"], gelu_scale = gelu
        linear(name + "up", layer.linear1.weight, layer.linear1.bias, norm1, GELU_STEPS, middle + 0.5)
        linear(name + "down", layer.linear2.weight, layer.linear2.bias, gelu_scale, norm1)
        scale = scales[name + "norm2"]
        norm(name + "norm2", layer.norm2, norm1, scale)
    for k, layer in enumerate(model.linears):
        linear(f"head.{k}", layer.weight, layer.bias, scale, NAT_STEPS)
    for part in ("weight", "scale", "bias"):
        tensors[f"head.{part}"] = np.stack([tensors.pop(f"head.{k}.{part}") for k in range(len(model.linears))])
    if len(model.inner):
        inner = [_quantised_table(_array(layer.weight) * scale, whole=True) for layer in model.inner]
        tensors["inner"] = np.stack([integers for integers, _ in inner])
        tensors["inner_scale"] = np.array([step for _, step in inner])
    tensors["attention_table"] = _decay_table(ATTENTION_BITS, last=0)
    tensors["count_table"] = _decay_table(COUNT_BITS, last=1)
    config = {"codebooks": len(model.emb), "codebook_size": model.codebook_size, "window": model.window,
              "dimension": model.emb[0].embedding_dim, "heads": model.heads, "layers": len(model.transformer.layers)}
    return LanguageModel(config, tensors)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def _quantised(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Integers [out, in] of 8 bits and the step of each row."""
    steps = np.maximum(np.abs(weight).max(1), 1e-12) / WEIGHT_LIMIT
    return np.rint(weight / steps[:, None]).astype(np.int8), steps


def _quantised_table(weight: np.ndarray, whole: bool = False) -> tuple[np.ndarray, float]:
    """Integers of 8 bits and one step for all; with `whole` the step is a whole number."""
    step = float(np.abs(weight).max()) / WEIGHT_LIMIT
    step = max(1.0, math.ceil(step)) if whole else max(step, 1e-12)
    return np.rint(weight / step).astype(np.int8), step


def _decay_table(bits: int, last: int) -> np.ndarray:
    """round(2^bits e^(-i / NAT_STEPS)) until it is below 1, then `last`."""
    length = math.ceil(bits * math.log(2) * NAT_STEPS)
    values = np.rint(2.0 ** bits * np.exp(-np.arange(length) / NAT_STEPS))
    return np.append(np.maximum(values, last), last).astype(np.int32)


def _gelu_table(largest: float) -> tuple[tuple[np.ndarray, float], int]:
    """GELU from -`largest` to `largest` in steps of 1 / GELU_STEPS, its scale, and the index of zero."""
    middle = math.ceil(largest * GELU_STEPS)
    x = torch.arange(-middle, middle + 1).double() / GELU_STEPS
    y = torch.nn.functional.gelu(x).numpy()
    scale = 2.0 ** math.floor(math.log2(GELU_LIMIT / np.abs(y).max()))
    return (np.rint(y * scale).astype(np.int32), scale), middle


@torch.inference_mode()
def _activation_scales(model: FloatLanguageModel, codes: Tensor) -> dict[str, float]:
    """For every activation the power of two that brings it near the integers' limit; for the GELU's input its range.

    Two activations that are added have the same: each sum takes the scale of what it adds to.
    """
    largest: dict[str, float] = defaultdict(float)

    def watch(name: str, x: Tensor) -> None:
        largest[name] = max(largest[name], float(x.abs().max()) * HEADROOM)

    model.hidden(torch.nn.functional.pad(codes + 1, (1, 0))[..., :-1], watch)
    before = "norm_in"
    for index in range(len(model.transformer.layers)):
        name = f"layers.{index}."
        largest[before] = max(largest[before], largest.pop(name + "sum1"))
        largest[name + "norm1"] = max(largest[name + "norm1"], largest.pop(name + "sum2"))
        before = name + "norm2"
    return {name: value if name.endswith(".up") else 2.0 ** math.floor(math.log2(LIMIT / value))
            for name, value in largest.items()}
