"""From arguments to jobs (an input and an output each), and running them one after another."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import BinaryIO, Callable, Iterator, NamedTuple, Optional

import click

from ..errors import EcdcError, naming
from ..files import open_output
from .progress import clock

STREAM = "-"


class Job(NamedTuple):
    """Paths, or "-" for standard input and output."""

    source: str
    target: str


def plan(paths: tuple[str, ...], output: Optional[str], output_dir: Optional[str],
         is_target: Callable[[str], bool], derive: Callable[[str], str]) -> list[Job]:
    """Jobs for the paths of a command line: `IN OUT`, `IN`, `IN -o OUT`, or `IN IN IN ...`.

    `is_target` tells an output's name, `derive` makes one from an input's. Nothing at
    all, or "-", is standard input to standard output.
    """
    if output and output_dir:
        raise click.UsageError("-o and --output-dir exclude each other")
    place = output or (paths[1] if len(paths) == 2 and not output_dir else None)
    if place and os.path.isdir(place):
        raise click.UsageError(f"{place} is a folder: to write there, give it as --output-dir")
    if not output and not output_dir and len(paths) == 2 and (paths[1] == STREAM or is_target(paths[1])):
        return [Job(*paths)]
    if output:
        if len(paths) > 1:
            raise click.UsageError("-o takes a single input; use --output-dir for several")
        return [Job(*(paths or (STREAM,)), output)]
    jobs = []
    for source in paths or (STREAM,):
        target = STREAM if source == STREAM else derive(source)
        if output_dir:
            if source == STREAM:
                raise click.UsageError("standard input has no name to make one in --output-dir from: use -o")
            target = os.path.join(output_dir, os.path.basename(target))
        jobs.append(Job(source, target))
    doubles = {job.target for job in jobs if sum(other.target == job.target for other in jobs) > 1}
    if doubles:
        raise click.UsageError(f"several inputs would be written to {doubles.pop()}")
    return jobs


def run_jobs(jobs: list, work: Callable[..., None], quiet: int) -> None:
    """Do `work` for each job; one that fails is reported and the others still done. Exits 1 if any failed."""
    failed = False
    for job in jobs:
        name = job.source if isinstance(job, Job) else job
        try:
            with naming("standard input" if name == STREAM else name):
                work(job)
        except BrokenPipeError:
            end_as_others_do()
        except EcdcError as error:
            failed = True
            report_error(str(error), quiet)
        except OSError as error:
            failed = True
            culprit = error.filename if isinstance(error.filename, str) else \
                " to ".join(job) if isinstance(job, Job) else name
            report_error(f"{culprit}: {error.strerror or error}", quiet)
    if failed:
        sys.exit(1)


@contextlib.contextmanager
def one_line_errors(quiet: int = 0) -> Iterator[None]:
    """For commands that are a single job: what goes wrong is said in one line, and exits 1."""
    try:
        yield
    except BrokenPipeError:
        end_as_others_do()
    except EcdcError as error:
        report_error(str(error), quiet)
        sys.exit(1)
    except OSError as error:
        report_error(f"{error.filename or 'ecdc'}: {error.strerror or error}", quiet)
        sys.exit(1)


def end_as_others_do() -> None:
    """The reader of our output has gone: die of SIGPIPE, where there is one, without a word."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGPIPE)
    os._exit(1)


def report_error(message: str, quiet: int) -> None:
    if quiet < 2:
        click.echo(f"ecdc: {message}", err=True)


def report_losses(name: str, losses, quiet: int) -> None:
    """What was lost of a damaged stream, one line for each stretch."""
    for begin, end in losses.stretches:
        report(f"{name}: lost {clock(begin)} to {clock(end)}", quiet)
    if losses.cut_off is not None:
        report(f"{name}: cut off at {clock(losses.cut_off)}", quiet)


def report(message: str, quiet: int) -> None:
    if quiet < 1:
        click.echo(message, err=True)


@contextlib.contextmanager
def open_source(path: str) -> Iterator[BinaryIO]:
    if path != STREAM:
        with open(path, "rb") as file:
            yield file
        return
    if sys.stdin is None or sys.stdin.isatty():
        raise EcdcError("nothing is piped in: name an input file, or pipe one to this command")
    yield sys.stdin.buffer


@contextlib.contextmanager
def open_target(job: Job, force: bool) -> Iterator[BinaryIO]:
    """The job's output; a file appears only when all went well."""
    if job.target == STREAM:
        if sys.stdout.isatty():
            raise EcdcError("binary data is not written to a terminal: redirect it, or name an output file")
        yield sys.stdout.buffer
        return
    if job.source != STREAM and os.path.exists(job.target) and os.path.exists(job.source) \
            and os.path.samefile(job.source, job.target):
        raise EcdcError("input and output are the same file")
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(open_output(Path(job.target), overwrite=force))
        except EcdcError as error:
            raise EcdcError(f"{job.target} is not written: {error}") from None
        yield file


def named(path: str) -> str:
    """How a report calls a path."""
    return {STREAM: "standard output"}.get(path, path)
