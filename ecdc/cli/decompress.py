"""`ecdc decompress`"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from typing import BinaryIO, Optional

import click

from ..errors import EcdcError
from ..stretch import Stretch
from . import options
from .compress import SUFFIX
from .jobs import STREAM, Job, named, open_source, open_target, plan, report, run_jobs
from .options import Duration
from .progress import ProgressBar, clock, size

LOSSLESS = (".wav", ".flac")


def derived_name(path: str) -> str:
    """Without .ecdc; with .wav unless what is left is a lossless audio file's name."""
    stem = path[:-len(SUFFIX)] if path.endswith(SUFFIX) else path
    return stem if stem.lower().endswith(LOSSLESS) and stem != path else stem + ".wav"


@click.command(short_help="Decompress .ecdc files to audio.")
@click.argument("paths", nargs=-1, metavar="[INPUT.ecdc]... [OUTPUT|-]")
@options.model
@options.output
@click.option("--bits", type=click.Choice(["16", "24", "float"]), help="Sample format of wav and flac. [default: 16]")
@click.option("--native", is_flag=True, help="Give the model's own rate and channels, not the source's.")
@click.option("--rescale", is_flag=True, help="If peaks exceed full scale, make the whole quieter; decodes twice.")
@click.option("--start", type=Duration(0), default=0.0, metavar="TIME", help="Where to begin, such as 90 or 1:02:03.5.")
@click.option("--duration", type=Duration(0.001), metavar="TIME", help="How much to decode. [default: to the end]")
@options.raw("output")
@options.verbosity
def decompress(paths: tuple[str, ...], model: Optional[str], output: Optional[str], output_dir: Optional[str],
               force: bool, bits: Optional[str], native: bool, rescale: bool, start: float,
               duration: Optional[float], raw: bool, rate: Optional[int],
               channels: Optional[int], sample_format: Optional[str], quiet: int, verbose: int) -> None:
    """Decompress .ecdc files to wav, flac, ogg or mp3, by the output's extension; pipes carry wav.

    The output has the source's length, rate and channels unless asked otherwise. Its name
    is INPUT without .ecdc unless given.

    \b
    ecdc decompress in.ecdc out.wav
    ecdc decompress - - < in.ecdc | aplay
    ecdc decompress in.ecdc part.flac --start 1:02:03 --duration 10
    ecdc decompress in.ecdc - --raw --rate 48000 --channels 2 > out.pcm
    """
    jobs = plan(paths, output, output_dir, lambda path: not path.endswith(SUFFIX), derived_name)
    if sample_format and not raw:
        raise click.UsageError("--format is for --raw output; use --bits")
    if native and (rate or channels):
        raise click.UsageError("--native excludes --rate and --channels")
    if raw and bits:
        raise click.UsageError("--bits is not for --raw output; use --format")
    if channels and channels > 2:
        raise click.UsageError("--channels must be 1 or 2")

    from ..audio.writer import check_output_format
    for job in [] if raw else jobs:
        options.usage_if_impossible(check_output_format, extension(job), bits)
    settings = Settings(model, native, rate, channels, raw, sample_format or "s16le", bits,
                        Stretch(start, duration), quiet, verbose)

    def work(job: Job) -> None:
        with open_source(job.source) as source:
            gain = 1.0
            if rescale:
                source = _seekable(source)
                gain = 1 / max(1.0, _peak(source, settings))
                source.seek(0)
            with open_target(job, force) as target:
                _decode(job, source, target, settings, gain)

    run_jobs(jobs, work, quiet)


@dataclass(frozen=True)
class Settings:
    """The options that decoding and writing depend on."""

    model: Optional[str]
    native: bool
    rate: Optional[int]
    channels: Optional[int]
    raw: bool
    sample_format: str
    bits: Optional[str]
    stretch: Stretch
    quiet: int
    verbose: int

    def decompressor(self):
        from ..decompress import Decompressor
        return Decompressor(self.model, native=self.native, samplerate=self.rate, channels=self.channels,
                            stretch=self.stretch)

    def writer(self, file: BinaryIO, job: Job, decompressor):
        from ..audio.writer import PcmWriter, open_writer
        layout = decompressor.samplerate, decompressor.channels, decompressor.expected
        if self.raw:
            return PcmWriter(file, self.sample_format, *layout, header=False)
        return open_writer(file, extension(job), *layout, self.bits, decompressor.tags)


def extension(job: Job) -> str:
    return "wav" if job.target == STREAM else os.path.splitext(job.target)[1][1:].lower()


def _decode(job: Job, source: BinaryIO, target: BinaryIO, settings: Settings, gain: float) -> None:
    from ..decompress import decompress as decompress_stream
    started = time.perf_counter()
    decompressor, writer = settings.decompressor(), None
    with ProgressBar(job.source, None, settings.quiet) as bar:
        for block in decompress_stream(source, decompressor):
            if writer is None:
                writer = settings.writer(target, job, decompressor)
                bar.set_seconds(decompressor.expected and decompressor.expected / decompressor.samplerate)
            writer.write(block * gain if gain != 1 else block)
            target.flush()
            bar.update(block.shape[1] / decompressor.samplerate)
        if decompressor.written == 0 and settings.stretch.start:
            raise EcdcError(f"it ends before {clock(settings.stretch.start)}: there is nothing to decode")
        writer = writer or settings.writer(target, job, decompressor)
        writer.close()
        target.flush()
    _report(job, decompressor, writer, gain, time.perf_counter() - started, settings)


def _report(job: Job, decompressor, writer, gain: float, elapsed: float, settings: Settings) -> None:
    duration = decompressor.written / decompressor.samplerate
    report(f"{job.source}: {size(decompressor.parser.bytes)} to {named(job.target)}: {clock(duration)}, "
           f"{decompressor.samplerate} Hz, {decompressor.channels} channel(s), "
           f"{duration / elapsed:.1f} x real time", settings.quiet)
    peak = decompressor.peak * gain
    if writer.clamps and peak > 1.0001:
        report(f"{job.source}: peaks reach {peak:.3g} of full scale and were clipped: "
               "--rescale makes the whole quieter, --bits float keeps them", settings.quiet)
    elif gain != 1:
        report(f"{job.source}: made quieter by {-20 * math.log10(gain):.2f} dB", settings.quiet)
    if settings.verbose:
        header = decompressor.header
        report(f"  model {header.model} {header.fingerprint.hex()}, {header.n_codebooks} codebooks, "
               f"{decompressor.parser.packets} packets", settings.quiet)


def _peak(source: BinaryIO, settings: Settings) -> float:
    from ..decompress import decompress as decompress_stream
    decompressor = settings.decompressor()
    for _ in decompress_stream(source, decompressor):
        pass
    return decompressor.peak


def _seekable(source: BinaryIO) -> BinaryIO:
    """The source itself, or a copy on disk of what a pipe brings."""
    if source.seekable():
        return source
    copy = tempfile.TemporaryFile()
    shutil.copyfileobj(source, copy)
    copy.seek(0)
    return copy
