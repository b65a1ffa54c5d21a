"""Writes audio block by block to a file or a pipe."""

from __future__ import annotations

from typing import BinaryIO, Mapping, Optional, Union

import numpy as np
import soundfile

from ..errors import AudioError
from .pcm import FORMATS, encode_pcm
from .tags import write_tags
from .wav import wav_header

PCM_BITS = {"16": "s16le", "24": "s24le", "float": "f32le"}
SUBTYPES = {
    "flac": {"16": "PCM_16", "24": "PCM_24"},
    "ogg": {None: "VORBIS"},
    "mp3": {None: "MPEG_LAYER_III"},
}
EXTENSIONS = ("wav", *SUBTYPES)
MOVED_AT_ONCE = 1 << 22


class PcmWriter:
    """WAV, or with `header=False` raw PCM. Of unknown length, the header is completed where the file can seek."""

    def __init__(self, file: BinaryIO, sample_format: str, samplerate: int, channels: int,
                 samples: Optional[int] = None, header: bool = True, tags: Mapping[str, str] = {}):
        self.file, self.sample_format, self.header, self.tags = file, sample_format, header, tags
        self.samplerate, self.channels, self.promised = samplerate, channels, samples
        self.samples = 0
        self.clamps = FORMATS[sample_format].bits != 0
        if header:
            file.write(wav_header(sample_format, samplerate, channels, samples, tags))

    def write(self, block: np.ndarray) -> None:
        self.samples += block.shape[1]
        self.file.write(encode_pcm(block, self.sample_format))

    def close(self) -> None:
        if not self.header:
            return
        if self.samples * self.channels * FORMATS[self.sample_format].size % 2:
            self.file.write(b"\0")
        if self.promised is None and self.file.seekable():
            layout = self.sample_format, self.samplerate, self.channels
            header, before = wav_header(*layout, self.samples, self.tags), len(wav_header(*layout, None, self.tags))
            if len(header) > before:
                # Beyond 4 GiB. What cannot be read cannot be moved, and keeps the header of unknown length.
                if not self.file.readable():
                    return
                _move(self.file, before, len(header) - before)
            self.file.seek(0)
            self.file.write(header)
            self.file.seek(0, 2)


def _move(file: BinaryIO, start: int, distance: int) -> None:
    """Move all from `start` on towards the end, the last first."""
    end = file.seek(0, 2)
    while end > start:
        first = max(start, end - MOVED_AT_ONCE)
        file.seek(first)
        block = file.read(end - first)
        file.seek(first + distance)
        file.write(block)
        end = first


class SoundfileWriter:
    """FLAC, Ogg Vorbis and MP3 through libsndfile; the file must seek."""

    clamps = True

    def __init__(self, file: BinaryIO, extension: str, subtype: str, samplerate: int, channels: int,
                 tags: Mapping[str, str]):
        try:
            self.out = soundfile.SoundFile(file, "w", samplerate, channels, subtype, format=extension.upper())
            write_tags(self.out, tags)
        except soundfile.LibsndfileError as error:
            raise AudioError(f"cannot write {extension} at {samplerate} Hz with {channels} channels: "
                             f"{error.error_string.strip()}") from None

    def write(self, block: np.ndarray) -> None:
        self.out.write(np.clip(block.T, -1, 1))

    def close(self) -> None:
        self.out.close()


def check_output_format(extension: str, bits: Optional[str]) -> None:
    """Raises AudioError if files with this extension cannot be written, or not with these bits."""
    if extension not in EXTENSIONS:
        raise AudioError(f"cannot write .{extension} files: choose one of {', '.join(EXTENSIONS)}")
    possible = PCM_BITS if extension == "wav" else SUBTYPES[extension]
    if bits is not None and bits not in possible:
        choice = [name for name in possible if name]
        raise AudioError(f"--bits {bits} is not possible for {extension}"
                         + (f": choose {' or '.join(choice)}" if choice else ", which has its own"))


def open_writer(file: BinaryIO, extension: str, samplerate: int, channels: int, samples: Optional[int] = None,
                bits: Optional[str] = None, tags: Mapping[str, str] = {}) -> Union[PcmWriter, SoundfileWriter]:
    """A writer of blocks `[C, T]`, full scale 1 (integers are clamped to it).

    Args:
        extension: wav (the only one for a pipe), flac, ogg or mp3.
        samples: per channel, None if unknown.
        bits: "16" (the default), "24" or "float", where the format has a choice.
        tags: title, artist and so on, as far as the format can hold them.
    """
    check_output_format(extension, bits)
    if extension == "wav":
        return PcmWriter(file, PCM_BITS[bits or "16"], samplerate, channels, samples, tags=tags)
    subtypes = SUBTYPES[extension]
    subtype = subtypes[bits or ("16" if "16" in subtypes else None)]
    return SoundfileWriter(file, extension, subtype, samplerate, channels, tags)
