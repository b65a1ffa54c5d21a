"""What a stream will be, before any sample comes: its header, packets, envelope, key packets and entropy coder."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..audio.convert import check_channels
from ..bitstream import LAYOUTS, Header
from ..bitstream.header import LEAST_RATE, MOST_RATE
from ..codec.config import DEFAULT_BANDWIDTH, CodecConfig
from ..entropy import LANGUAGE_MODEL, PLAIN
from ..errors import AudioError, ModelError

# A language model is trained on 5 s: beyond, it predicts worse (0.9 % more bits for packets of 10 s).
PACKET_SECONDS = 5.0
LIVE_PACKET_SECONDS = 0.1
# In shorter packets an envelope takes several times the bits, as each begins anew, or as blocks are short.
ENVELOPE_SECONDS, LIVE_ENVELOPE_SECONDS = 1.0, 0.08


class Predictor(Protocol):
    """What the plan needs to know of a language model."""

    fingerprint: bytes

    @property
    def max_frames(self) -> int:
        """The most frames from one key packet to the next."""


@dataclass(frozen=True)
class Request:
    """What is asked of a stream: the arguments of `Compressor`, which explains them."""

    samplerate: int
    channels: int
    bandwidth: float = DEFAULT_BANDWIDTH
    samples: int | None = None
    packet_seconds: float | None = None
    downmix: bool = False
    live: bool = False
    best: bool = False
    version: int = 1


@dataclass(frozen=True)
class StreamPlan:
    """The answer to a request.

    `mapped`: channels that are resampled; the codec's own are made of them afterwards. `packets_per_key`: every
    so many packets one is a key packet. `searched`: codes are searched for, instead of the nearest entries;
    `best`: longer. `levelled`: packets are brought to the level that the model is best at.
    """

    header: Header
    mapped: int
    packets_per_key: int
    searched: bool
    best: bool
    levelled: bool


def whole(value: Any, what: str) -> int:
    """A positive whole number of any type, as Python's own, which cannot overflow; AudioError for another."""
    try:
        number = (
            int(value) if isinstance(value, (float, np.floating)) and value == int(value) else operator.index(value)
        )
    except (TypeError, ValueError, OverflowError):
        number = 0
    if number < 1:
        raise AudioError(f"{what} must be a positive whole number, not {value!r}")
    return number


def plan_stream(config: CodecConfig, fingerprint: bytes, model: Predictor | None, request: Request) -> StreamPlan:
    """Plan a stream of the codec with this configuration and fingerprint; `model`: its language model, if it is used.

    Raises AudioError for impossible rates and channels, ModelError for what the codec cannot do.
    """
    check_channels(request.channels, request.downmix)
    if not LEAST_RATE <= request.samplerate <= MOST_RATE:
        raise AudioError(f"a rate of {request.samplerate} Hz: rates from {LEAST_RATE} to {MOST_RATE} Hz are possible")
    frames = packet_frames(config, model, request)
    prompt = request.live and config.segment is None
    envelope = envelope_frames(config, frames, prompt) if request.version else 0
    source_channels = request.channels if request.channels <= 2 else 1
    header = Header(
        version=request.version,
        model=config.name,
        fingerprint=fingerprint if request.version else b"",
        sample_rate=config.sample_rate,
        channels=config.channels,
        hop_length=config.hop_length,
        bits_per_code=config.bits_per_code,
        n_codebooks=config.codebooks_for(request.bandwidth),
        packet_frames=frames,
        envelope_frames=envelope,
        prompt=prompt and envelope > 0,
        source_rate=request.samplerate,
        source_channels=source_channels,
        samples=request.samples,
        entropy=LANGUAGE_MODEL if model else PLAIN,
        entropy_fingerprint=model.fingerprint if model else b"",
    )
    return StreamPlan(
        header=header,
        mapped=min(source_channels, config.channels),
        packets_per_key=packets_per_key(config, frames, model) if request.live else 1,
        # Without a language model there is little to gain, and a live stream's encoder must keep up with it.
        searched=request.best or (model is not None and not request.live),
        best=request.best,
        levelled=config.target_peak is not None and request.version > 0,
    )


def packet_frames(config: CodecConfig, model: Predictor | None, request: Request) -> int:
    """Frames of a full packet: as asked, within what the language model can look back on; whole segments."""
    if request.version == 0:
        return version0_packet_frames(config.name)
    seconds = request.packet_seconds or (LIVE_PACKET_SECONDS if request.live else PACKET_SECONDS)
    frames = max(1, round(seconds * config.frame_rate))
    if model is not None:
        frames = min(frames, model.max_frames)
    if config.segment is not None:
        frames = max(1, frames // config.block_frames) * config.block_frames
    return frames


def envelope_frames(config: CodecConfig, packet_frames: int, prompt: bool) -> int:
    """Frames of a block of the envelope; 0: the stream has none. A prompt one's blocks are no longer than packets."""
    seconds = LIVE_ENVELOPE_SECONDS if prompt else ENVELOPE_SECONDS
    if config.envelope_frames is None or packet_frames < seconds * config.frame_rate:
        return 0
    frames = min(config.envelope_frames, packet_frames) if prompt else config.envelope_frames
    return frames if config.may_have_envelope(frames) else 0


def packets_per_key(config: CodecConfig, packet_frames: int, model: Predictor | None) -> int:
    """Packets from one key packet of a live stream to the next: a language model looks back no further."""
    frames = round(PACKET_SECONDS * config.frame_rate)
    if model is not None:
        frames = min(frames, model.max_frames)
    return max(1, frames // packet_frames)


def version0_packet_frames(model: str) -> int:
    """Frames of the official tool's packets; ModelError for a model that is not the official tool's."""
    if model not in LAYOUTS:
        raise ModelError(f"version 0 of the format is for the official models ({', '.join(LAYOUTS)}), not for {model}")
    return LAYOUTS[model].packet_frames
