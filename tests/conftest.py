"""Fixtures: the command as a user runs it, tiny models with random weights, the sample clips."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from support.command import check, ecdc
from support.paths import GOLDEN, MUSIC, ROOT, TINY, TINY_STEREO, VOICE  # noqa: F401 (for the tests)
from support.tiny_training import audio, causal, causal_run, finished, segmented_run  # noqa: F401 (fixtures)


def si_snr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Scale-invariant signal-to-noise ratio in dB."""
    target = reference * (reference @ estimate) / (reference @ reference)
    return float(10 * np.log10((target @ target) / ((estimate - target) @ (estimate - target))))


def noise(samples: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    """`[T, C]` float32."""
    return (np.random.default_rng(seed).standard_normal((samples, channels)) * 0.1).astype(np.float32)


@pytest.fixture
def short_wav(tmp_path) -> Path:
    """A fifth of a second of the voice."""
    data, rate = soundfile.read(VOICE, frames=3200, start=16000)
    path = tmp_path / "short.wav"
    soundfile.write(path, data, rate)
    return path


@pytest.fixture(scope="session")
def voice(tmp_path_factory) -> Path:
    """The voice as a stream."""
    path = tmp_path_factory.mktemp("voice") / "voice.ecdc"
    check(ecdc("compress", VOICE, path))
    return path


@pytest.fixture(scope="session")
def plain_voice(tmp_path_factory) -> Path:
    """The voice as a stream without language model, which decodes several times as fast."""
    path = tmp_path_factory.mktemp("plain") / "voice.ecdc"
    check(ecdc("compress", "--no-lm", VOICE, path))
    return path


def excerpt(source: Path, folder: Path, seconds: float) -> Path:
    """The beginning of a clip, as a file of its kind."""
    data, rate = soundfile.read(source, always_2d=True)
    path = folder / f"excerpt{source.suffix}"
    soundfile.write(path, data[: round(seconds * rate)], rate)
    return path


@pytest.fixture
def home(tmp_path, monkeypatch):
    folder = tmp_path / "home"
    monkeypatch.setenv("ECDC_HOME", str(folder))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return folder
