"""The quantizer in the native library: residual vector quantization (paper section 3.2) and the beam search."""

from __future__ import annotations

import ctypes

import numpy as np

from ..native.calls import address, library, made

# The widest beam that the native search has room for.
WIDEST = 64


class NativeQuantizer:
    """`embed` [codebooks, size, D]: codebook k holds the residual that codebooks 0..k-1 leave."""

    def __init__(self, embed: np.ndarray):
        self.embed = np.ascontiguousarray(embed, np.float32)
        self.library = library()
        books, size, dimension = (ctypes.c_int64(count) for count in self.embed.shape)
        self.handle = made(self.library.ecdc_codebooks_new(address(self.embed), books, size, dimension))

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            self.library.ecdc_codebooks_free(self.handle)

    def encode(self, latents: np.ndarray, n_codebooks: int) -> np.ndarray:
        """Codes [K, frames] int32 of the nearest entries to latents [D, frames]."""
        rows = np.array(latents.T, np.float32, order="C")
        codes = np.empty((len(rows), n_codebooks), np.int32)
        self.library.ecdc_quantize(
            self.handle, address(rows), ctypes.c_int64(len(rows)), ctypes.c_int64(n_codebooks), address(codes)
        )
        return codes.T

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Latents [D, frames]: the sum of the entries that codes [K, frames] name."""
        latents = np.zeros((codes.shape[1], self.embed.shape[2]), np.float32)
        for entries, row in zip(self.embed, codes):
            latents += entries[row]
        return latents.T

    def search(
        self, latents: np.ndarray, n_codebooks: int, width: int, bits: np.ndarray | None, prices: np.ndarray | None
    ) -> np.ndarray:
        """As `beam_search` has it: codes [K, frames] int32; bits [frames, K, size] cost prices [frames] each."""
        rows = np.ascontiguousarray(latents.T, np.float32)
        codes = np.empty((len(rows), n_codebooks), np.int32)
        bits = None if bits is None else np.ascontiguousarray(bits, np.float32)
        prices = None if prices is None else np.ascontiguousarray(prices, np.float32)
        if not self.library.ecdc_search(
            self.handle,
            address(rows),
            ctypes.c_int64(len(rows)),
            ctypes.c_int64(n_codebooks),
            ctypes.c_int64(min(width, WIDEST)),
            None if bits is None else address(bits),
            None if prices is None else address(prices),
            address(codes),
        ):
            raise MemoryError
        return codes.T
