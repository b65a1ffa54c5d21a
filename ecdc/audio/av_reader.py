"""A part of a file read by FFmpeg (PyAV): what libsndfile does not read whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..errors import AudioError
from .window import Window

# FFmpeg's names of tags, where they are not ours.
NAMES = {"track": "tracknumber"}


# Frames of MP3 that are silent in a row: the first ones of a recording may need others that were cut away.
MOST_LOST = 2


class AvReader:
    """`samples` per channel are not known beforehand. Raises AudioError if FFmpeg cannot open it."""

    samples: int | None = None

    def __init__(self, window: Window, form: str):
        import av

        self._failure = av.FFmpegError
        try:
            self.container: Any = av.open(window, format=form or None, metadata_errors="replace")
            self.stream = self.container.streams.audio[0]
            # The same samples as floats, channel by channel.
            self._converter = av.AudioResampler(format="fltp")
        except (av.FFmpegError, IndexError) as error:
            raise AudioError(f"cannot be read as audio: {error}") from None
        self.samplerate, self.channels = self.stream.rate, self.stream.channels

    @property
    def tags(self) -> Mapping[str, str]:
        found = {**self.stream.metadata, **self.container.metadata}
        return {NAMES.get(key.lower(), key.lower()): value for key, value in found.items()}

    def blocks(self, length: int) -> Iterator[np.ndarray]:
        """Blocks `[C, T]` float32 of at most `length` samples."""
        for wave in self._decoded():
            for first in range(0, wave.shape[1], length):
                yield wave[:, first : first + length]

    def _decoded(self) -> Iterator[np.ndarray]:
        given, lost = 0, 0
        for packet in self.container.demux(self.stream):
            try:
                frames = packet.decode()
                lost = 0
            except self._failure as error:
                lost += 1
                if lost > MOST_LOST or not packet.duration:
                    where = f"{given / self.samplerate:.2f} s"
                    raise AudioError(f"cannot be read beyond {where}: {error.strerror}") from None
                silence = round(packet.duration * packet.time_base * self.samplerate)
                yield np.zeros((self.channels, silence), np.float32)
                given += silence
                continue
            for frame in [*frames, *([None] if packet.dts is None and not packet.size else [])]:
                for part in self._converter.resample(frame):
                    given += part.samples
                    yield part.to_ndarray()

    def close(self) -> None:
        self.container.close()
