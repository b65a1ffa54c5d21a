"""Where training begins: a model there is, or weights that keep the signal's variance from layer to layer."""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from torch import nn

from ecdc.codec.codec import Codec
from ecdc.codec.config import CodecConfig
from ecdc.codec.layers import ResidualBlock
from ecdc.errors import EcdcError, ModelError
from ecdc.models import load_model

from .grow import grow
from .settings import Settings

# PyTorch's default lets the signal die: after 600 steps the output still did not depend on the input.
GAIN, FIRST, LAST, BRANCH = 1.1, 8.0, 0.1, 0.3


def initial_codec(settings: Settings) -> Codec:
    loaded = None if settings.model is None else load_model(settings.model)
    if settings.config is None:
        if loaded is None:
            raise EcdcError("name a model to go on from, or a configuration to train from nothing")
        # A copy: loaded models are shared.
        codec = Codec(loaded.config)
        codec.load_state_dict(loaded.state_dict())
        return codec
    try:
        config = CodecConfig.from_mapping(json.loads(Path(settings.config).read_text()))
    except ValueError as error:
        raise ModelError(f"{settings.config}: {error}") from None
    if config.norm == "weight_norm":
        raise EcdcError(f"{settings.config}: train with norm \"none\" or \"time_group_norm\", weight norm is not needed")
    codec = Codec(config)
    initialise(codec)
    if loaded is not None:
        grow(codec, loaded)
    return codec


@torch.no_grad()
def initialise(codec: Codec) -> None:
    for module in codec.modules():
        if isinstance(module, (nn.Conv1d, nn.ConvTranspose1d)):
            transposed = isinstance(module, nn.ConvTranspose1d)
            fan_in = module.in_channels * module.kernel_size[0] / (module.stride[0] if transposed else 1)
            nn.init.normal_(module.weight, std=math.sqrt(GAIN / fan_in))
            nn.init.zeros_(module.bias)
    for module in codec.modules():
        if isinstance(module, ResidualBlock):
            module.block[-1].conv["conv"].weight.mul_(BRANCH)
    codec.encoder.model[0].conv["conv"].weight.mul_(FIRST)
    codec.decoder.model[-1].conv["conv"].weight.mul_(LAST)
