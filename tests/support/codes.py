"""Codes of real audio, and what an exact language model expects of them."""

import numpy as np
import torch
from conftest import MUSIC, VOICE

from ecdc.audio.convert import Resampler, map_channels
from ecdc.audio.reader import open_audio
from ecdc.codec.codec import Codec
from ecdc.entropy.language_model import LanguageModel


def real_codes(codec: Codec, n_codebooks: int) -> np.ndarray:
    """Codes [K, T] of the two samples."""
    parts = []
    for path in (VOICE, MUSIC):
        with open_audio(path) as reader:
            wave = np.concatenate(list(reader.blocks()), axis=1)
        resampler = Resampler(reader.samplerate, codec.config.sample_rate, 1)
        wave = np.concatenate([resampler.push(map_channels(wave, 1)), resampler.flush()], axis=1)
        parts.append(codec.encode(torch.from_numpy(wave.copy())[None], n_codebooks)[0].codes[0].numpy())
    return np.concatenate(parts, axis=1).astype(np.int32)


def all_counts(model: LanguageModel, codes: np.ndarray, step: int) -> np.ndarray:
    """Counts [T, K, size], `step` frames at a time."""
    context, rows = model.start(1, len(codes), codes.shape[1]), []
    tokens = np.concatenate([np.zeros((len(codes), 1), np.int64), 1 + codes], axis=1)[None]
    for first in range(0, codes.shape[1], step):
        part = codes[:, first : first + step]
        hidden = model.advance(tokens[:, :, first : first + part.shape[1]], context)[0]
        rows.append(model.counts(hidden, part.T))
    return np.concatenate(rows)
