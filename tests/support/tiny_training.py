"""What the tests of training train: a tiny codec, on three seconds of the samples."""

import dataclasses
import json
from pathlib import Path
from typing import NamedTuple

import pytest
import soundfile

from support.paths import MUSIC, VOICE
from training.codec.export import export_codec
from training.codec.settings import Settings
from training.codec.trainer import train

TINY = {
    "sample_rate": 24000,
    "channels": 1,
    "n_filters": 2,
    "dimension": 8,
    "norm": "none",
    "pad_mode": "constant",
    "codebooks": 4,
    "codebook_size": 16,
    "bandwidths": [0.3, 0.6, 1.2],
    "lstm_layers": 1,
    "envelope_frames": 4,
}
TINY_SEGMENTED = TINY | {
    "envelope_frames": None,
    "channels": 2,
    "norm": "time_group_norm",
    "causal": False,
    "normalize": True,
    "segment": 0.2,
}


@pytest.fixture(scope="session")
def audio(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audio")
    for category, path in (("speech", VOICE), ("music", MUSIC), ("sound", MUSIC)):
        data, rate = soundfile.read(path, frames=3 * 24000)
        (folder / category).mkdir()
        soundfile.write(folder / category / "one.wav", data, rate)
    (folder / "speech" / "broken.wav").write_bytes(b"RIFF of nothing")
    return folder


def tiny_settings(config: dict, audio, folder) -> Settings:
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    return Settings(
        audio=(str(audio),),
        heldout=str(audio),
        config=str(path),
        steps=6,
        batch=2,
        seconds=0.2,
        processes=1,
        warmup=2,
        decay=2,
        unquantized=2,
        early=3,
        similarity=1.0,
        adversarial=3,
        ramp=2,
        check_every=6,
    )


class TinyRun(NamedTuple):
    """A finished run, and the model that was exported from it: not to be changed."""

    settings: Settings
    folder: Path
    model: Path


def tiny_run(config: dict, audio: Path, folder: Path) -> TinyRun:
    settings = dataclasses.replace(tiny_settings(config, audio, folder), check_every=3)
    run = TinyRun(settings, folder / "run", folder / "mine")
    train(run.settings, run.folder)
    export_codec(run.folder, run.model, "mine")
    return run


@pytest.fixture(scope="session")
def causal_run(audio, tmp_path_factory) -> TinyRun:
    return tiny_run(TINY, audio, tmp_path_factory.mktemp("causal"))


@pytest.fixture(scope="session")
def segmented_run(audio, tmp_path_factory) -> TinyRun:
    return tiny_run(TINY_SEGMENTED, audio, tmp_path_factory.mktemp("segmented"))


@pytest.fixture(params=["causal", "segmented"])
def finished(request) -> TinyRun:
    """A run of a codec of either kind that is done."""
    return request.getfixturevalue(f"{request.param}_run")


@pytest.fixture
def causal(audio, tmp_path):
    """Settings of a run that is not begun."""
    return tiny_settings(TINY, audio, tmp_path)
