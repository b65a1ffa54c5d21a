"""docs/COMMANDS.md and the man pages, made of what the parser of the command line says."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click
from click_man.core import generate_man_page

from ecdc import __version__
from ecdc.cli.main import main

from .paths import ROOT

COMMANDS = ROOT / "docs" / "COMMANDS.md"
MAN = ROOT / "docs" / "man"
INTRODUCTION = """# Commands

`bin/docs` writes this file from the parser. `ecdc COMMAND --help` says the same. The exit status of
every command is 0, or 1 if a file failed (the others are still done), or 2 for wrong usage.
"""


def contexts(command: click.Command = main, parent: click.Context | None = None) -> Iterator[click.Context]:
    """One for each command and subcommand, in the order of the help."""
    context = click.Context(command, info_name=command.name if parent else "ecdc", parent=parent)
    yield context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from contexts(command.commands[name], context)


def section(context: click.Context) -> str:
    command = context.command
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f"## {context.command_path}", "", "```", f"{context.command_path} {usage}", "```", ""]
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        # Click keeps the lines of what follows \b: examples.
        examples = paragraph.strip().removeprefix("\b\n")
        lines += [textwrap.fill(paragraph, 100), ""] if examples == paragraph.strip() else ["```", examples, "```", ""]
    records = [record for parameter in command.params if (record := parameter.get_help_record(context)) and record[1]]
    if records:
        lines += ["| option | meaning |", "|---|---|"]
        lines += [f"| `{_cell(names)}` | {_cell(text)} |" for names, text in records] + [""]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


def pages() -> dict[Path, str]:
    """Every file, and what must be in it."""
    made = {COMMANDS: INTRODUCTION + "\n" + "\n".join(section(context) for context in contexts() if context.parent)}
    for context in contexts():
        # Without a date: the pages change with the parser only.
        page = generate_man_page(context, version=__version__)
        page = re.sub(r'^(\.TH "[^"]*" "1") "[^"]*"', r'\1 ""', page, flags=re.M)
        # Examples keep their lines.
        page = re.sub(r"^\.PP\n\x08?\n((?:[^.].*\n)+)", r".PP\n.nf\n\1.fi\n", page, flags=re.M)
        made[MAN / f"{context.command_path.replace(' ', '-')}.1"] = page
    return {path: text.rstrip() + "\n" for path, text in made.items()}


def write() -> None:
    MAN.mkdir(exist_ok=True)
    for path, text in pages().items():
        path.write_text(text)


if __name__ == "__main__":
    write()
