"""`ecdc models`"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Iterator, Optional

import click

from ..errors import EcdcError
from .jobs import report, report_error
from .progress import download_bar, size

NAME = click.argument("name", metavar="NAME")
FORCE = click.option("-f", "--force", is_flag=True, help="Replace what is installed under this name.")


@click.group(short_help="List, fetch, import, check and remove models.")
def models() -> None:
    """List, fetch, import, check and remove models.

    Models are kept in the user's cache folder, or in ECDC_HOME if that is set. Nothing is
    ever fetched but by `pull`.
    """


@contextlib.contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except EcdcError as error:
        report_error(str(error), 0)
    except OSError as error:
        report_error(f"{error.filename or 'models'}: {error.strerror or error}", 0)
    else:
        return
    sys.exit(1)


@models.command("list", short_help="Show which models there are, and where.")
def list_models() -> None:
    """Show which models are bundled, installed, in the Hugging Face cache, or can be fetched."""
    from ..models.catalogue import catalogue
    with _one_line_errors():
        rows = [("NAME", "RATE", "CHANNELS", "KBPS", "LANGUAGE MODEL", "WHERE"), *(
            (entry.name, f"{entry.config.sample_rate / 1000:g} kHz", str(entry.config.channels),
             " ".join(f"{rate:g}" for rate in entry.config.bandwidths), "yes" if entry.lm else "no", entry.where)
            for entry in catalogue())]
        widths = [max(map(len, column)) for column in zip(*rows)]
        for row in rows:
            click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


@models.command(short_help="Fetch an official model and its language model.")
@NAME
@FORCE
def pull(name: str, force: bool) -> None:
    """Fetch an official model and its language model from their published addresses, and install them.

    A download that broke off is gone on with. Their licence is not stated by their makers.
    """
    from ..models.pull import pull_model
    with _one_line_errors():
        folder = pull_model(name, force, download_bar)
        report(f"{name}: installed in {folder}", 0)


@models.command("import", short_help="Install a checkpoint that you have.")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--name", help="What to call it. [default: from the file's or folder's name]")
@FORCE
def import_checkpoint(path: Path, name: Optional[str], force: bool) -> None:
    """Install an original checkpoint (.th), a folder of transformers, or a language model for an installed model.

    \b
    ecdc models import encodec_24khz-d7cc33bc.th
    ecdc models import encodec_lm_24khz-1608e3c0.th
    ecdc models import ./my-finetuned-encodec --name mine
    """
    from ..models.importing import import_model
    with _one_line_errors():
        report(f"{path}: installed in {import_model(path, name, force)}", 0)


@models.command(short_help="Show what is known of a model.")
@NAME
def show(name: str) -> None:
    """Show a model's architecture, fingerprints, size and origin."""
    from ..models.catalogue import describe
    with _one_line_errors():
        rows = describe(name)
        width = max(map(len, rows))
        click.echo("\n".join(f"{key:<{width}}  {value}" for key, value in rows.items()))


@models.command(short_help="Check a model's files.")
@NAME
@click.option("--conformance", metavar="AUDIO", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Compare with the values published for this recording (item 0 of the LibriSpeech dummy set).")
def verify(name: str, conformance: Optional[Path]) -> None:
    """Load a model and check that it is the one that was installed."""
    from ..models.catalogue import verify_model
    from ..models.conformance import check_conformance
    with _one_line_errors():
        codec, found = verify_model(name)
        report("\n".join(f"{name}: {line}" for line in found), 0)
        if conformance is not None:
            report("\n".join(f"{name}: {line}" for line in check_conformance(codec, conformance)), 0)


@models.command(short_help="Delete an installed model.")
@NAME
def remove(name: str) -> None:
    """Delete an installed model; bundled ones stay."""
    from ..models.store import remove as remove_model
    with _one_line_errors():
        report(f"{name}: {size(remove_model(name))} deleted", 0)
