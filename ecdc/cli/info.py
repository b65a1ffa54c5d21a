"""`ecdc info`"""

from __future__ import annotations

import dataclasses
import json

import click

from .jobs import STREAM, open_source, run_jobs
from .progress import clock, size


@click.command(short_help="Show what .ecdc files contain.")
@click.argument("paths", nargs=-1, metavar="[FILE.ecdc]...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each file.")
def info(paths: tuple[str, ...], as_json: bool) -> None:
    """Show model, duration, bit rates, packets, overhead and tags of .ecdc files, checking their checksums.

    \b
    ecdc info in.ecdc
    ecdc info --json *.ecdc
    """
    from ..streaminfo import read_info

    def work(path: str) -> None:
        with open_source(path) as file:
            found = read_info(file)
        if as_json:
            click.echo(json.dumps({"file": path, **dataclasses.asdict(found)}, ensure_ascii=False))
        else:
            click.echo(describe(path, found))

    run_jobs(list(paths or (STREAM,)), work, quiet=0)


def describe(path: str, found) -> str:
    rows = {
        "model": f"{found.model} ({found.fingerprint or 'version 0 names no weights'}), {found.model_samplerate} Hz, "
                 f"{found.model_channels} channel(s)",
        "audio": f"{clock(found.duration)}, {found.samples} samples at {found.samplerate} Hz, "
                 f"{found.channels} channel(s)",
        "rate": f"{found.kbps:.3f} kbps overall, {found.payload_kbps:.3f} kbps payload, "
                f"{found.codebooks} codebooks of {found.bandwidth:g} kbps, entropy coder: {found.entropy}"
                + (f", saves {100 * found.saved:.1f} %" if found.saved else ""),
        "size": f"{size(found.bytes)}, {found.overhead_bytes} bytes of it container "
                f"({100 * found.overhead_bytes / found.bytes:.2f} %)",
        "packets": f"{found.packets} of at most {found.packet_seconds:g} s, {found.key_packets} key packets, "
                   f"{'streaming' if found.streaming else 'chunked'} header" if found.version else
                   "version 0, as the official tool writes it: no checksums",
        **{f"tag {key}": value for key, value in found.tags.items()},
    }
    return "\n".join([path, *(f"  {name:<8} {value}" for name, value in rows.items())])
