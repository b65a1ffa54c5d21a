"""A codec that begins with another's weights, though it has more latents, or something else in the LSTM's place."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from ecdc.codec.codec import Codec
from ecdc.codec.config import CodecConfig
from ecdc.codec.layers import ResidualBlock
from ecdc.errors import EcdcError

# So much weaker than the old ones new latents begin, and so close to doing nothing new blocks.
NEW_LATENTS, NEW_BLOCKS = 0.5, 0.2
MAY_DIFFER = {"name", "dimension", "lstm_layers", "bottleneck_layers", "codebooks", "codebook_size", "bandwidths"}


@torch.no_grad()
def grow(new: Codec, old: Codec) -> None:
    """Give `new`, freshly initialised, what fits of `old`; its codebooks have to be started anew.

    Raises EcdcError if more than LSTM, bottleneck, codebooks and latent dimension is different.
    """
    for name, value in dataclasses.asdict(new.config).items():
        if name not in MAY_DIFFER and value != getattr(old.config, name):
            raise EcdcError(f"{old.config.name} cannot be grown into a model with another {name}")
    if new.config.dimension < old.config.dimension:
        raise EcdcError(f"{old.config.name} cannot be grown into a model with fewer latents")
    (first, context), (old_first, old_context) = _layers(new), _layers(old)
    pairs = list(zip(first, old_first))
    if _context(new.config) == _context(old.config):
        pairs += zip(context, old_context)
    else:
        for block in context:
            if isinstance(block, ResidualBlock):
                block.block[-1].conv["conv"].weight.mul_(NEW_BLOCKS)
    for layer, source in pairs:
        state = layer.state_dict()
        for name, tensor in source.state_dict().items():
            _fill(state[name], tensor)


def _context(config: CodecConfig) -> tuple[int, int]:
    return config.lstm_layers, config.bottleneck_layers


def _layers(codec: Codec) -> tuple[list[nn.Module], list[nn.Module]]:
    """All layers but those of the context, and these."""
    encoder, decoder = list(codec.encoder.model), list(codec.decoder.model)
    count = (codec.config.lstm_layers > 0) + codec.config.bottleneck_layers
    at = len(encoder) - 2 - count
    return (encoder[:at] + encoder[-2:] + decoder[:1] + decoder[1 + count:],
            encoder[at:-2] + decoder[1:1 + count])


def _fill(target: Tensor, source: Tensor) -> None:
    """Put `source` in the first places; beyond are new latents: weak ones where they come out, unheard where they go in."""
    outputs = source.shape[0]
    if source.dim() > 1 and target.shape[1] > source.shape[1]:
        target[:, source.shape[1]:] = 0
    if target.shape[0] > outputs:
        rest = target[outputs:]
        rest.mul_(NEW_LATENTS * source.std() / rest.std().clamp(min=1e-9) if source.dim() > 1 else 0)
    target[tuple(slice(0, size) for size in source.shape)] = source
