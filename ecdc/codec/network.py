"""The network of a codec: encoder, quantizer and decoder, one segment at a time (paper section 3)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .config import CodecConfig
from .quantizer import ResidualVectorQuantizer
from .seanet import Decoder, Encoder


class Encoded(NamedTuple):
    """One segment (or the whole signal, where the model has no segments).

    `codes` [B, K, frames] int64; `scale` [B] where the model normalises, else None. Of a
    padded batch `frames` [B] says how many frames of each item are codes.
    """

    codes: Tensor
    scale: Tensor | None = None
    frames: Tensor | None = None


def loudness(wave: Tensor, floor: float = 0.0) -> Tensor:
    """What a segment `[B, C, T]` is divided by: `[B, 1, 1]`, the RMS of its mono mix, above zero.

    In the mix, wide stereo cancels: the RMS is at least `floor` times that of all channels (`config.scale_floor`).
    """
    mix = wave.mean(1, keepdim=True).square().mean(2, keepdim=True).sqrt()
    if floor:
        mix = torch.maximum(mix, floor * wave.square().mean((1, 2), keepdim=True).sqrt())
    return mix + 1e-8


class Network(nn.Module):
    """What streams, segments and batches are made with: any EnCodec model's three parts and its `config`."""

    def __init__(self, config: CodecConfig):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.quantizer = ResidualVectorQuantizer(config.codebooks, config.codebook_size, config.dimension)

    def encode_segment(self, wave: Tensor, n_codebooks: int | None = None) -> Encoded:
        """Encode one segment `[B, C, T]`, normalised by its RMS where the model asks for it."""
        latents, scale = self.latents(wave)
        return Encoded(self.quantizer.encode(latents, n_codebooks or self.config.codebooks), scale)

    def latents(self, wave: Tensor) -> tuple[Tensor, Tensor | None]:
        """Of one segment `[B, C, T]`: latents `[B, D, frames]`, and the scale `[B]` where the model normalises."""
        if not self.config.normalize:
            return self.encoder(wave), None
        scale = loudness(wave, self.config.scale_floor)
        return self.encoder(wave / scale), scale.view(-1)

    def decode_segment(self, segment: Encoded) -> Tensor:
        """Decode one segment to `[B, C, frames x hop_length]`."""
        wave = self.decoder(self.quantizer.decode(segment.codes))
        return wave if segment.scale is None else wave * segment.scale.view(-1, 1, 1)
