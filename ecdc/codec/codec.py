"""A whole codec: wave `[B, C, T]` <-> encoded segments (codes `[B, K, frames]` and scale)."""

from __future__ import annotations

from pathlib import Path
from typing import Mapping, Optional, Union

import torch
from torch import Tensor, nn

from .batch import decode_padded, encode_padded
from .blocks import Encoded
from .config import CodecConfig
from .quantizer import ResidualVectorQuantizer
from .seanet import Decoder, Encoder
from .segments import OverlapAdd, Segmenter, SegmentDecoder, SegmentEncoder
from .streaming import StreamDecoder, StreamEncoder
from .weights import runtime_state
from ..errors import EcdcError, ModelError
from ..fingerprint import fingerprint


def loudness(wave: Tensor) -> Tensor:
    """What a segment `[B, C, T]` is divided by: `[B, 1, 1]`, the RMS of its mono mix, above zero."""
    return wave.mean(1, keepdim=True).square().mean(2, keepdim=True).sqrt() + 1e-8


class Codec(nn.Module):
    """Inference with any EnCodec model (paper section 3).

    `fingerprint` names the exact weights, 8 bytes; it is what a stream says it needs.
    `folder` is where they were loaded from, if from a file.
    """

    def __init__(self, config: CodecConfig):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.quantizer = ResidualVectorQuantizer(config.codebooks, config.codebook_size, config.dimension)
        self.fingerprint = b""
        self.folder: Optional[Path] = None
        self.requires_grad_(False).eval()

    @classmethod
    def from_state(cls, config: CodecConfig, state: Mapping[str, Tensor]) -> Codec:
        """Build from a state dict with official names, in any float type, with or without weight norm."""
        with torch.device("meta"):
            codec = cls(config)
        try:
            codec.load_state_dict(runtime_state(config, state), assign=True)
        except RuntimeError as error:
            raise ModelError(f"weights do not fit the configuration {config.name!r}: "
                             f"{' '.join(str(error).split())[:300]}") from None
        codec.requires_grad_(False).eval()
        codec.fingerprint = fingerprint(config.canonical(), {name: state[name].detach().numpy() for name in state})
        return codec

    @torch.inference_mode()
    def encode(self, wave: Tensor, n_codebooks: Optional[int] = None,
               padding_mask: Optional[Tensor] = None) -> list[Encoded]:
        """Encode whole signals at the model's rate: one `Encoded` for each segment, all in one without segments.

        Args:
            wave: `[B, C, T]`, float32, full scale 1.
            n_codebooks: `config.codebooks_for(bandwidth)`; all by default.
            padding_mask: `[B, T]`, 1 for audio and 0 for the padding after it, where the
                items have different lengths; their codes are those they have alone.
        """
        if wave.dim() != 3 or wave.shape[1] != self.config.channels or 0 in wave.shape:
            raise EcdcError(f"encode needs a wave of shape [B > 0, {self.config.channels}, T > 0], "
                            f"got {list(wave.shape)}")
        if padding_mask is not None:
            return encode_padded(self, wave, padding_mask, n_codebooks)
        segmenter = Segmenter(self.config)
        return [self.encode_segment(segment, n_codebooks)
                for segment in [*segmenter.push(wave), *segmenter.flush()]]

    @torch.inference_mode()
    def decode(self, segments: list[Encoded]) -> Tensor:
        """Decode to `[B, C, T]`; T is up to a frame longer than what was encoded."""
        if segments[0].frames is not None:
            return decode_padded(self, segments)
        if self.config.segment is None:
            return torch.cat([self.decode_segment(segment) for segment in segments], dim=-1)
        overlap_add = OverlapAdd(self.config)
        waves = [overlap_add.push(self.decode_segment(segment)) for segment in segments]
        return torch.cat([*waves, overlap_add.flush()], dim=-1)

    def encode_segment(self, wave: Tensor, n_codebooks: Optional[int] = None) -> Encoded:
        """Encode one segment `[B, C, T]`, normalised by its RMS where the model asks for it."""
        scale = None
        if self.config.normalize:
            scale = loudness(wave)
            wave, scale = wave / scale, scale.view(-1)
        return Encoded(self.quantizer.encode(self.encoder(wave), n_codebooks or self.config.codebooks), scale)

    def decode_segment(self, segment: Encoded) -> Tensor:
        """Decode one segment to `[B, C, frames x hop_length]`."""
        wave = self.decoder(self.quantizer.decode(segment.codes))
        return wave if segment.scale is None else wave * segment.scale.view(-1, 1, 1)

    def encoder_stream(self, n_codebooks: int, block_frames: int) -> Union[StreamEncoder, SegmentEncoder]:
        """An encoder to push one signal through, with work done in blocks of `block_frames` (or in segments)."""
        if self.config.segment is None:
            return StreamEncoder(self, n_codebooks, block_frames)
        return SegmentEncoder(self, n_codebooks)

    def decoder_stream(self) -> Union[StreamDecoder, SegmentDecoder]:
        """A decoder to push the blocks of one signal through."""
        return StreamDecoder(self) if self.config.segment is None else SegmentDecoder(self)
