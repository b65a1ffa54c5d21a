"""The Python interface, in soundfile's manners: `read`, `write`, `info`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import BinaryIO, Iterator, Mapping, Optional, Union

import numpy as np

from .compress import Compressor
from .decompress import Decompressor, decompress
from .errors import AudioError, naming
from .files import open_output
from .streaminfo import StreamInfo, read_info
from .models import load_model
from .stretch import Stretch

Source = Union[str, Path, BinaryIO]
WRITE_BLOCK = 1 << 16


def read(file: Source, frames: int = -1, start: int = 0, *, dtype: str = "float32", always_2d: bool = False,
         model: Union[str, Path, None] = None, native: bool = False) -> tuple[np.ndarray, int]:
    """Decode an `.ecdc` file: `data, samplerate = ecdc.read("in.ecdc")`.

    Args:
        file: a path or a binary file object (which may be a pipe).
        frames: samples per channel to return; -1: all. Fewer come where the audio ends.
        start: samples per channel to leave out at the start; a file that can seek is not decoded up to there.
        dtype: float32 or float64.
        always_2d: return `[T, 1]` instead of `[T]` for one channel.
        model: name or folder of the model, if the stream's own name does not find it.
        native: return the model's own rate and channels instead of the source's.

    Returns:
        data `[T]` or `[T, C]`, full scale 1 (peaks may lie beyond), and the rate in Hz.

    Raises BitstreamError if the stream is damaged, ModelError without its model.
    """
    if start < 0 or frames < -1 or np.dtype(dtype).kind != "f":
        raise AudioError("start must not be negative, frames not below -1, and dtype a float type")
    stretch = Stretch(start, None if frames == -1 else frames, seconds=False)
    decompressor = Decompressor(model, native=native, stretch=stretch)
    with _opened(file) as source:
        parts = [block.astype(dtype) for block in decompress(source, decompressor)]
    data = np.concatenate(parts, axis=1).T if parts else np.zeros((0, decompressor.channels), dtype)
    return (data if always_2d or data.shape[1] > 1 else data[:, 0]), decompressor.samplerate


def write(file: Source, data: np.ndarray, samplerate: int, bandwidth: float = 6.0, *,
          model: Union[str, Path, None] = None, tags: Optional[Mapping[str, str]] = None, lm: bool = True,
          best: bool = False) -> None:
    """Encode samples to an `.ecdc` file: `ecdc.write("out.ecdc", data, 44100, bandwidth=6)`.

    Args:
        file: a path (replaced only when all went well) or a binary file object.
        data: `[T]` or `[T, C]` with one or two channels; floats of full scale 1, or integers of their type's.
        samplerate: of `data`, in Hz.
        bandwidth: kbps.
        model: name or folder; by default the bundled 24 kHz model.
        tags: to store, such as title and artist.
        lm: use the model's language model, if it has one, for fewer bits.
        best: search for the codes that give the most for their bits, which takes longer.

    Raises AudioError if the samples are no audio, ModelError if the model cannot do it.
    """
    data = np.asarray(data)
    block = data[None] if data.ndim == 1 else data.T
    if block.ndim != 2 or block.dtype.kind not in "fi":
        raise AudioError(f"data must be floats or signed integers of shape [T] or [T, C], "
                         f"not {data.dtype} {list(data.shape)}")
    full_scale = 1 if block.dtype.kind == "f" else -float(np.iinfo(block.dtype).min)
    compressor = Compressor(load_model(model), samplerate, block.shape[0], bandwidth, samples=block.shape[1],
                            tags=tags, lm=lm, best=best)
    with _opened(file, write=True) as target:
        for index in range(0, block.shape[1], WRITE_BLOCK):
            part = block[:, index:index + WRITE_BLOCK] / full_scale
            target.write(compressor.push(part.astype(np.float32)))
        target.write(compressor.flush())


def info(file: Source) -> StreamInfo:
    """What an `.ecdc` file says of itself: model, duration, bit rates, packets, tags; nothing is decoded.

    Raises BitstreamError if the stream is damaged.
    """
    with _opened(file) as source:
        return read_info(source)


@contextlib.contextmanager
def _opened(file: Source, write: bool = False) -> Iterator[BinaryIO]:
    """A path's file, opened and named in errors; a file object as it is."""
    if not isinstance(file, (str, Path)):
        yield file
        return
    with naming(file), open_output(file) if write else open(file, "rb") as opened:
        yield opened
