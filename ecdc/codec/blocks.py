"""What codec and streams give and take, and the buffer that makes blocks of samples."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple, Optional

import numpy as np
import torch
from torch import Tensor


class Encoded(NamedTuple):
    """One segment (or the whole signal, where the model has no segments).

    `codes` [B, K, frames] int64; `scale` [B] where the model normalises, else None. Of a
    padded batch `frames` [B] says how many frames of each item are codes.
    """

    codes: Tensor
    scale: Optional[Tensor] = None
    frames: Optional[Tensor] = None


class Block(NamedTuple):
    """One stretch of a stream: `codes` [K, frames] int32; `scale`: what its decoded samples are multiplied by.

    From an encoder it has the `latents` [D, frames] too, which the codes are of.
    """

    codes: np.ndarray
    scale: Optional[float] = None
    latents: Optional[np.ndarray] = None

    @classmethod
    def of(cls, latents: Tensor, codes: Tensor, scale: Optional[float] = None) -> Block:
        """Of a batch of one: latents [1, D, frames] and their codes [1, K, frames]."""
        return cls(codes[0].numpy().astype(np.int32), scale, latents[0].numpy())

    def split(self, frames: int) -> tuple[Block, Block]:
        """The first `frames`, and the others."""
        return (Block(self.codes[:, :frames], self.scale, self.latents[:, :frames]),
                Block(self.codes[:, frames:], self.scale, self.latents[:, frames:]))


def joined(blocks: list[Block]) -> Block:
    """Blocks of an encoder as one, without their scales."""
    return Block(np.concatenate([block.codes for block in blocks], axis=1), None,
                 np.concatenate([block.latents for block in blocks], axis=1))


class SampleBuffer:
    """Collects pieces `[..., T]` of any size and hands them out in the sizes asked for."""

    def __init__(self) -> None:
        self.pieces: deque[Tensor] = deque()
        self.length = 0

    def push(self, piece: Tensor) -> None:
        if piece.shape[-1]:
            # A copy, because what is left of it is used after the caller has the piece back.
            self.pieces.append(piece.clone())
            self.length += piece.shape[-1]

    def take(self, count: int, keep: int = 0) -> Tensor:
        """The first `count` > 0 samples; the last `keep` of them stay in the buffer."""
        parts, missing = [], count
        while missing:
            head = self.pieces.popleft()
            if head.shape[-1] > missing:
                self.pieces.appendleft(head[..., missing:])
                head = head[..., :missing]
            parts.append(head)
            missing -= head.shape[-1]
        taken = torch.cat(parts, dim=-1)
        if keep:
            self.pieces.appendleft(taken[..., count - keep:])
        self.length -= count - keep
        return taken
