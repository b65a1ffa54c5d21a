"""Training audio: folders of sound files -> random crops, mixed as in the paper (section 4.1)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Iterable, NamedTuple, Optional

import numpy as np
import soundfile
import soxr

from ecdc.errors import EcdcError
from ecdc.files import open_output

from .settings import QUIETEST

CATEGORIES = ("speech", "music", "sound")
# Paper: one music source, one other source, two sources of any kind mixed, three that are not music mixed.
STRATEGIES = (("music",), ("other",), ("any", "any"), ("other", "other", "other"))
STRATEGY_ODDS = (0.32, 0.32, 0.24, 0.12)
# The greatest gain of a crop in dB.
LOUDEST = 6.0
# Of what is not music, this much is speech.
SPEECH_ODDS = 0.7


class Source(NamedTuple):
    """A sound file; `peak` over all of it, for normalising each file as a whole."""

    path: str
    category: str
    frames: int
    rate: int
    channels: int
    peak: float


def scan(folders: Iterable[Path], index: Path) -> list[Source]:
    """All readable sound files below the folders; `index` keeps what is known about them.

    A file's category is the name of a folder above it: speech, music or sound (as which anything else counts).
    """
    known = {}
    if index.exists():
        known = {source.path: source for source in map(Source._make, json.loads(index.read_text()))}
    sources = []
    for folder in folders:
        if not folder.is_dir():
            raise EcdcError(f"{folder}: no such folder of audio")
        for path in sorted(folder.rglob("*")):
            source = known.get(str(path)) or examined(path)
            if source is not None:
                sources.append(source)
    if not sources:
        raise EcdcError(f"no audio found below {', '.join(map(str, folders))}")
    with open_output(index) as file:
        file.write(json.dumps(sources).encode())
    return sources


def examined(path: Path) -> Optional[Source]:
    """What there is to know of a file, None for what is no audio."""
    if path.suffix[1:].upper() not in {*soundfile.available_formats(), "AIF", "OGA", "OPUS"} or not path.is_file():
        return None
    try:
        with soundfile.SoundFile(path) as file:
            peak = max((float(np.abs(block).max()) for block in file.blocks(1 << 20, dtype="float32")), default=0.0)
            category = next((name for name in reversed(path.parts) if name in CATEGORIES), "sound")
            return Source(str(path), category, file.frames, file.samplerate, file.channels, peak) if peak else None
    except soundfile.LibsndfileError:
        return None


class Crops:
    """Random crops `[B, C, T]` float32 at a model's rate; what is drawn depends on the generator alone."""

    def __init__(self, sources: list[Source], rate: int, channels: int, quietest: float = QUIETEST):
        self.rate, self.channels, self.quietest = rate, channels, quietest
        self.groups: dict[str, tuple[list[Source], np.ndarray]] = {}
        for category in CATEGORIES:
            group = [source for source in sources if source.category == category]
            if group:
                ends = np.cumsum([source.frames / source.rate for source in group])
                self.groups[category] = group, ends / ends[-1]

    def batch(self, random: np.random.Generator, size: int, length: int) -> np.ndarray:
        return np.stack([self.mixed(random, length) for _ in range(size)])

    def mixed(self, random: np.random.Generator, length: int) -> np.ndarray:
        """A crop `[C, T]` of one source, or a mix of several."""
        return self._sum(random, STRATEGIES[random.choice(len(STRATEGIES), p=STRATEGY_ODDS)], length)

    def single(self, random: np.random.Generator, length: int) -> np.ndarray:
        """A crop `[C, T]` of one source, half of the time of music."""
        return self._sum(random, ("any",), length)

    def _sum(self, random: np.random.Generator, kinds: tuple[str, ...], length: int) -> np.ndarray:
        wave = sum(self._one(random, self._category(random, kind), length) for kind in kinds)
        peak = np.abs(wave).max()
        return wave / peak if peak > 1 else wave

    def _category(self, random: np.random.Generator, kind: str) -> str:
        others = [name for name in ("speech", "sound") if name in self.groups]
        wanted = ["music"] if kind == "music" or (kind == "any" and random.random() < 0.5) else others
        present = [name for name in wanted if name in self.groups] or list(self.groups)
        if len(present) == 1:
            return present[0]
        return present[0] if random.random() < SPEECH_ODDS else present[1]

    def _one(self, random: np.random.Generator, category: str, length: int) -> np.ndarray:
        group, ends = self.groups[category]
        source = group[min(int(np.searchsorted(ends, random.random())), len(group) - 1)]
        take = -(-length * source.rate // self.rate)
        start = int(random.integers(0, max(1, source.frames - take + 1)))
        gain = 10 ** (random.uniform(self.quietest, LOUDEST) / 20) / source.peak * 0.5
        with soundfile.SoundFile(source.path) as file:
            file.seek(start)
            wave = file.read(take, dtype="float32", always_2d=True)
        if source.rate != self.rate:
            wave = soxr.resample(wave, source.rate, self.rate)
        if self.channels == 1:
            wave = wave.mean(1, keepdims=True)
        elif wave.shape[1] == 1:
            wave = np.repeat(wave, self.channels, axis=1)
        wave = wave[:length, :self.channels]
        # Short files start anywhere in the crop.
        before = int(random.integers(0, length - len(wave) + 1))
        return np.ascontiguousarray(np.pad(wave, ((before, length - len(wave) - before), (0, 0))).T) * np.float32(gain)
