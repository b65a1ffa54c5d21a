"""What a user would pick instead: codecs as commands, real files, their real size."""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Callable, NamedTuple, Optional

import numpy as np
import soundfile

import ecdc
from ecdc.errors import EcdcError


class Coder(NamedTuple):
    """`run`: a WAV file -> bytes of the compressed file, and the decoded wave [T, C] with its rate."""

    name: str
    run: Callable[[Path], tuple[int, np.ndarray, int]]


def ecdc_coder(model: Optional[str], bandwidth: float, best: bool = False) -> Coder:
    def run(path: Path) -> tuple[int, np.ndarray, int]:
        data, rate = soundfile.read(path, dtype="float32", always_2d=True)
        file = io.BytesIO()
        ecdc.write(file, data, rate, bandwidth=bandwidth, model=model, best=best)
        size = file.tell()
        file.seek(0)
        return size, *ecdc.read(file, model=model)

    name = "ecdc" if model is None else Path(model).name
    return Coder(f"{name}{' best' if best else ''} {bandwidth:g}", run)


def opus_coder(kbps: float) -> Coder:
    _needed("opusenc", "opus-tools")
    return _command(f"opus {kbps:g}", ".opus",
                    lambda source, made: ["opusenc", "--quiet", "--bitrate", str(kbps), source, made],
                    lambda made, back: ["opusdec", "--quiet", "--rate", "48000", made, back])


def mp3_coder(kbps: float) -> Coder:
    _needed("lame", "lame")
    return _command(f"mp3 {kbps:g}", ".mp3", lambda source, made: ["lame", "--quiet", "-b", str(kbps), source, made],
                    lambda made, back: ["lame", "--quiet", "--decode", made, back])


def _needed(command: str, package: str) -> None:
    if shutil.which(command) is None:
        raise EcdcError(f"{command} is not installed: install {package}, or leave that codec out")


def _command(name: str, suffix: str, encode: Callable[[str, str], list[str]],
             decode: Callable[[str, str], list[str]]) -> Coder:
    def run(path: Path) -> tuple[int, np.ndarray, int]:
        with tempfile.TemporaryDirectory() as folder:
            made, back = Path(folder) / f"made{suffix}", Path(folder) / "back.wav"
            for command in (encode(str(path), str(made)), decode(str(made), str(back))):
                done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL)
                if done.returncode:
                    raise EcdcError(f"{path}: {command[0]} failed: {done.stderr.decode(errors='replace').strip()}")
            return made.stat().st_size, *soundfile.read(back, dtype="float32", always_2d=True)

    return Coder(name, run)
