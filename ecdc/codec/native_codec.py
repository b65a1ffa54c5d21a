"""A whole codec in the native library: what streams compute with where it is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..fingerprint import fingerprint
from .config import CodecConfig
from .native import NativeStream, native_decoder, native_encoder
from .native_quantizer import NativeQuantizer
from .weights import runtime_state

# Segments that go through the network in step: their LSTMs share the reading of weights.
TOGETHER = 8


class NativeCodec:
    """An `Engine`: any EnCodec model (paper section 3) without PyTorch; threads may share it."""

    def __init__(self, config: CodecConfig, state: Mapping[str, np.ndarray], folder: Path | None = None):
        """`state`: with the official names, in any float type, with or without weight norm.

        Raises ModelError if it does not fit the configuration.
        """
        arrays = runtime_state(config, state)
        self.config, self.folder = config, folder
        self.fingerprint = fingerprint(config.canonical(), state)
        self.encoder, self.decoder = native_encoder(config, arrays), native_decoder(config, arrays)
        self.quantizer = NativeQuantizer(arrays["quantizer.embed"])

    def encoder_transform(self) -> NativeStream:
        return self.encoder.stream()

    def decoder_transform(self) -> NativeStream:
        return self.decoder.stream()

    def encoded_segments(self, waves: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [
            latents
            for first in range(0, len(waves), TOGETHER)
            for latents in self.encoder.whole(waves[first : first + TOGETHER])
        ]

    def decoded_segments(self, latents: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [
            wave
            for first in range(0, len(latents), TOGETHER)
            for wave in self.decoder.whole(latents[first : first + TOGETHER])
        ]

    def quantized(self, latents: np.ndarray, n_codebooks: int) -> np.ndarray:
        return self.quantizer.encode(latents, n_codebooks)

    def dequantized(self, codes: np.ndarray) -> np.ndarray:
        return self.quantizer.decode(codes)

    def searched(
        self, latents: np.ndarray, n_codebooks: int, width: int, bits: np.ndarray | None, prices: np.ndarray | None
    ) -> np.ndarray:
        return self.quantizer.search(latents, n_codebooks, width, bits, prices)
