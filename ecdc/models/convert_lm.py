"""Gives a model folder its exact language model: `python -m ecdc.models.convert_lm FLOAT_LM FOLDER AUDIO...`."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import torch
from safetensors.torch import load_file

from ..audio.convert import Resampler, map_channels
from ..audio.reader import open_audio
from ..codec.codec import Codec
from ..entropy.convert import convert
from ..entropy.float_model import load_float_model
from .registry import LANGUAGE_MODEL, load_model

# Trained on stretches of this many seconds; positions are provided for twice as many.
TRAINED_SECONDS = 5


def convert_language_model(float_path: Path, folder: Path, audio: list[Path]) -> Path:
    """Convert a float language model with official names for the codec in `folder`, which it is written to.

    `audio`: real speech and music, whose codes show how large activations become.
    """
    codec = load_model(folder)
    rate = codec.config.frame_rate
    model = load_float_model(load_file(float_path), rate)
    codes = np.concatenate([_codes(path, codec) for path in audio], axis=1)
    frames = min(TRAINED_SECONDS * rate, codes.shape[1])
    whole = codes[:, :codes.shape[1] // frames * frames].reshape(len(codes), -1, frames)
    exact = convert(model, torch.from_numpy(whole.astype(np.int64)).transpose(0, 1), 2 * TRAINED_SECONDS * rate)
    exact.save(folder / LANGUAGE_MODEL)
    return folder / LANGUAGE_MODEL


def _codes(path: Path, codec: Codec) -> np.ndarray:
    """All codes [K, T] of an audio file."""
    config = codec.config
    with open_audio(path) as reader:
        resampler = Resampler(reader.samplerate, config.sample_rate, config.channels)
        encoder, blocks = codec.encoder_stream(config.codebooks, config.block_frames), []
        for block in reader.blocks():
            blocks += encoder.push(torch.from_numpy(resampler.push(map_channels(block, config.channels)).copy()))
        blocks += encoder.push(torch.from_numpy(resampler.flush().copy())) + encoder.flush()
    return np.concatenate([block.codes for block in blocks], axis=1)


@click.command()
@click.argument("float_lm", type=click.Path(exists=True, path_type=Path))
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("audio", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
def main(float_lm: Path, folder: Path, audio: tuple[Path, ...]) -> None:
    """Convert FLOAT_LM (safetensors, official names) for the codec in FOLDER, measuring ranges on AUDIO."""
    path = convert_language_model(float_lm, folder, list(audio))
    click.echo(f"{path}: {path.stat().st_size / 1e6:.2f} MB", err=True)


if __name__ == "__main__":
    main()
