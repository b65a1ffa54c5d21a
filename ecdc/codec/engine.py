"""What streams need of a codec, whatever computes it: arrays of NumPy in and out, one signal at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from .config import CodecConfig


class Transform(Protocol):
    """One signal's way through an encoder or a decoder, with the state of every layer."""

    def step(self, x: np.ndarray, last: bool = False) -> np.ndarray:
        """The next stretch [C, T] of the signal; what can be computed by now, [C, T]. `last`: it ends here."""


class Engine(Protocol):
    """A codec that computes: `Codec` (PyTorch, the reference) or `NativeCodec`.

    `fingerprint` names the exact weights, 8 bytes; `folder` is where they were loaded from, if from a file.
    """

    config: CodecConfig
    fingerprint: bytes
    folder: Path | None

    def encoder_transform(self) -> Transform:
        """Samples [C, T] to latents [D, frames]."""

    def decoder_transform(self) -> Transform:
        """Latents [D, frames] to samples [C, T]."""

    def encoded_segments(self, waves: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Latents [D, frames] of whole segments [C, T], each by itself."""

    def decoded_segments(self, latents: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Segments [C, T] of latents [D, frames], each by itself."""

    def quantized(self, latents: np.ndarray, n_codebooks: int) -> np.ndarray:
        """Codes [K, frames] int32 of the nearest entries to latents [D, frames], one codebook after another."""

    def dequantized(self, codes: np.ndarray) -> np.ndarray:
        """Latents [D, frames]: the sum of the entries that codes [K, frames] name."""

    def searched(
        self, latents: np.ndarray, n_codebooks: int, width: int, bits: np.ndarray | None, prices: np.ndarray | None
    ) -> np.ndarray:
        """Codes [K, frames] int32 of a beam search (`beam.py`) for latents [D, frames].

        `bits` [frames, K, size]: what choosing an entry costs, each in units of squared distance at `prices` [frames].
        """
