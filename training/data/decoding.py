"""Sound files of a corpus: read, judged, trimmed, written."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import soundfile
import soxr

LOWEST_RATE = 16000
# Longer than this between sounds, silence is cut.
PAUSE_SECONDS, SILENCE = 0.5, 10 ** (-60 / 20)
LONGEST_SECONDS = 600


def load(path: Path, category: str) -> tuple[np.ndarray, int] | None:
    """Samples [T, C] and their rate, or None for what cannot be read or is no use."""
    try:
        wave, rate = soundfile.read(path, LONGEST_SECONDS * 48000, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError:
        # G.722, Speex, AAC, and tracker modules; `build` has made sure that ffmpeg is there.
        if shutil.which("ffmpeg") is None:
            return None
        rate = 16000 if path.suffix.lower() in (".g722", ".spx") else 48000
        command = f"ffmpeg -nostdin -v error -t {LONGEST_SECONDS} -i".split()
        layout = f"-map a:0 -ac 2 -ar {rate} -f f32le -".split()
        done = subprocess.run([*command, str(path), *layout], capture_output=True)
        if done.returncode:
            return None
        wave = np.frombuffer(done.stdout, np.float32).reshape(-1, 2)
    if rate < LOWEST_RATE or len(wave) == 0 or not np.isfinite(wave).all():
        return None
    clipped = float((np.abs(wave) >= 0.985).mean())
    return None if category == "speech" and clipped > 0.005 else (wave[:, :2], rate)


def trimmed(wave: np.ndarray, rate: int) -> np.ndarray:
    """Without silence longer than a pause."""
    hop, pause = rate // 100, int(PAUSE_SECONDS * 50)
    count = len(wave) // hop
    loud = np.abs(wave[: count * hop]).reshape(count, -1).max(1) > SILENCE if count else np.zeros(0, bool)
    if not loud.any():
        return wave[:0]
    near = np.convolve(loud, np.ones(2 * pause + 1))[pause : pause + count] > 0
    return wave[: count * hop][np.repeat(near, hop)]


def is_stereo(wave: np.ndarray) -> bool:
    if wave.shape[1] != 2:
        return False
    side = wave[:, 0] - wave[:, 1]
    return float(np.square(side).mean()) > 1e-6 * float(np.square(wave).mean()) + 1e-12


def write(path: Path, wave: np.ndarray, rate: int, to: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, soxr.resample(wave, rate, to) if rate != to else wave, to, "PCM_16")
