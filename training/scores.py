"""How close a decoded wave is to its original: ViSQOL, PESQ, STOI, SI-SNR and mel distance."""

from __future__ import annotations

import functools

import numpy as np
import soxr
import torch

from .losses import mel_distance, si_snr

# Coders may delay by this much, or drop the end.
MOST_DELAY = 0.1


def aligned(original: np.ndarray, decoded: np.ndarray, rate: int) -> np.ndarray:
    """`decoded` [T, C] shifted onto `original`, at its length."""
    most = int(MOST_DELAY * rate)
    a, b = original.mean(1), decoded.mean(1)
    size = 1 << (len(a) + len(b)).bit_length()
    correlation = np.fft.irfft(np.fft.rfft(b, size) * np.conj(np.fft.rfft(a, size)), size)
    shifts = np.arange(-most, most + 1)
    shift = int(shifts[np.argmax(correlation[shifts])])
    moved = decoded[shift:] if shift > 0 else np.pad(decoded, ((-shift, 0), (0, 0)))
    moved = moved[:len(original)]
    return np.pad(moved, ((0, len(original) - len(moved)), (0, 0)))


def score(original: np.ndarray, rate: int, decoded: np.ndarray, decoded_rate: int, speech: bool) -> dict[str, float]:
    """Scores of `decoded` [T, C] against `original`, at the original's rate; SI-SNR and mel distance in dB.

    ViSQOL in its audio mode (which takes 48 kHz) for all, and for speech PESQ (wide band) and STOI too.
    """
    if decoded.ndim == 1:
        decoded = decoded[:, None]
    a, b = original.mean(1), aligned(original, soxr.resample(decoded, decoded_rate, rate), rate).mean(1)
    waves = [torch.from_numpy(np.ascontiguousarray(x))[None, None] for x in (a, b)]
    scores = {"si_snr": float(si_snr(waves[1], waves[0]).mean()), "mel": mel_distance(waves[1], waves[0], rate)}
    full, decoded_full = (soxr.resample(x, rate, 48000) for x in (a, b))
    scores["visqol"] = float(_visqol().measure_from_arrays(full, decoded_full, 48000).moslqo)
    if speech:
        from pesq import NoUtterancesError, pesq
        from pystoi import stoi
        low, decoded_low = (soxr.resample(x, rate, 16000) for x in (a, b))
        try:
            scores["pesq"] = float(pesq(16000, low, decoded_low, "wb"))
        except NoUtterancesError:
            pass
        scores["stoi"] = float(stoi(low, decoded_low, 16000))
    return scores


@functools.lru_cache(maxsize=1)
def _visqol():
    from visqol import VisqolApi
    api = VisqolApi()
    api.create(mode="audio")
    return api
