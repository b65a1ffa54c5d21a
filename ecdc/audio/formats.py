"""Which formats there are: of raw PCM, and of files that are written, by their extensions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..errors import AudioError

# Samples that are read at once.
BLOCK = 1 << 16
# What the command line adds where a file is not whole.
IGNORE_LENGTH = " (--ignore-length takes what is there)"


class PcmFormat(NamedTuple):
    """`size`: bytes per sample; `bits` 0 stands for floating point."""

    size: int
    bits: int


FORMATS = {
    "u8": PcmFormat(1, 8),
    "s16le": PcmFormat(2, 16),
    "s24le": PcmFormat(3, 24),
    "s32le": PcmFormat(4, 32),
    "f32le": PcmFormat(4, 0),
    "f64le": PcmFormat(8, 0),
}
DEFAULT_FORMAT = "s16le"
# What a mono model can be given of several channels (`mix.Mixer`).
CHANNELS = ("mix", "left", "right", "max")
# What `--bits` means for WAV, and libsndfile's subtypes for the other files by `--bits`.
PCM_BITS = {"16": "s16le", "24": "s24le", "float": "f32le"}
SUBTYPES: dict[str, Mapping[str | None, str]] = {
    "flac": {"16": "PCM_16", "24": "PCM_24"},
    "ogg": {None: "VORBIS"},
    "mp3": {None: "MPEG_LAYER_III"},
}
EXTENSIONS = ("wav", *SUBTYPES)
LOSSLESS = ("wav", "flac")


def check_output_format(extension: str, bits: str | None) -> None:
    """Raises AudioError if files with this extension cannot be written, or not with these bits."""
    if extension not in EXTENSIONS:
        what = f"{extension} files cannot be written" if extension else "the output's name does not say a format"
        raise AudioError(f"{what}: end it in .{', .'.join(EXTENSIONS)}")
    choices = [name for name in (PCM_BITS if extension == "wav" else SUBTYPES[extension]) if name]
    if bits is not None and bits not in choices:
        raise AudioError(
            f"{bits} is no sample format of {extension}"
            + (f": choose {' or '.join(choices)}" if choices else ", which has its own")
        )
