"""The parts of a file that hold audio, and what is known of each before a library reads it."""

from __future__ import annotations

from typing import NamedTuple


class Part(NamedTuple):
    """Bytes `start` to `end` of a file, which a library reads as a file of its own.

    `format` is FFmpeg's name of the format if FFmpeg reads it, empty for libsndfile. `samples` per channel were
    counted in the container; None: as many as the library says. `fault` says what is wrong with the part.
    """

    start: int
    end: int
    format: str = ""
    samples: int | None = None
    fault: str = ""
