"""What the command says: reports and errors on standard error, answers on standard output."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

import click

from ..errors import EcdcError
from .progress import clock
from .text import printable

if TYPE_CHECKING:
    from ..stream.conceal import Losses


def answer(*lines: str) -> None:
    """Print on standard output what was asked for. Raises OSError that names it."""
    try:
        click.echo("\n".join(map(printable, lines)))
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from None


def silence_libraries() -> None:
    """With -qq: libraries write to standard error by themselves."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)


def report(message: str, quiet: int) -> None:
    if quiet < 1:
        _say(message)


def report_error(message: str, quiet: int) -> None:
    if quiet < 2:
        _say(f"ecdc: {message}")


def _say(line: str) -> None:
    # What cannot be said keeps no one from the work.
    with contextlib.suppress(OSError):
        click.echo(printable(line), err=True)


def failure(error: Exception, name: str) -> str:
    """What to say of an error while working on `name`."""
    if isinstance(error, EcdcError):
        return f"{error}{error.option}"
    if isinstance(error, OSError):
        culprit = error.filename if isinstance(error.filename, str) else name
        return f"{culprit}: {error.strerror or error}"
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return f"{name}: there is not enough memory"
    # A defect of ours; the user gets a line to report, not a traceback.
    return f"{name}: internal error, please report it: {type(error).__name__}: {error}"


def report_losses(name: str, losses: Losses, quiet: int) -> None:
    """What was lost of a damaged stream, one line for each stretch."""
    for begin, end in losses.stretches:
        report(f"{name}: lost {clock(begin)} to {clock(end)}", quiet)
    if losses.cut_off is not None:
        report(f"{name}: cut off at {clock(losses.cut_off)}", quiet)


def flush_standard_files() -> None:
    """At the end: what cannot be written was reported, and is not reported again by the interpreter."""
    for file in (sys.stdout, sys.stderr):
        try:
            if file is not None:
                file.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())
