"""Opens audio from a path, a file object or a pipe and reads it block by block."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import BinaryIO, Iterator, Mapping, NamedTuple, Optional, Union

import numpy as np
import soundfile

from ..errors import AudioError
from .pcm import FORMATS, decode_pcm
from .tags import cleaned
from .wav import is_wav, read_exactly, read_wav_header

BLOCK = 1 << 16


class RawFormat(NamedTuple):
    """Headerless PCM: a key of `pcm.FORMATS`, Hz, channels."""

    sample_format: str
    samplerate: int
    channels: int


class PcmReader:
    """Samples straight from a stream that need not seek. `samples` per channel: None if unknown beforehand."""

    def __init__(self, file: BinaryIO, layout: RawFormat, samples: Optional[int], tags: Mapping[str, str] = {}):
        self.file, self.sample_format, self.samples, self.tags = file, layout.sample_format, samples, dict(tags)
        self.samplerate, self.channels = layout.samplerate, layout.channels

    def blocks(self, length: int = BLOCK) -> Iterator[np.ndarray]:
        """Blocks `[C, length]` float32, the last one shorter; each is there as soon as its samples are."""
        frame_size = FORMATS[self.sample_format].size * self.channels
        missing = self.samples
        while missing is None or missing > 0:
            data = read_exactly(self.file, frame_size * min(length, missing or length))
            if not data:
                break
            block = decode_pcm(data, self.sample_format, self.channels)
            if missing is not None:
                missing -= block.shape[1]
            yield block
        if missing:
            raise AudioError(f"cut off: {missing} of {self.samples} samples that its header promises are missing "
                             "(--ignore-length takes what is there)")


class SoundfileReader:
    """Any file that libsndfile reads."""

    def __init__(self, file: soundfile.SoundFile, ignore_length: bool):
        self.file = file
        self.samplerate, self.channels, self.tags = file.samplerate, file.channels, cleaned(file.copy_metadata())
        # libsndfile gives a huge number where a FLAC stream does not say.
        self.samples = file.frames if not ignore_length and 0 < file.frames < 2 ** 62 else None

    def blocks(self, length: int = BLOCK) -> Iterator[np.ndarray]:
        """As those of PcmReader."""
        count = 0
        while True:
            try:
                block = self.file.read(length, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                raise AudioError(f"cannot be read to its end: {error.error_string}") from None
            if not len(block):
                break
            count += len(block)
            yield np.ascontiguousarray(block.T)
        if self.samples not in (None, count):
            raise AudioError(f"holds {count} samples, not the {self.samples} that it promises "
                             "(--ignore-length takes what is there)")


AudioReader = Union[PcmReader, SoundfileReader]


class _Recorder:
    """Keeps what is read from a pipe, for a second look."""

    def __init__(self, file: BinaryIO):
        self.file, self.seen = file, b""

    def read(self, count: int) -> bytes:
        data = self.file.read(count)
        self.seen += data
        return data


@contextlib.contextmanager
def open_audio(source: Union[str, Path, BinaryIO], raw: Optional[RawFormat] = None,
               ignore_length: bool = False) -> Iterator[AudioReader]:
    """Open audio for reading; a pipe and a file of the same bytes give the same blocks.

    Args:
        source: a path, or a binary file object (which may be a pipe).
        raw: the layout of headerless PCM.
        ignore_length: read to the end, whatever a header says.
    """
    with contextlib.ExitStack() as stack:
        if isinstance(source, (str, Path)):
            source = stack.enter_context(open(source, "rb"))
        if raw is not None:
            yield PcmReader(source, raw, None)
            return
        recorder = _Recorder(source)
        start = read_exactly(recorder, 12)
        if not start:
            raise AudioError("the file is empty")
        wav = read_wav_header(recorder) if is_wav(start) else None
        if wav is not None:
            known = wav.data_bytes is not None and not ignore_length
            layout = RawFormat(wav.sample_format, wav.samplerate, wav.channels)
            frame_size = FORMATS[wav.sample_format].size * wav.channels
            yield PcmReader(source, layout, wav.data_bytes // frame_size if known else None, wav.tags)
            return
        yield SoundfileReader(stack.enter_context(_open_soundfile(source, recorder.seen, stack)), ignore_length)


def _open_soundfile(source: BinaryIO, seen: bytes, stack: contextlib.ExitStack) -> soundfile.SoundFile:
    if source.seekable():
        source.seek(-len(seen), 1)
    else:
        # libsndfile must seek in most formats: what a pipe brings is put aside on disk first.
        spool = stack.enter_context(tempfile.TemporaryFile())
        spool.write(seen)
        shutil.copyfileobj(source, spool)
        spool.seek(0)
        source = spool
    try:
        return soundfile.SoundFile(source)
    except (soundfile.LibsndfileError, TypeError) as error:
        reason = getattr(error, "error_string", "unknown format")
        raise AudioError(f"cannot be read as audio: {reason.strip()}") from None
