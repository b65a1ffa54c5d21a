"""What a training run shows of itself: a line, a log, and every so often held-out audio through the averaged weights."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor

from ecdc.codec.codec import Codec
from ecdc.codec.config import CodecConfig

from .data import CATEGORIES, examined
from .log import append_row
from .losses import mel_distance, si_snr
from .plots import plot_log, plot_spectrograms
from .settings import Settings
from .shaping import Shaping

CLIPS, CLIP_SECONDS = 6, 4
SAMPLES = 3


def load_clips(folder: Path, config: CodecConfig, most: int, seconds: float) -> list[tuple[str, Tensor]]:
    """(category, wave [1, C, T]) of the first files of every category."""
    clips = []
    for category in CATEGORIES:
        for path in [path for path in sorted((folder / category).glob("*")) if examined(path)][:most]:
            with soundfile.SoundFile(path) as file:
                wave, rate = file.read(round(seconds * file.samplerate), "float32", always_2d=True), file.samplerate
            wave = soxr.resample(wave, rate, config.sample_rate)
            wave = wave.mean(1, keepdims=True) if config.channels == 1 else wave[:, [0, -1]]
            clips.append((category, torch.from_numpy(np.ascontiguousarray(wave.T))[None]))
    return clips


class Checks:
    """Writes log.csv, log.png and samples/ in the run's folder."""

    def __init__(self, config: CodecConfig, settings: Settings, folder: Path):
        self.config, self.settings, self.folder = config, settings, folder
        self.clips = load_clips(Path(settings.heldout), config, CLIPS, CLIP_SECONDS) if settings.heldout else []
        self.shaping = Shaping(config) if config.envelope_frames else None
        self.sums: dict[str, float] = defaultdict(float)
        self.count = 0
        self.rate = 6.0 if 6.0 in config.bandwidths else config.bandwidths[0]

    def after(self, step: int, losses: dict[str, float], seconds: float, averaged: dict[str, Tensor]) -> None:
        self.count += 1
        for name, value in (losses | {"seconds": seconds}).items():
            self.sums[name] += value
        if step % 20 == 0 and sys.stderr.isatty() or step % self.settings.check_every == 0:
            means = "  ".join(f"{name} {value / self.count:.4g}" for name, value in self.sums.items())
            print(f"\rstep {step}/{self.settings.steps}  {means}", end="", file=sys.stderr, flush=True)
        if step % self.settings.check_every == 0:
            print(file=sys.stderr)
            self._check(step, averaged)

    def _check(self, step: int, averaged: dict[str, Tensor]) -> None:
        row = {"step": step, "time": round(time.time()),
               **{name: value / self.count for name, value in self.sums.items()}, **self._scores(step, averaged)}
        self.sums.clear()
        self.count = 0
        append_row(self.folder / "log.csv", row)
        plot_log(self.folder / "log.csv", self.folder / "log.png")

    @torch.inference_mode()
    def _scores(self, step: int, averaged: dict[str, Tensor]) -> dict[str, float]:
        if not self.clips:
            return {}
        codec = Codec(self.config)
        codec.load_state_dict({name: tensor.cpu() for name, tensor in averaged.items()})
        scores: dict[str, list[float]] = defaultdict(list)
        pairs: dict[str, tuple[Tensor, Tensor]] = {}
        for category, wave in self.clips:
            decoded = codec.decode(codec.encode(wave, self.config.codebooks_for(self.rate)))[..., :wave.shape[-1]]
            if self.shaping is not None:
                decoded = self.shaping(decoded, wave)
            scores[f"si_snr_{category}"].append(float(si_snr(decoded, wave).mean()))
            scores[f"mel_{category}"].append(mel_distance(decoded, wave, self.config.sample_rate))
            pairs.setdefault(category, (wave, decoded))
        folder = self.folder / "samples"
        folder.mkdir(exist_ok=True)
        for category, (wave, decoded) in pairs.items():
            soundfile.write(folder / f"{category}-{step}.wav", decoded[0].T.numpy(), self.config.sample_rate)
        plot_spectrograms(pairs, self.config.sample_rate, folder / f"{step}.png")
        for old in sorted(folder.glob("*"), key=lambda path: path.stat().st_mtime)[:-SAMPLES * (len(pairs) + 1)]:
            old.unlink()
        return {name: float(np.mean(values)) for name, values in scores.items()}
