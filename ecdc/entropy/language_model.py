"""The code language model in exact arithmetic (paper section 3.3): previous codes -> counts of the next ones.

The architecture is the official one: summed embeddings of a frame's codes, layer norm,
sinusoidal positions, post-norm transformer layers with a sliding window, one head for
each codebook. Optionally (`inner`) head k also sees the codes 0 ... k-1 of its own frame.
"""

from __future__ import annotations

import functools
import itertools
import json
from pathlib import Path
from typing import Mapping, NamedTuple, Optional, Union

import numpy as np

from ..errors import BitstreamError, ModelError
from ..fingerprint import fingerprint
from .exact import Linear, Norm, affine, decayed, looked_up, normalised, rounded

FORMAT = "ecdc exact language model 1"
# Frames that keys and values have room for beyond a window, before the old ones are cleared away.
ROOM = 96
# Frames, and streams of a batch, whose attention is worked out at once: few, so that it stays in the cache.
ATTENTION_ROWS, ATTENTION_STREAMS = 64, 8
# For fewer rows than this, one product with all heads is faster than one with each.
FEW = 8

class Layer(NamedTuple):
    qkv: Linear
    out: Linear
    norm1: Norm
    up: Linear
    down: Linear
    norm2: Norm
    score_scale: float
    activation: np.ndarray


class Context:
    """What the frames so far leave behind, for a batch of streams in step: keys and values of every layer.

    `position`: frames so far, the same for all streams; `last` [B, K]: 1 + the last frame's codes, or 0.
    """

    def __init__(self, model: LanguageModel, batch: int, codebooks: int, capacity: int):
        shape = len(model.layers), batch, capacity, 2, model.heads, model.dimension // model.heads
        # Kept small, as they are integers of 16 bits; attention works on them in float64. All of a stream
        # lie in one piece, in the order of time: memory is read twice as fast as with a piece for each head.
        self.cache = np.zeros(shape, np.int16)
        self.last = np.zeros((batch, codebooks), np.int64)
        self.used = 0
        self.position = 0

    def make_room(self, frames: int, window: int) -> None:
        """Before `frames` more: forget what no frame will look at any more, or grow."""
        old, first = self.cache, max(0, self.used - window)
        if self.used + frames <= old.shape[2]:
            return
        kept = self.used - first
        if kept + frames > old.shape[2]:
            self.cache = np.zeros((*old.shape[:2], kept + frames + ROOM, *old.shape[3:]), np.int16)
        for before, after in zip(old, self.cache):  # layer by layer: where they overlap, NumPy copies
            after[:, :kept] = before[:, first:self.used]
        self.used = kept


