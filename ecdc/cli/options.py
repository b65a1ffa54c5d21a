"""Options that several commands share."""

from __future__ import annotations

from typing import Callable, Optional

import click

from ..errors import AudioError

SAMPLE_FORMATS = ("u8", "s16le", "s24le", "s32le", "f32le", "f64le")


def _together(*options: Callable) -> Callable:
    def decorate(function: Callable) -> Callable:
        for option in reversed(options):
            function = option(function)
        return function
    return decorate


verbosity = _together(
    click.option("-q", "--quiet", count=True, help="Say nothing but errors; twice: not even those."),
    click.option("-v", "--verbose", count=True, help="Say more."),
)
output = _together(
    click.option("-o", "--output", metavar="FILE", help="Where to write; - is standard output."),
    click.option("--output-dir", metavar="DIR", type=click.Path(exists=True, file_okay=False),
                 help="Folder for outputs with derived names."),
    click.option("-f", "--force", is_flag=True, help="Overwrite existing files."),
)
model = click.option("-m", "--model", metavar="NAME|DIR", help="A model's name or its folder.")


def raw(direction: str, *formats: str) -> Callable:
    """`formats`: further values of --format, which may then be given twice."""
    return _together(
        click.option("--raw", is_flag=True, help=f"The {direction} is PCM without a header."),
        click.option("--rate", type=click.IntRange(1000, 768000), metavar="HZ", help=f"Sample rate of the {direction}."),
        click.option("--channels", type=click.IntRange(1, 255), metavar="N", help=f"Channels of the {direction}."),
        click.option("--format", "sample_format", type=click.Choice((*SAMPLE_FORMATS, *formats)),
                     multiple=bool(formats), help="Sample format of raw PCM. [default: s16le]"
                     + (" Or 0: write the official tool's format, for its models, without language model."
                        if formats else "")),
    )


def usage_if_impossible(check: Callable[..., None], *arguments: Optional[str]) -> None:
    """Options that contradict each other are the user's mistake in calling: exit 2."""
    try:
        check(*arguments)
    except AudioError as error:
        raise click.UsageError(str(error)) from None
