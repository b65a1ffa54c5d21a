"""Plain packing: every code takes `bits` bits, frame after frame, codebook inner, least significant bit first."""

from __future__ import annotations

import numpy as np

from ..errors import BitstreamError


def packed_size(n_codebooks: int, frames: int, bits: int) -> int:
    """Bytes that plain packing takes."""
    return -(-n_codebooks * frames * bits // 8)


def pack(codes: np.ndarray, bits: int) -> bytes:
    """Codes `[K, T]` to bytes."""
    values = np.ascontiguousarray(codes.T, dtype="<u2").reshape(-1, 1).view(np.uint8)
    return np.packbits(np.unpackbits(values, axis=1, bitorder="little")[:, :bits], bitorder="little").tobytes()


def unpack(payload: bytes, n_codebooks: int, frames: int, bits: int) -> np.ndarray:
    """Codes `[K, T]` int32 from bytes; BitstreamError unless the payload is exactly theirs."""
    if len(payload) != packed_size(n_codebooks, frames, bits):
        raise BitstreamError(f"damaged: {frames} frames of {n_codebooks} codebooks cannot take {len(payload)} bytes")
    flat = np.unpackbits(np.frombuffer(payload, np.uint8), bitorder="little")
    count = n_codebooks * frames
    if flat[count * bits:].any():
        raise BitstreamError("damaged: its padding is not zero")
    codes = flat[:count * bits].reshape(count, bits) @ (1 << np.arange(bits, dtype=np.int32))
    return codes.reshape(frames, n_codebooks).T.astype(np.int32)
