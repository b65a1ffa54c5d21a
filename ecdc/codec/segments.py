"""Segments with overlap-add: how a non-causal model works through a long signal (paper section 3.4, 48 kHz)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterator, Optional

import numpy as np
import torch
from torch import Tensor

from .blocks import Block, Encoded, SampleBuffer
from .config import CodecConfig

if TYPE_CHECKING:
    from .codec import Codec


class Segmenter:
    """Cuts a signal `[..., T]`: a segment starts at every stride that lies before the end."""

    def __init__(self, config: CodecConfig):
        self.length, self.stride = config.segment_length, config.segment_stride
        self.buffer = SampleBuffer()

    def push(self, wave: Tensor) -> list[Tensor]:
        self.buffer.push(wave)
        segments = []
        while self.length is not None and self.buffer.length >= self.length:
            segments.append(self.buffer.take(self.length, keep=self.length - self.stride))
        return segments

    def flush(self) -> list[Tensor]:
        segments = []
        while self.buffer.length:
            count = min(self.buffer.length, self.length or self.buffer.length)
            keep = max(0, count - self.stride) if self.stride else 0
            segments.append(self.buffer.take(count, keep=keep))
        return segments


class OverlapAdd:
    """Joins decoded segments `[..., T]` with triangular weights, each sample divided by their sum."""

    def __init__(self, config: CodecConfig):
        self.stride = config.segment_stride
        self.weight: Optional[Tensor] = None
        self.total: Optional[Tensor] = None
        self.weights: Optional[Tensor] = None

    def push(self, wave: Tensor) -> Tensor:
        """Add one segment; returns what no later one can change."""
        if self.weight is None:
            # As official: the first segment's length decides, and the ends, of weight zero, are left out.
            t = torch.linspace(0, 1, wave.shape[-1] + 2, device=wave.device)[1:-1]
            self.weight = 0.5 - (t - 0.5).abs()
            self.total, self.weights = wave[..., :0], self.weight[:0]
        weight = self.weight[:wave.shape[-1]]
        grow = max(0, wave.shape[-1] - self.total.shape[-1])
        self.total = torch.nn.functional.pad(self.total, (0, grow))
        self.weights = torch.nn.functional.pad(self.weights, (0, grow))
        self.total[..., :wave.shape[-1]] += wave * weight
        self.weights[:wave.shape[-1]] += weight
        return self._take(self.stride)

    def flush(self) -> Optional[Tensor]:
        """What the last segment left, or None if there was none."""
        return None if self.total is None else self._take(self.total.shape[-1])

    def _take(self, count: int) -> Tensor:
        done = self.total[..., :count] / self.weights[:count]
        self.total, self.weights = self.total[..., count:].clone(), self.weights[count:].clone()
        return done


class SegmentEncoder:
    """Push samples `[C, T]`, get one block of codes for each segment."""

    def __init__(self, codec: Codec, n_codebooks: int):
        self.codec, self.n_codebooks = codec, n_codebooks
        self.segmenter = Segmenter(codec.config)

    @torch.inference_mode()
    def push(self, wave: Tensor) -> list[Block]:
        return [self._encode(segment) for segment in self.segmenter.push(wave)]

    @torch.inference_mode()
    def flush(self) -> list[Block]:
        return [self._encode(segment) for segment in self.segmenter.flush()]

    def _encode(self, wave: Tensor) -> Block:
        latents, scale = self.codec.latents(wave[None])
        codes = self.codec.quantizer.encode(latents, self.n_codebooks)
        return Block.of(latents, codes, None if scale is None else scale.item())


class SegmentDecoder:
    """Push the block of one segment, get samples `[C, T]`; the overlap is held back for the next one."""

    def __init__(self, codec: Codec):
        self.codec = codec
        self.overlap_add = OverlapAdd(codec.config)

    def push(self, block: Block) -> Iterator[Tensor]:
        yield self._decode(block)

    def push_silence(self) -> Tensor:
        """A segment of silence in place of one that is lost."""
        config = self.codec.config
        return self.overlap_add.push(torch.zeros(1, config.channels, config.block_frames * config.hop_length))[0]

    @torch.inference_mode()
    def _decode(self, block: Block) -> Tensor:
        codes = torch.from_numpy(block.codes.astype(np.int64))[None]
        scale = None if block.scale is None else torch.tensor([block.scale])
        return self.overlap_add.push(self.codec.decode_segment(Encoded(codes, scale)))[0]

    @torch.inference_mode()
    def flush(self) -> Tensor:
        rest = self.overlap_add.flush()
        return torch.zeros(self.codec.config.channels, 0) if rest is None else rest[0]
