"""Weights from state dicts with the official names: weight norm folded, codebooks stacked."""

from __future__ import annotations

import re
from typing import Mapping

import torch
from torch import Tensor

from ..errors import ModelError
from .config import CodecConfig

CODEBOOK = re.compile(r"quantizer\.vq\.layers\.(\d+)\._codebook\.(\w+)")
WEIGHT_NORM = (("weight_g", "weight_v"),
               ("parametrizations.weight.original0", "parametrizations.weight.original1"))


def fold_weight_norm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Replace each pair (g, v) by w = g v / |v|, the norm over all dimensions but the first."""
    folded = dict(state)
    for g_name, v_name in WEIGHT_NORM:
        for name in [name for name in folded if name.endswith("." + g_name)]:
            stem = name[:-len(g_name)]
            if stem + v_name not in folded:
                raise ModelError(f"weights: {name} has no {v_name} beside it")
            g, v = folded.pop(name).float(), folded.pop(stem + v_name).float()
            folded[stem + "weight"] = g * v / torch.linalg.vector_norm(v, dim=(1, 2), keepdim=True)
    return folded


def runtime_state(config: CodecConfig, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of `Codec` in float32 from one with official names; training-only buffers are left out."""
    result, embeds = {}, {}
    for name, tensor in fold_weight_norm(state).items():
        match = CODEBOOK.fullmatch(name)
        if match is None:
            result[name] = tensor.float()
        elif match[2] == "embed":
            embeds[int(match[1])] = tensor.float()
    missing = [k for k in range(config.codebooks) if k not in embeds]
    if missing:
        raise ModelError(f"weights: codebook {missing[0]} is missing of {config.codebooks}")
    result["quantizer.embed"] = torch.stack([embeds[k] for k in range(config.codebooks)])
    return result
