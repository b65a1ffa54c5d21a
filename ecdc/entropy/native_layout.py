"""An exact language model as the native library reads it: the structures of `lm.h`, filled from its tensors."""

from __future__ import annotations

import ctypes

import numpy as np

from .language_model import LanguageModel


class Linear(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("inputs", "outputs", "narrow")),
        *((name, ctypes.c_void_p) for name in ("weight", "scale", "bias", "packed")),
    ]


class Norm(ctypes.Structure):
    _fields_ = [("gain", ctypes.c_void_p), ("bias", ctypes.c_void_p), ("epsilon", ctypes.c_double)]


class Block(ctypes.Structure):
    _fields_ = [
        *((name, Linear) for name in ("qkv", "out", "up", "down")),
        *((name, Norm) for name in ("norm1", "norm2")),
        ("score_scale", ctypes.c_double),
        ("activation", ctypes.c_void_p),
        ("activation_size", ctypes.c_int64),
    ]


class Model(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("dimension", "heads", "blocks", "window", "codebooks", "size", "frames")),
        *((name, ctypes.c_void_p) for name in ("embed", "embed_scale", "positions")),
        ("norm_in", Norm),
        *((name, ctypes.c_void_p) for name in ("attention_table", "count_table", "log_table")),
        *((name, ctypes.c_int64) for name in ("attention_size", "count_size")),
        ("head", Linear),
        ("block", ctypes.POINTER(Block)),
    ]


class Described:
    """`filled`: the model's structure; the arrays that it points to live as long as this."""

    def __init__(self, model: LanguageModel):
        self.model = model
        self._arrays: list[np.ndarray] = []
        self.filled = self._described()

    def _pointer(self, array: np.ndarray, kind: type = np.float64) -> int:
        self._arrays.append(np.ascontiguousarray(array, kind))
        return self._arrays[-1].ctypes.data

    def _linear(self, name: str) -> Linear:
        tensors = self.model.tensors
        weight = tensors[name + ".weight"].reshape(-1, tensors[name + ".weight"].shape[-1])
        return Linear(
            weight.shape[1],
            weight.shape[0],
            0,
            self._pointer(weight, np.int8),
            self._pointer(tensors[name + ".scale"]),
            self._pointer(tensors[name + ".bias"]),
        )

    def _norm(self, name: str) -> Norm:
        tensors = self.model.tensors
        gain, bias = (self._pointer(tensors[f"{name}.{part}"]) for part in ("gain", "bias"))
        return Norm(gain, bias, float(tensors[name + ".epsilon"][0]))

    def _block(self, index: int) -> Block:
        prefix, tensors = f"layers.{index}.", self.model.tensors
        return Block(
            *(self._linear(prefix + part) for part in ("qkv", "out", "up", "down")),
            *(self._norm(prefix + part) for part in ("norm1", "norm2")),
            float(tensors[prefix + "score_scale"][0]),
            self._pointer(tensors[prefix + "gelu"]),
            len(tensors[prefix + "gelu"]),
        )

    def _described(self) -> Model:
        model, tensors = self.model, self.model.tensors
        blocks = (Block * len(model.layers))(*map(self._block, range(len(model.layers))))
        return Model(
            *(model.dimension, model.heads, len(model.layers), model.window),
            *(model.codebooks, model.codebook_size, model.max_frames),
            self._pointer(tensors["embed"], np.int8),
            self._pointer(tensors["embed_scale"]),
            self._pointer(tensors["positions"], np.int16),
            self._norm("norm_in"),
            self._pointer(model.attention_table),
            self._pointer(model.count_table),
            self._pointer(np.log2(model.count_table)),
            *(len(model.attention_table), len(model.count_table)),
            self._linear("head"),
            blocks,
        )
