"""Streams of a model without segments: the state of every layer is carried from block to block.

Work is done in blocks of a fixed number of frames, whatever sizes come in, so that any
chunking of the input gives bit-identical results; memory does not grow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterator

import numpy as np
import torch
from torch import Tensor

from .blocks import Block, SampleBuffer

if TYPE_CHECKING:
    from .codec import Codec


class StreamEncoder:
    """Push samples `[C, T]`, get blocks of codes; a model that looks ahead gives them that much later."""

    def __init__(self, codec: Codec, n_codebooks: int, block_frames: int):
        self.codec, self.n_codebooks = codec, n_codebooks
        self.block_length = min(block_frames, codec.config.block_frames) * codec.config.hop_length
        self.buffer = SampleBuffer()
        self.state = None

    @torch.inference_mode()
    def push(self, wave: Tensor) -> list[Block]:
        self.buffer.push(wave)
        blocks = []
        while self.buffer.length >= self.block_length:
            blocks += self._encode(self.buffer.take(self.block_length), last=False)
        return blocks

    @torch.inference_mode()
    def flush(self) -> list[Block]:
        """End the signal: what is left is padded to a whole frame."""
        wave = self.buffer.take(self.buffer.length) if self.buffer.length else \
            torch.zeros(self.codec.config.channels, 0)
        return self._encode(wave, last=True)

    def _encode(self, wave: Tensor, last: bool) -> list[Block]:
        latents, self.state = self.codec.encoder.step(wave[None], self.state, last)
        if latents.shape[-1] == 0:
            return []
        codes = self.codec.quantizer.encode(latents, self.n_codebooks)
        return [Block.of(latents, codes)]


class StreamDecoder:
    """Push blocks of codes, get samples `[C, T]`, about a second at a time."""

    def __init__(self, codec: Codec):
        self.codec = codec
        self.state = None

    def push(self, block: Block) -> Iterator[Tensor]:
        codes = torch.from_numpy(block.codes.astype(np.int64))[None]
        for part in codes.split(self.codec.config.block_frames, dim=-1):
            yield self._decode(part, last=False)

    def flush(self) -> Tensor:
        """What a model that looks ahead still holds back (nothing for a causal one with zero padding)."""
        if self.state is None:
            return torch.zeros(self.codec.config.channels, 0)
        return self._decode(torch.zeros(1, 1, 0, dtype=torch.int64), last=True)

    @torch.inference_mode()
    def _decode(self, codes: Tensor, last: bool) -> Tensor:
        wave, self.state = self.codec.decoder.step(self.codec.quantizer.decode(codes), self.state, last)
        return wave[0]
