"""What an exact language model must keep to be exact, computed from its tensors when it is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import ModelError
from .exact import LIMIT, MASKED

# Integers that float64 holds, sums of which are exact in any order; numbers that become int64.
EXACT, INDEX = 2.0**53, 2.0**63
# Frames that attention works out at once, beyond a window; generous.
MORE_FRAMES = 1024
MOST = {"codebooks": 255, "codebook_size": 1 << 16, "dimension": 4096, "heads": 4096, "layers": 64, "window": 1 << 20}


def check_language_model(config: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
    """Raises ModelError, naming the tensor, for wrong types and shapes and for sums that could round."""
    for name, most in MOST.items():
        if type(config.get(name)) is not int or not 1 <= config[name] <= most:
            raise ModelError(f"language model: {name} must be a whole number from 1 to {most}")
    if config["dimension"] % config["heads"]:
        raise ModelError("language model: heads must divide the dimension")
    _Checks(config, tensors).run()


class _Checks:
    def __init__(self, config: Mapping[str, Any], tensors: Mapping[str, np.ndarray]):
        self.config, self.tensors = config, tensors
        self.codebooks, self.size, self.dimension = (config[k] for k in ("codebooks", "codebook_size", "dimension"))

    def run(self) -> None:
        dimension = self.dimension
        embed = self._integers("embed", self.codebooks, self.size + 1, dimension)
        scale = self._floats("embed_scale", self.codebooks)
        # Infinities of both signs would add up to what is no number, and no index.
        self._require("embed_scale", float(np.abs(scale).max()) < INDEX / (_largest(embed) + 1) / self.codebooks)
        self._norm("norm_in", LIMIT)
        positions = self._integers("positions", None, dimension)
        self._tables()
        largest = LIMIT + _largest(positions)
        for index in range(self.config["layers"]):
            self._layer(f"layers.{index}.", largest)
            largest = LIMIT
        self._heads()

    def _tables(self) -> None:
        attention, counts = self._integers("attention_table", None), self._integers("count_table", None)
        self._require("attention_table", attention.min() >= 0 and attention[0] > 0 and attention[-1] == 0)
        seen = self.config["window"] + MORE_FRAMES
        self._require("attention_table", _largest(attention) * LIMIT * seen < EXACT)
        self._require("count_table", counts.min() >= 1 and _largest(counts) * self.size < EXACT)

    def _layer(self, prefix: str, largest: float) -> None:
        dimension = self.dimension
        hidden = len(self._get(prefix + "up.weight"))
        self._linear(prefix + "qkv", 3 * dimension, dimension, largest)
        self._linear(prefix + "out", dimension, dimension, LIMIT)
        self._norm(prefix + "norm1", largest + LIMIT)
        self._linear(prefix + "up", hidden, dimension, LIMIT)
        gelu = self._integers(prefix + "gelu", None)
        self._linear(prefix + "down", dimension, hidden, _largest(gelu))
        self._norm(prefix + "norm2", 2 * LIMIT)
        name = prefix + "score_scale"
        scale = float(self._floats(name, 1)[0])
        scores = dimension // self.config["heads"] * LIMIT * LIMIT
        # What is masked lies beyond the table's end, and still is an index.
        self._require(name, scores + MASKED < EXACT and scale * (2 * scores + MASKED) < INDEX)
        self._require(name, scale * (MASKED - 2 * scores) > len(self._get("attention_table")))

    def _heads(self) -> None:
        hidden = LIMIT
        if "inner" in self.tensors:
            inner = self._integers("inner", self.codebooks - 1, self.size, self.dimension)
            scale = self._integers("inner_scale", self.codebooks - 1)
            hidden += _largest(inner) * _largest(scale) * self.codebooks
        weight = self._integers("head.weight", self.codebooks, self.size, self.dimension)
        scale, bias = (self._floats(f"head.{part}", self.codebooks, self.size) for part in ("scale", "bias"))
        for rows, factors, offsets in zip(weight, scale, bias):
            self._product("head", rows, factors, offsets, hidden)

    def _linear(self, name: str, outputs: int, inputs: int, largest: float) -> None:
        weight = self._integers(name + ".weight", outputs, inputs)
        self._product(
            name, weight, self._floats(name + ".scale", outputs), self._floats(name + ".bias", outputs), largest
        )

    def _product(self, name: str, weight: np.ndarray, scale: np.ndarray, bias: np.ndarray, largest: float) -> None:
        sums = np.abs(weight.astype(np.float64)).sum(-1) * largest
        self._require(name + ".weight", float(sums.max()) < EXACT)
        # Differences of two are indices into tables.
        self._require(name + ".scale", float((sums * np.abs(scale) + np.abs(bias)).max()) < INDEX / 2)

    def _norm(self, name: str, largest: float) -> None:
        for part in ("gain", "bias"):
            self._floats(f"{name}.{part}", self.dimension)
        epsilon = float(self._get(name + ".epsilon", 1)[0])
        self._require(name + ".epsilon", epsilon >= 1 and epsilon == np.floor(epsilon))
        self._require(name + ".epsilon", (self.dimension * largest) ** 2 + epsilon < EXACT)

    def _integers(self, name: str, *shape: int | None) -> np.ndarray:
        tensor = self._get(name, *shape)
        self._require(name, tensor.dtype.kind == "i", "must hold integers")
        return tensor

    def _floats(self, name: str, *shape: int | None) -> np.ndarray:
        tensor = self._get(name, *shape)
        self._require(name, tensor.dtype == np.float64 and bool(np.isfinite(tensor).all()), "must hold finite float64")
        return tensor

    def _get(self, name: str, *shape: int | None) -> np.ndarray:
        if name not in self.tensors:
            raise ModelError(f"language model: {name} is missing")
        tensor = self.tensors[name]
        fits = len(tensor.shape) == len(shape) and all(want in (None, size) for want, size in zip(shape, tensor.shape))
        if tensor.size == 0 or (shape and not fits):
            raise ModelError(f"language model: {name} has the shape {list(tensor.shape)}, which does not fit")
        return tensor

    def _require(self, name: str, right: bool, what: str = "is too large to be exact, or impossible") -> None:
        if not right:
            raise ModelError(f"language model: {name} {what}")


def _largest(tensor: np.ndarray) -> float:
    return float(max(-float(tensor.min()), float(tensor.max())))
