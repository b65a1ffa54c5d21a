"""`ecdc compress`"""

from __future__ import annotations

import time
from typing import Optional

import click

from . import options
from .jobs import Job, named, open_source, open_target, plan, report, run_jobs
from .options import Duration
from .progress import ProgressBar, clock, size

SUFFIX = ".ecdc"


@click.command(short_help="Compress audio to .ecdc files.")
@click.argument("paths", nargs=-1, metavar="[INPUT]... [OUTPUT.ecdc|-]")
@click.option("-b", "--bandwidth", type=float, default=6.0, show_default=True, metavar="KBPS",
              help="1.5, 3, 6, 12 or 24, or any other rate that is a whole number of codebooks.")
@click.option("-r", "--sample-rate", type=click.Choice(["24", "48"]), metavar="24|48",
              help="The model's rate in kHz: 24 is mono speech and music, 48 stereo music. [default: 24]")
@options.model
@options.output
@options.raw("input", "0", "1")
@click.option("--ignore-length", is_flag=True, help="Read the input to its end, whatever its header says.")
@click.option("--no-lm", is_flag=True, help="Pack plainly, without the language model: faster, larger.")
@click.option("--best", is_flag=True, help="Search for the best codes: closer sound in fewer bits; takes longer.")
@click.option("--live", is_flag=True, help="Send small packets as soon as the input has brought enough for one.")
@click.option("--packet", type=Duration(0.02, 10), metavar="TIME",
              help="Length of a packet, such as 20ms or 1s. [default: 5s, with --live 100ms]")
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE",
              help="Tag to store, beside or instead of the input's; KEY= leaves one out. May be given again.")
@click.option("--downmix", is_flag=True, help="Average more than two channels to mono.")
@options.verbosity
def compress(paths: tuple[str, ...], bandwidth: float, sample_rate: Optional[str], model: Optional[str],
             output: Optional[str], output_dir: Optional[str], force: bool, raw: bool, rate: Optional[int],
             channels: Optional[int], sample_format: tuple[str, ...], ignore_length: bool, no_lm: bool, best: bool,
             live: bool, packet: Optional[float], tags: tuple[str, ...], downmix: bool, quiet: int, verbose: int) -> None:
    """Compress audio: any file that libsndfile reads (WAV, FLAC, Ogg, Opus, MP3, AIFF, ...), at any rate.

    The output is INPUT.ecdc unless named. "-" is standard input or output, which are also
    the defaults. Stereo is averaged to mono for a mono model; decompress gives both
    channels back as copies.

    \b
    ecdc compress in.wav out.ecdc -b 6
    ecdc compress *.flac --output-dir compressed
    arecord -f S16_LE -r 44100 | ecdc compress --live - - | ecdc decompress - - | aplay
    """
    jobs = plan(paths, output, output_dir, lambda path: path.endswith(SUFFIX), lambda path: path + SUFFIX)
    version = int(next((value for value in reversed(sample_format) if value in "01"), 1))
    sample_format = [value for value in sample_format if value not in "01"]
    if raw and not (rate and channels):
        raise click.UsageError("--raw needs --rate and --channels")
    if not raw and (rate or channels or sample_format):
        raise click.UsageError("--rate, --channels and --format describe --raw input; other files say it themselves")

    given = dict(options.key_and_value(tag) for tag in tags)

    from ..audio.reader import RawFormat, open_audio
    from ..compress import Compressor
    from ..compress import compress as compress_stream
    from ..models import load_model

    def work(job: Job) -> None:
        codec = load_model(model, int(sample_rate) * 1000 if sample_rate else None)
        layout = RawFormat((sample_format or ["s16le"])[-1], rate, channels) if raw else None
        started = time.perf_counter()
        with open_source(job.source) as source, open_audio(source, layout, ignore_length) as reader:
            kept = {**(reader.tags if version else {}), **given}
            compressor = Compressor(codec, reader.samplerate, reader.channels, bandwidth,
                                    samples=reader.samples, lm=not no_lm, downmix=downmix, version=version, live=live,
                                    best=best, packet_seconds=packet,
                                    tags={key: value for key, value in kept.items() if value})
            seconds = reader.samples / reader.samplerate if reader.samples else None
            with open_target(job, force) as target, ProgressBar(job.source, seconds, quiet) as bar:
                compress_stream(reader, target, compressor, bar.update)
        _report(job, compressor, time.perf_counter() - started, quiet, verbose)

    run_jobs(jobs, work, quiet)


def _report(job: Job, compressor, elapsed: float, quiet: int, verbose: int) -> None:
    duration = compressor.samples / compressor.samplerate
    header, config, written = compressor.header, compressor.codec.config, compressor.writer.offset
    report(f"{job.source}: {clock(duration)} to {named(job.target)}: {size(written)}, "
           f"{written * 8e-3 / duration:.2f} kbps ({header.n_codebooks} codebooks, "
           f"{header.n_codebooks * config.kbps_per_codebook:g} kbps), {duration / elapsed:.1f} x real time", quiet)
    if compressor.peak > 1:
        report(f"{job.source}: peaks reach {compressor.peak:.3g} of full scale: decompress with --rescale or "
               "--bits float, or they will be clipped", quiet)
    if verbose:
        report(f"  model {header.model} {header.fingerprint.hex()}, {config.sample_rate} Hz, {config.channels} "
               f"channel(s), from {compressor.samplerate} Hz, {compressor.channels} channel(s), "
               f"packets of {header.packet_frames} frames", quiet)
