"""Search for the codes of a packet that give the most for their bits, instead of the nearest entries."""

from __future__ import annotations

import math
from typing import Iterator, Optional

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .codec.beam import beam_search
from .codec.blocks import Block, joined
from .codec.quantizer import ResidualVectorQuantizer
from .entropy.model_coder import HEAD_ROWS, ModelCoder

# Beams times codebooks: the same work at every bandwidth, as more codebooks gain less by wide beams.
WORK, BEST_WORK = 32, 128
WIDEST, NARROWEST = 16, 2
# With fewer codebooks than this a bit counts for less, by as much: distance says less of how coarse codes sound,
# and mel distances would rise.
MANY = 8
# Frames around a frame that tell what its bits are worth: one alone may be near its codes by chance.
AROUND = 9
# Above 1, what the search gains in distance goes into fewer bits: at these, scores are about those of nearest entries.
THRIFT, BEST_THRIFT = 1.5, 1.7


class Search:
    """Any decoder decodes what it chooses: only the encoder is other.

    Among codes of about the same distance to the latents it takes those that the language
    model expects. A bit is worth about what the last codebook takes off the distance with
    each of its own, in the frames around: so quiet frames do not lose to loud ones.

    Args:
        quantizer: the model's.
        n_codebooks: of the stream.
        coder: the stream's, which knows the context; None without a language model.
        best: look through four times as many.
    """

    def __init__(self, quantizer: ResidualVectorQuantizer, n_codebooks: int, coder: Optional[ModelCoder],
                 best: bool = False):
        self.quantizer, self.embed, self.coder = quantizer, quantizer.embed[:n_codebooks], coder
        self.width = min(WIDEST, max(NARROWEST, (BEST_WORK if best else WORK) // n_codebooks))
        self.thrift = BEST_THRIFT if best else THRIFT

    @torch.inference_mode()
    def __call__(self, blocks: list[Block], key: bool) -> list[Block]:
        """The blocks of a packet, with better codes; before the coder encodes them."""
        nearest = joined(blocks)
        latents, chosen = torch.from_numpy(nearest.latents.T), np.empty_like(nearest.codes)
        for frames, costs in self._costs(latents, nearest.codes, key):
            chosen[:, frames] = beam_search(self.embed, latents[frames], self.width, costs).numpy().T
        ends = np.cumsum([block.codes.shape[1] for block in blocks])[:-1]
        return [block._replace(codes=part) for block, part in zip(blocks, np.split(chosen, ends, axis=1))]

    def _costs(self, latents: Tensor, codes: np.ndarray, key: bool) -> Iterator[tuple[slice, Optional[Tensor]]]:
        """Chunks of frames, and what their entries cost [T, K, size], were the frames before as in `codes` [K, T]."""
        if self.coder is None:
            yield from ((slice(first, first + HEAD_ROWS), None) for first in range(0, codes.shape[1], HEAD_ROWS))
            return
        prices = self._prices(latents, torch.from_numpy(codes).long())
        for first, counts in self.coder.counts(codes, key):
            frames = slice(first, first + len(counts))
            bits = np.log2(counts.sum(-1, keepdims=True)) - np.log2(counts)
            yield frames, torch.from_numpy(bits.astype(np.float32)) * prices[frames, None, None]

    def _prices(self, latents: Tensor, codes: Tensor) -> Tensor:
        """What a bit is worth in each frame [T], in squared distance of the latents [T, D]."""
        before = latents - self.quantizer.decode(codes[None, :-1])[0].T
        gain = before.square().sum(1) - (before - F.embedding(codes[-1], self.embed[-1])).square().sum(1)
        around = F.avg_pool1d(gain[None], AROUND, 1, AROUND // 2, count_include_pad=False)[0]
        return around.clamp(min=0) * (self.thrift * min(1.0, len(codes) / MANY) / math.log2(self.embed.shape[1]))
