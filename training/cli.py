"""`bin/train`: a corpus, a codec, its language model, and the model folder made of them."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Optional

import click

from ecdc.errors import EcdcError

from .data import QUIETEST
from .settings import Settings

FOLDER = click.Path(file_okay=False, path_type=Path)
DEFAULTS = {field.name: field.default for field in dataclasses.fields(Settings)}


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Train codecs and language models for ecdc."""


@main.command()
@click.argument("folder", type=FOLDER)
@click.argument("packages", nargs=-1)
@click.option("--processes", default=2, show_default=True, help="Files decoded at once.")
def corpus(folder: Path, packages: tuple[str, ...], processes: int) -> None:
    """Build a corpus of free audio in FOLDER, from Debian PACKAGES (by default all that are known: 45 GB of disk).

    \b
    Example: bin/train corpus ~/corpus
    """
    from .corpus import build
    build(folder, list(packages) or None, processes)


def _setting(name: str, kind: object, text: str):
    """An option for a field of Settings; what is not given keeps the run's own value."""
    default = DEFAULTS[name]
    shown = f"  [default: {default}]" if default is not None else ""
    return click.option("--" + name.replace("_", "-"), type=kind, help=text + shown)


@main.command()
@click.argument("run", type=FOLDER)
@click.option("--audio", multiple=True, type=click.Path(exists=True, file_okay=False),
              help="Folder to train on; may be given again. Needed at the first call.")
@_setting("heldout", click.Path(exists=True, file_okay=False), "Folder with speech/, music/, sound/ to check on.")
@_setting("model", str, "Model (a name or a folder) to go on from.")
@_setting("config", click.Path(exists=True, dir_okay=False), "config.json to train from nothing, or from --model grown to it.")
@_setting("steps", click.IntRange(1), "Steps in all.")
@_setting("batch", click.IntRange(1), "Crops for each process and step.")
@_setting("seconds", click.FloatRange(0.1, 30), "Length of a crop (models with segments: one segment).")
@_setting("quietest", click.FloatRange(max=6), "Least gain of a crop in dB: lower ones teach a codec quiet recordings.")
@_setting("processes", click.IntRange(1, 64), "Processes; on the CPU of one thread each.")
@_setting("device", click.Choice(["cpu", "cuda"]), "Where to train.")
@_setting("rate", float, "Learning rate: Muon's.")
@_setting("adam_share", float, "AdamW's, as a share of it.")
@_setting("warmup", click.IntRange(1), "Steps over which the rate rises.")
@_setting("decay", click.IntRange(1), "Last steps, over which the rate falls to zero.")
@_setting("unquantized", click.IntRange(0), "First steps without quantization, where codebooks are new.")
@_setting("early", click.IntRange(0), "First steps with more weight on the waveform, of a model from nothing.")
@_setting("similarity", click.FloatRange(0), "Weight of the ear's spectrograms' likeness, beside 1 for mel spectrograms.")
@click.option("--decoder-only", is_flag=True, default=None,
              help="Keep encoder and codebooks: codes stay the same, and so does their language model.")
@_setting("adversarial", click.IntRange(0), "Step at which the discriminator comes in; by default never.")
@_setting("ramp", click.IntRange(1), "Steps over which its losses rise.")
@_setting("average", click.FloatRange(0, 1), "What the moving average of the weights keeps at each step.")
@_setting("check_every", click.IntRange(1), "Steps from one check and row of the log to the next.")
@_setting("save_minutes", click.FloatRange(0), "Minutes from one save to the next.")
@_setting("seed", int, "Seed of everything random.")
def codec(run: Path, audio: tuple[str, ...], **given: Optional[object]) -> None:
    """Train a codec in the folder RUN, or go on there; Ctrl-C saves and stops.

    The folder holds settings.json, state.pt, log.csv with log.png, and samples/.

    \b
    Example: bin/train codec runs/mine --model ecdc_24khz --audio ~/recordings --steps 2000
    """
    from .trainer import train
    changes = {name: value for name, value in given.items() if value is not None}
    if audio:
        changes["audio"] = tuple(str(Path(folder).resolve()) for folder in audio)
    if (run / "settings.json").exists():
        settings = dataclasses.replace(Settings.load(run), **changes)
    elif audio:
        settings = Settings(**changes)
    else:
        raise click.UsageError("a new run needs --audio FOLDER")
    train(settings, run)


@main.command()
@click.argument("run", type=FOLDER)
@click.argument("model", type=FOLDER)
@click.option("--name", help="The model's name.  [default: the folder's]")
def export(run: Path, model: Path, name: Optional[str]) -> None:
    """Write the averaged weights of RUN as a MODEL folder for `ecdc --model`.

    \b
    Example: bin/train export runs/mine models/mine
    """
    from .export import export_codec
    export_codec(run, model, name or model.name)


@main.command("lm")
@click.argument("model", type=FOLDER)
@click.option("--audio", multiple=True, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Folder to train on; may be given again.")
@click.option("--state", type=click.Path(dir_okay=False, path_type=Path), help="File to keep the training in.")
@click.option("--start", help="Language model to go on from, at its size: that of a model (a name or a folder), or a float file.")
@click.option("--hours", default=5.0, show_default=True, help="Audio to take codes of.")
@click.option("--quietest", type=click.FloatRange(max=6), default=QUIETEST, show_default=True,
              help="Least gain of that audio in dB, as for the codec.")
@click.option("--steps", default=3000, show_default=True)
@click.option("--batch", default=8, show_default=True, help="Sequences of 5 s for each process and step.")
@click.option("--rate", default=2e-3, show_default=True, help="Learning rate.")
@click.option("--processes", type=click.IntRange(1, 64), default=2, show_default=True)
@click.option("--dimension", type=click.IntRange(16, 1024), default=200, show_default=True,
              help="Width of the transformer, a multiple of 8.")
@click.option("--inner/--no-inner", default=False, show_default=True,
              help="Let each code see those of the codebooks before it in its frame.")
def language_model(model: Path, audio: tuple[Path, ...], state: Optional[Path], **options: object) -> None:
    """Train the language model of a MODEL folder on the codes of its codec, and put it there in exact form.

    \b
    Example: bin/train lm models/mine --audio ~/recordings
    """
    from .lm import LmSettings, train_lm
    train_lm(model, list(audio), state or model / "lm-state.pt", LmSettings(**options))


def run(command: click.Command = main, name: str = "train") -> None:
    """Run a command of bin; what is wrong becomes one line."""
    try:
        command(prog_name=f"bin/{name}")
    except (EcdcError, OSError) as error:
        click.echo(f"{name}: {error}", err=True)
        sys.exit(1)
