"""The exact language model's tensors, by their names in its file, as what its arithmetic works with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from .exact import Linear, Norm

Tensors = Mapping[str, np.ndarray]


class Layer(NamedTuple):
    """One transformer layer; `score_scale` and `activation` (a table) in the units of its integers."""

    qkv: Linear
    out: Linear
    norm1: Norm
    up: Linear
    down: Linear
    norm2: Norm
    score_scale: float
    activation: np.ndarray


def linear_of(tensors: Tensors, name: str) -> Linear:
    weight = np.ascontiguousarray(tensors[name + ".weight"].T, np.float64)
    return Linear(weight, tensors[name + ".scale"], tensors[name + ".bias"])


def norm_of(tensors: Tensors, name: str) -> Norm:
    return Norm(tensors[name + ".gain"], tensors[name + ".bias"], float(tensors[name + ".epsilon"][0]))


def layer_of(tensors: Tensors, index: int) -> Layer:
    prefix = f"layers.{index}."
    return Layer(
        qkv=linear_of(tensors, prefix + "qkv"),
        out=linear_of(tensors, prefix + "out"),
        norm1=norm_of(tensors, prefix + "norm1"),
        up=linear_of(tensors, prefix + "up"),
        down=linear_of(tensors, prefix + "down"),
        norm2=norm_of(tensors, prefix + "norm2"),
        score_scale=float(tensors[prefix + "score_scale"][0]),
        activation=tensors[prefix + "gelu"].astype(np.float64),
    )


def heads_of(tensors: Tensors, first: int, end: int) -> Linear:
    """The heads of the codebooks from `first` to `end`, side by side."""
    weight, scale, bias = (tensors["head." + name][first:end] for name in ("weight", "scale", "bias"))
    rows = weight.reshape(-1, weight.shape[-1])
    return Linear(np.ascontiguousarray(rows.T, np.float64), scale.reshape(-1), bias.reshape(-1))
