"""`ecdc truncate`, `ecdc cat`, `ecdc cut`, `ecdc repair`: streams into streams."""

from __future__ import annotations

import contextlib
from typing import BinaryIO, Iterator, Optional

import click

from ..errors import naming
from . import options
from .jobs import STREAM, Job, named, one_line_errors, open_source, open_target, report, report_losses, run_jobs
from .options import Duration
from .progress import clock

SOURCE = click.argument("source", metavar="INPUT.ecdc|-")
TARGET = click.argument("target", metavar="OUTPUT.ecdc|-")
FORCE = click.option("-f", "--force", is_flag=True, help="Overwrite an existing file.")


@click.command(short_help="Lower the bit rate without decoding audio.")
@SOURCE
@TARGET
@click.option("-b", "--bandwidth", type=float, required=True, metavar="KBPS", help="The new rate.")
@options.model
@FORCE
@options.verbosity
def truncate(source: str, target: str, bandwidth: float, model: Optional[str], force: bool, quiet: int,
             verbose: int) -> None:
    """Lower a stream's bit rate: the result is what compressing at that rate would have given, byte for byte
    (of a stream made with --best: nearly as good as that).

    \b
    ecdc truncate in.ecdc out.ecdc -b 3
    """
    from ..edit import truncate as truncate_stream

    def work(job: Job) -> None:
        with open_source(job.source) as file, open_target(job, force) as out:
            truncate_stream(file, out, bandwidth, model)
            size = out.tell() if job.target != STREAM else None
        report(f"{job.source} to {named(job.target)}" + (f": {size} bytes" if size else ""), quiet)

    run_jobs([Job(source, target)], work, quiet)


@click.command(short_help="Join .ecdc files.")
@click.argument("sources", nargs=-1, required=True, metavar="INPUT.ecdc...")
@click.option("-o", "--output", required=True, metavar="FILE", help="Where to write; - is standard output.")
@options.model
@FORCE
@options.verbosity
def cat(sources: tuple[str, ...], output: str, model: Optional[str], force: bool, quiet: int, verbose: int) -> None:
    """Join streams of the same model, rates and bandwidth without coding them anew.

    Each but the last is lengthened to whole frames (13 ms at 24 kHz). The tags are the first one's.

    \b
    ecdc cat a.ecdc b.ecdc -o both.ecdc
    """
    from ..edit import join

    with one_line_errors(quiet):
        with open_target(Job(STREAM, output), force) as out:
            join(map(_named, sources), out, model)
        report(f"{len(sources)} files to {named(output)}", quiet)


@contextlib.contextmanager
def _named(source: str) -> Iterator[BinaryIO]:
    with naming("standard input" if source == STREAM else source), open_source(source) as file:
        yield file


@click.command(short_help="Cut a stretch out of a .ecdc file.")
@SOURCE
@TARGET
@click.option("--start", type=Duration(0), default=0.0, metavar="TIME", help="Where to begin, such as 90 or 1:02:03.5.")
@click.option("--duration", type=Duration(0.001), metavar="TIME", help="How much. [default: to the end]")
@options.model
@FORCE
@options.verbosity
def cut(source: str, target: str, start: float, duration: Optional[float], model: Optional[str], force: bool,
        quiet: int, verbose: int) -> None:
    """Copy the packets that hold a stretch, without coding them anew: it grows to whole packets (5 s by default).

    \b
    ecdc cut in.ecdc out.ecdc --start 1:02:03 --duration 30
    """
    from ..edit import cut as cut_stream

    def work(job: Job) -> None:
        with open_source(job.source) as file, open_target(job, force) as out:
            found = cut_stream(file, out, start, duration, model)
        report(f"{job.source}: {clock(found.start)} to {clock(found.end)} to {named(job.target)}", quiet)

    run_jobs([Job(source, target)], work, quiet)


@click.command(short_help="Make a whole .ecdc file of what is good in a damaged one.")
@SOURCE
@TARGET
@options.model
@FORCE
@options.verbosity
def repair(source: str, target: str, model: Optional[str], force: bool, quiet: int, verbose: int) -> None:
    """Keep the good packets of a damaged stream, put silence where others are lost, and write its end anew.

    A stream that a crash has cut off ends after its last whole packet.

    \b
    ecdc repair damaged.ecdc whole.ecdc
    """
    from ..repair import repair as repair_stream

    def work(job: Job) -> None:
        with open_source(job.source) as file, open_target(job, force) as out:
            losses = repair_stream(file, out, model)
        report_losses(job.source, losses, quiet)
        report(f"{job.source} to {named(job.target)}: {losses.seconds:.2f} s lost", quiet)

    run_jobs([Job(source, target)], work, quiet)