class LanguageModel:
    """An exact language model; `fingerprint`, 8 bytes, stands for all its integers."""

    def __init__(self, config: Mapping, tensors: Mapping[str, np.ndarray]):
        self.config, self.tensors = dict(config), dict(tensors)
        self.fingerprint = fingerprint(json.dumps(self.config, sort_keys=True).encode(), self.tensors)
        self.codebooks, self.codebook_size = config["codebooks"], config["codebook_size"]
        self.dimension, self.heads, self.window = config["dimension"], config["heads"], config["window"]
        self.embed, self.embed_scale = tensors["embed"], tensors["embed_scale"]
        self.positions = tensors["positions"]
        self.norm_in = self._norm("norm_in")
        self.layers = [self._layer(f"layers.{index}.") for index in range(config["layers"])]
        self.attention_table = tensors["attention_table"].astype(np.float64)
        self.count_table = tensors["count_table"].astype(np.float64)
        self._later = np.where(np.arange(ATTENTION_ROWS)[:, None] < np.arange(ATTENTION_ROWS), -(2.0 ** 50), 0.0)
        self.inner: Optional[np.ndarray] = tensors.get("inner")
        self.inner_scale = tensors.get("inner_scale")

    @classmethod
    def load(cls, path: Union[str, Path]) -> LanguageModel:
        from safetensors import SafetensorError, safe_open
        try:
            with safe_open(path, "numpy") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}
            if metadata.get("format") != FORMAT:
                raise ModelError(f"{path}: not an exact language model of this version")
            return cls(json.loads(metadata["config"]), tensors)
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            if isinstance(error, ModelError):
                raise
            raise ModelError(f"{path}: cannot be read: {error}") from None

    def save(self, path: Union[str, Path]) -> None:
        from safetensors.numpy import save_file
        save_file({name: np.ascontiguousarray(tensor) for name, tensor in self.tensors.items()}, path,
                  {"format": FORMAT, "config": json.dumps(self.config, sort_keys=True)})

    def _linear(self, name: str) -> Linear:
        return Linear(np.ascontiguousarray(self.tensors[name + ".weight"].T, np.float64),
                      self.tensors[name + ".scale"], self.tensors[name + ".bias"])

    def _norm(self, name: str) -> Norm:
        return Norm(self.tensors[name + ".gain"], self.tensors[name + ".bias"],
                    float(self.tensors[name + ".epsilon"][0]))

    def _layer(self, prefix: str) -> Layer:
        return Layer(*(self._linear(prefix + name) for name in ("qkv", "out")), self._norm(prefix + "norm1"),
                     *(self._linear(prefix + name) for name in ("up", "down")), self._norm(prefix + "norm2"),
                     float(self.tensors[prefix + "score_scale"][0]),
                     self.tensors[prefix + "gelu"].astype(np.float64))

    @property
    def max_frames(self) -> int:
        """The most frames from one key packet to the next: positions beyond are unknown to the model."""
        return len(self.positions)

    def start(self, batch: int, codebooks: int, frames: int) -> Context:
        """The context before the first frame; `frames`: how many are expected."""
        context = Context(self, batch, codebooks, 1 + min(frames, self.window + ROOM))
        # Official: attention sees one vector of zeros before the first frame.
        nothing = np.zeros((batch, 1, self.dimension))
        for index, layer in enumerate(self.layers):
            self._remember(context, index, rounded(affine(nothing, layer.qkv)))
        context.used = 1
        return context

    def advance(self, previous: np.ndarray, context: Context) -> np.ndarray:
        """Hidden states [B, T, D] for T frames, from the codes of the frame before each.

        `previous` [B, K, T]: 1 + code, or 0 where there is no frame before.
        """
        frames = previous.shape[2]
        if context.position + frames > self.max_frames:
            raise BitstreamError(f"more than {self.max_frames} frames without a key packet")
        context.make_room(frames, self.window)
        x = self.embed_scale[0] * self.embed[0][previous[:, 0]]
        for k in range(1, previous.shape[1]):
            x += self.embed_scale[k] * self.embed[k][previous[:, k]]
        x = normalised(rounded(x), self.norm_in)
        x += self.positions[context.position:context.position + frames]
        for index, layer in enumerate(self.layers):
            x = self._layer_step(x, index, layer, context)
        context.used += frames
        context.position += frames
        return x

    def _remember(self, context: Context, index: int, qkv: np.ndarray) -> np.ndarray:
        """Put keys and values [B, T, D] behind those of the frames before; returns the queries [B, H, T, D/H]."""
        queries, keys, values = qkv.reshape(*qkv.shape[:2], 3, self.heads, -1).transpose(2, 0, 1, 3, 4)
        new = context.cache[index, :, context.used:context.used + qkv.shape[1]]
        new[:, :, 0], new[:, :, 1] = keys, values
        return queries.transpose(0, 2, 1, 3)

    def _layer_step(self, x: np.ndarray, index: int, layer: Layer, context: Context) -> np.ndarray:
        batch, frames, _ = x.shape
        queries = self._remember(context, index, rounded(affine(x, layer.qkv)))
        mixed = np.empty((batch, frames, self.heads, self.dimension // self.heads))
        for stream, first in itertools.product(range(0, batch, ATTENTION_STREAMS), range(0, frames, ATTENTION_ROWS)):
            streams, rows = slice(stream, stream + ATTENTION_STREAMS), slice(first, first + ATTENTION_ROWS)
            mixed[streams, rows] = self._attend(queries[streams, :, rows], context.cache[index, streams],
                                                context.used + first, layer.score_scale)
        mixed = mixed.reshape(batch, frames, -1)
        x = normalised(x + rounded(affine(mixed, layer.out)), layer.norm1)
        hidden = looked_up(affine(x, layer.up), layer.activation)
        return normalised(x + rounded(affine(hidden, layer.down)), layer.norm2)

    def _attend(self, queries: np.ndarray, cache: np.ndarray, used: int, scale: float) -> np.ndarray:
        """Values [B, T, H, D/H] that queries [B, H, T, D/H] of the frames from `used` on find in their windows."""
        frames = queries.shape[2]
        first, end = max(0, used - self.window), used + frames
        keys, values = cache[:, first:end].astype(np.float64).transpose(2, 0, 3, 1, 4)
        scores = queries @ keys.swapaxes(2, 3)
        if frames > 1:
            # What is not in a frame's window is far below any score: later frames, and those gone out of it.
            scores[..., -frames:] += self._later[:frames, :frames]
            inside = max(0, self.window - used)
            if inside < frames:
                scores[..., :frames - inside] += self._later[:frames, :frames].T[:, inside:]
        scores *= scale
        weights = decayed(scores, self.attention_table)
        mixed = weights @ values
        mixed /= (weights @ np.ones(end - first))[..., None]
        return rounded(mixed).transpose(0, 2, 1, 3)

    def counts(self, hidden: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Counts [N, K, size] for hidden states [N, D]; of `codes` [N, K] those before k matter with `inner`.

        Integers in float64, each at least 1, which the range coder takes as probabilities.
        """
        codebooks = codes.shape[1]
        if self.inner is None and len(hidden) < FEW:
            return decayed(affine(hidden, self._head(0, codebooks)).reshape(len(hidden), codebooks, -1),
                           self.count_table)
        counts = np.empty((len(hidden), codebooks, self.codebook_size))
        for k in range(codebooks):
            counts[:, k] = self.next_counts(hidden, codes[:, :k])
        return counts

    def next_counts(self, hidden: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Counts [N, size] of codebook k for hidden states [N, D], given the frame's codes 0 ... k-1 [N, k]."""
        k = codes.shape[1]
        for j in range(k if self.inner is not None else 0):
            hidden = hidden + self.inner_scale[j] * self.inner[j][codes[:, j]]
        return decayed(affine(hidden, self._head(k, k + 1)), self.count_table)

    @functools.lru_cache(maxsize=256)
    def _head(self, first: int, end: int) -> Linear:
        """The heads of some codebooks side by side."""
        weight, scale, bias = (self.tensors["head." + name][first:end] for name in ("weight", "scale", "bias"))
        return Linear(np.ascontiguousarray(weight.reshape(-1, self.dimension).T, np.float64),
                      scale.reshape(-1), bias.reshape(-1))
