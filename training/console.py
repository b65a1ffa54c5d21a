"""How the commands of `bin/` that train and evaluate end: errors are one line."""

from __future__ import annotations

import sys

import click

from ecdc.cli.text import printable
from ecdc.errors import EcdcError


def run(command: click.Command, name: str) -> None:
    """Run a command of bin; what is wrong becomes one line."""
    try:
        command(prog_name=f"bin/{name}")
    except (EcdcError, OSError) as error:
        click.echo(printable(f"{name}: {error}"), err=True)
        sys.exit(1)
