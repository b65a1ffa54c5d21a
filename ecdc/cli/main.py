"""The `ecdc` command: its subcommands, and what holds for all of them."""

from __future__ import annotations

import os
import signal

import click

from .. import __version__
from ..files import discard_unfinished
from .compress import compress
from .decompress import decompress
from .edit import cat, cut, truncate
from .info import info
from .models import models
from .test import test


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version", package_name="ecdc", prog_name="ecdc")
def main() -> None:
    """Compress audio to a few kilobits per second with a neural codec, and back."""


for command in (compress, decompress, info, test, truncate, cat, cut, models):
    main.add_command(command)


def _terminated(signum, frame) -> None:
    # Not by an exception: raised in the wrong place, inside a library's cleanup say, it would be lost.
    discard_unfinished()
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)


def run() -> None:
    """Run the command line and exit."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        main(prog_name="ecdc")
    except Exception as error:
        # A defect of ours; the user gets a line to report, not a traceback.
        click.echo(f"ecdc: internal error, please report it: {type(error).__name__}: {error}", err=True)
        os._exit(1)
