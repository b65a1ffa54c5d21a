"""A packet's payload: the scales of its segments, where the model normalises, then the coded codes."""

from __future__ import annotations

import numpy as np

from ..codec.blocks import Block
from ..codec.config import CodecConfig
from ..errors import BitstreamError
from . import plain


def encode_payload(blocks: list[Block], config: CodecConfig) -> bytes:
    """`blocks`: those of one packet."""
    scales = b"".join(np.array(block.scale, "<f4").tobytes() for block in blocks if block.scale is not None)
    codes = np.concatenate([block.codes for block in blocks], axis=1)
    return scales + plain.pack(codes, config.bits_per_code)


def decode_payload(payload: bytes, frames: int, n_codebooks: int, config: CodecConfig) -> list[Block]:
    """The blocks of one packet: its segments, or for a model without segments a single one."""
    segments = 1
    if config.segment is not None and frames > config.block_frames:
        segments, rest = divmod(frames, config.block_frames)
        if rest:
            raise BitstreamError(f"damaged: {frames} frames are no whole number of segments")
    scales = [None] * segments
    if config.normalize:
        if len(payload) < 4 * segments:
            raise BitstreamError("damaged: it is too short for its scales")
        scales = np.frombuffer(payload[:4 * segments], "<f4").tolist()
        if not all(np.isfinite(scales)):
            raise BitstreamError("damaged: a scale is not a number")
        payload = payload[4 * segments:]
    codes = plain.unpack(payload, n_codebooks, frames, config.bits_per_code)
    return [Block(part, scale) for part, scale in zip(np.split(codes, segments, axis=1), scales)]
