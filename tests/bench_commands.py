"""Whole commands as processes, start-up included: this checkout, an earlier commit, Opus; as ratios in one run."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr
from support.paths import MUSIC, ROOT, VOICE

RATE = 24000
# A small process starts the command: a child begins with its parent's peak of memory.
TIMED = (
    "import json, resource, subprocess, sys, time; begun = time.perf_counter();"
    "done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE);"
    "taken = time.perf_counter() - begun; peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss;"
    "print(json.dumps([done.returncode, taken, peak / 1024, done.stderr.decode()[-300:]]))"
)


class Run(NamedTuple):
    """Wall seconds and peak memory in MB."""

    seconds: float
    memory: float


def timed(command: list[str], runs: int, where: Path = ROOT, **environment: str) -> Run:
    """The quickest of so many runs, in the folder `where`, which Python imports from first."""
    # Both slow NumPy where they are set.
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OPENBLAS_")}
    best: Run | None = None
    for _ in range(runs):
        done = subprocess.run(
            [sys.executable, "-c", TIMED, *command],
            env={**kept, **environment},
            cwd=where,
            capture_output=True,
            check=True,
        )
        status, seconds, memory, errors = json.loads(done.stdout)
        if status:
            sys.exit(f"{' '.join(command)} failed: {errors}")
        best = Run(seconds, memory) if best is None or seconds < best.seconds else best
    assert best is not None
    return best


@contextlib.contextmanager
def checkouts(against: str | None) -> Iterator[dict[str, Path]]:
    """Folders by name: this one, and the commit to compare with, in a worktree that is removed afterwards."""
    if against is None:
        yield {"now": ROOT}
        return
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--detach", "--quiet", str(tree), against], check=True)
        try:
            yield {"now": ROOT, against: tree}
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def sound(path: Path, seconds: int) -> None:
    """Speech and music, over and over."""
    parts = []
    for clip in (VOICE, MUSIC):
        data, rate = soundfile.read(clip, dtype="float32", always_2d=True)
        parts.append(soxr.resample(data[:, 0], rate, RATE))
    soundfile.write(path, np.resize(np.concatenate(parts), seconds * RATE), RATE)


def bench_commands(against: str | None, lengths: list[int], runs: int, say: Callable[[str], None]) -> list[dict]:
    """Rows with what was measured; `lengths` of the audio in seconds."""
    rows: list[dict] = []
    with checkouts(against) as trees, tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for seconds in lengths:
            sound(folder / "in.wav", seconds)
            repeated = runs if seconds < 100 else 1
            for name, tree in trees.items():
                for options in ([], ["--no-lm"]):
                    rows += _ecdc(folder, tree, name, seconds, options, repeated)
            rows += _opus(folder, seconds, repeated)
            for row in rows:
                if row["seconds of audio"] == seconds:
                    say(_line(row, rows))
    return rows


def _ecdc(folder: Path, tree: Path, name: str, seconds: int, options: list[str], runs: int) -> list[dict]:
    rows = []
    for threads in (1, 2) if (tree / "ecdc" / "native").is_dir() else (0,):
        extra = [] if threads == 0 else ["-T", str(threads)]
        environment = {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        stream, back = str(folder / f"{name}.ecdc"), str(folder / "out.wav")
        command = [sys.executable, "-m", "ecdc"]
        packed = timed(
            [*command, "compress", "-f", *extra, *options, str(folder / "in.wav"), stream], runs, tree, **environment
        )
        unpacked = timed([*command, "decompress", "-f", *extra, stream, back], runs, tree, **environment)
        for direction, run in (("compress", packed), ("decompress", unpacked)):
            what = f"{direction}{' --no-lm' if options else ''}"
            rows.append(_row(name, what, threads or 1, seconds, run))
    return rows


def _opus(folder: Path, seconds: int, runs: int) -> list[dict]:
    if not shutil.which("opusenc") or not shutil.which("opusdec"):
        return []
    stream = str(folder / "out.opus")
    packed = timed(["opusenc", "--quiet", "--bitrate", "12", str(folder / "in.wav"), stream], runs)
    unpacked = timed(["opusdec", "--quiet", "--force-wav", stream, str(folder / "out.wav")], runs)
    return [_row("opus", "compress", 1, seconds, packed), _row("opus", "decompress", 1, seconds, unpacked)]


def _row(name: str, what: str, threads: int, seconds: int, run: Run) -> dict:
    return {
        "of": name,
        "what": what,
        "threads": threads,
        "seconds of audio": seconds,
        "wall seconds": round(run.seconds, 3),
        "peak MB": round(run.memory),
    }


def _line(row: dict, rows: list[dict]) -> str:
    """A row for people; of this checkout also how many times as fast it is as the earlier commit on one thread."""
    earlier = [
        other
        for other in rows
        if other["of"] not in ("now", "opus")
        and (other["what"], other["seconds of audio"]) == (row["what"], row["seconds of audio"])
    ]
    ratio = f", {earlier[0]['wall seconds'] / row['wall seconds']:.2f} x {earlier[0]['of']}" if earlier else ""
    return (
        f"{row['of']:<10} {row['what']:<18} {row['seconds of audio']:>4} s of audio, {row['threads']} thread(s): "
        f"{row['wall seconds']:8.2f} s, {row['peak MB']:>4} MB{ratio if row['of'] == 'now' else ''}"
    )
