"""`bin/evaluate`: quality against real bit rate, of models and of what a user would pick instead."""

from __future__ import annotations

import csv
import multiprocessing
import os
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Optional

import click
import soundfile
import soxr

from ecdc.errors import EcdcError
from ecdc.models import load_model

from .cli import run
from .data import examined
from .peers import Coder, ecdc_coder, mp3_coder, opus_coder
from .plots import plot_quality
from .scores import score

COLUMNS = ("kbps", "visqol", "mel", "si_snr", "pesq", "stoi")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", "models", multiple=True, help="Model name or folder; may be given again.  [default: bundled]")
@click.option("--bandwidths", help="Such as 3,6,12.  [default: all of each model]")
@click.option("--best", is_flag=True, help="Score each model with compress --best, too.")
@click.option("--opus", default="6,12,16,24", show_default=True, help="Opus rates in kbps; '' for none.")
@click.option("--mp3", default="32", show_default=True, help="MP3 rates in kbps; '' for none.")
@click.option("--most", type=click.IntRange(1), help="Files of each category.  [default: all]")
@click.option("--rate", type=click.IntRange(8000),
              help="Sample rate of what is coded and compared.  [default: the models' highest]")
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), default="evaluation",
              show_default=True, help="Folder for scores.csv and quality.png.")
@click.option("--processes", default=2, show_default=True)
def main(folder: Path, models: tuple[str, ...], bandwidths: Optional[str], best: bool, opus: str, mp3: str,
         most: Optional[int], rate: Optional[int], output: Path, processes: int) -> None:
    """Score codecs on the audio in FOLDER, whose subfolders speech/, music/ and sound/ are told apart.

    All codecs are given, and compared with, the audio at one sample rate; mono, if no model is stereo.

    \b
    Example: bin/evaluate ~/corpus/heldout --opus 6,12
    """
    configs = [load_model(model).config for model in models or (None,)]
    rate, mono = rate or max(config.sample_rate for config in configs), all(config.channels == 1 for config in configs)
    wanted = _coders(models, bandwidths, best, opus, mp3)
    files: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        source = examined(path)
        if source is not None and (most is None or len(files[source.category]) < most):
            files[source.category].append(path)
    if not files:
        raise EcdcError(f"{folder}: no audio found")
    work = [(wanted, path, category, rate, mono) for category, paths in files.items() for path in paths]
    rows = []
    os.environ["OMP_NUM_THREADS"] = "1"
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for number, scored in enumerate(pool.imap(_scored, work)):
            rows += scored
            print(f"\r{number + 1}/{len(work)} files", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    output.mkdir(parents=True, exist_ok=True)
    with open(output / "scores.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ("file", "category", "coder", *COLUMNS))
        writer.writeheader()
        writer.writerows(rows)
    plot_quality(rows, output / "quality.png")
    click.echo(table(rows))


def _coders(models: tuple[str, ...], bandwidths: Optional[str], best: bool, opus: str, mp3: str) -> list[tuple]:
    """What to make coders from, in any process: (function's name, its arguments)."""
    wanted: list[tuple] = []
    for model in models or (None,):
        rates = load_model(model).config.bandwidths if bandwidths is None else _rates(bandwidths)
        wanted += [("ecdc", model, rate, search) for search in ((False, True) if best else (False,)) for rate in rates]
    wanted += [("opus", rate) for rate in _rates(opus)] + [("mp3", rate) for rate in _rates(mp3)]
    for each in wanted:
        _coder(each)
    return wanted


def _rates(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise click.UsageError(f"rates are numbers with commas between, not {text!r}") from None


def _coder(wanted: tuple) -> Coder:
    kind, *arguments = wanted
    return {"ecdc": ecdc_coder, "opus": opus_coder, "mp3": mp3_coder}[kind](*arguments)


def _scored(work: tuple) -> list[dict]:
    wanted, path, category, rate, mono = work
    wave, source_rate = soundfile.read(path, dtype="float32", always_2d=True)
    wave = soxr.resample(wave.mean(1, keepdims=True) if mono else wave, source_rate, rate)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "given.wav"
        soundfile.write(given, wave, rate, "FLOAT")
        for each in wanted:
            coder = _coder(each)
            size, decoded, decoded_rate = coder.run(given)
            rows.append({"file": path.name, "category": category, "coder": coder.name,
                         "kbps": size * 8 / len(wave) * rate / 1000,
                         **score(wave, rate, decoded, decoded_rate, category == "speech")})
    return rows


def means(rows: list[dict]) -> dict[tuple[str, str], dict[str, float]]:
    """Mean of every column by (category, coder), in the order of the rows."""
    groups: dict[tuple[str, str], list[dict]] = defaultdict(list)
    for row in rows:
        groups[row["category"], row["coder"]].append(row)
    return {key: {name: sum(row[name] for row in group if name in row) / count for name in COLUMNS
                  if (count := sum(name in row for row in group))} for key, group in groups.items()}


def table(rows: list[dict]) -> str:
    """Markdown."""
    lines = ["| category | codec | " + " | ".join(COLUMNS) + " |", "|---" * (2 + len(COLUMNS)) + "|"]
    for (category, coder), values in means(rows).items():
        lines.append(f"| {category} | {coder} | "
                     + " | ".join(f"{values[name]:.2f}" if name in values else "" for name in COLUMNS) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    run(main, "evaluate")
