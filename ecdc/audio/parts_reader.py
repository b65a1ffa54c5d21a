"""Reads files part by part, each by the library that reads it whole: links of Ogg, joined files, MP3 without counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, cast

import numpy as np
import soundfile

from ..errors import AudioError
from .av_reader import AvReader
from .formats import BLOCK, IGNORE_LENGTH
from .guard import Guard
from .parts import Part
from .tags import cleaned
from .window import Window

# libsndfile gives a huge number where a FLAC stream does not say.
MOST_FRAMES = 2**62


class SoundfileReader:
    """A part that libsndfile reads; `samples` per channel as it says them."""

    def __init__(self, window: Window):
        self._guard = Guard(cast(BinaryIO, window))
        try:
            self.file = soundfile.SoundFile(self._guard)
        except (soundfile.LibsndfileError, TypeError) as error:
            self._guard.check()
            reason = getattr(error, "error_string", "unknown format")
            raise AudioError(f"cannot be read as audio: {reason.strip()}") from None
        self.samplerate, self.channels, self.tags = self.file.samplerate, self.file.channels, self.file.copy_metadata()
        self.samples = self.file.frames if 0 < self.file.frames < MOST_FRAMES else None

    def blocks(self, length: int) -> Iterator[np.ndarray]:
        """Blocks `[C, T]` float32 of at most `length` samples."""
        while True:
            try:
                block = self.file.read(length, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                self._guard.check()
                raise AudioError(f"cannot be read to its end: {error.error_string}") from None
            self._guard.check()
            if not len(block):
                return
            yield np.ascontiguousarray(block.T)

    def close(self) -> None:
        self.file.close()


class PartsReader:
    """All parts of a file one after another, as one recording.

    `samples` per channel in all: None where a part does not know them, or where its length is to be ignored.
    """

    def __init__(self, file: Window, parts: list[Part], ignore_length: bool):
        self.file, self.parts, self.ignore_length = file, parts, ignore_length
        self._first = self._opened(parts[0])
        self.samplerate, self.channels, self.tags = self._first.samplerate, self._first.channels, {}
        self.tags = cleaned(self._first.tags)
        known = [part.samples for part in parts]
        if len(parts) == 1 and known[0] is None:
            known = [self._first.samples]
        self.samples = None if ignore_length or None in known else sum(known)  # type: ignore[arg-type]
        self.late_tags: dict[str, str] = {}

    def _opened(self, part: Part) -> SoundfileReader | AvReader:
        window = Window(self.file, part.start, part.end)
        return AvReader(window, part.format) if part.format else SoundfileReader(window)

    def blocks(self, length: int = BLOCK) -> Iterator[np.ndarray]:
        """Blocks `[C, T]` float32 of at most `length` samples; AudioError, with the time, where a part is not whole."""
        total = 0
        for index, part in enumerate(self.parts):
            reader = self._first if index == 0 else self._opened(part)
            self._check_layout(reader, total)
            expected = part.samples if part.samples is not None else reader.samples
            count = 0
            for block in reader.blocks(length):
                count += block.shape[1]
                yield block
            reader.close()
            total += count
            if self.ignore_length:
                continue
            if part.fault:
                raise AudioError(f"{part.fault} after {total / self.samplerate:.2f} s", IGNORE_LENGTH)
            if expected not in (None, count):
                raise AudioError(
                    f"holds {count} samples, not the {expected} that it promises, up to "
                    f"{total / self.samplerate:.2f} s",
                    IGNORE_LENGTH,
                )

    def _check_layout(self, reader: SoundfileReader | AvReader, total: int) -> None:
        if (reader.samplerate, reader.channels) != (self.samplerate, self.channels):
            raise AudioError(
                f"it changes from {self.samplerate} Hz and {self.channels} channel(s) to {reader.samplerate} Hz and "
                f"{reader.channels} at {total / self.samplerate:.2f} s: split it there"
            )
