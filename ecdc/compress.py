"""Compression: samples -> codes -> payloads -> packets -> bytes, block by block."""

from __future__ import annotations

from collections import deque
from typing import BinaryIO, Callable, Mapping, Optional

import numpy as np
import torch

from .audio.convert import Resampler, check_channels, converted_length, map_channels
from .audio.reader import BLOCK, AudioReader
from .bitstream import LAYOUTS, Header, StreamWriter, Version0Writer
from .codec.blocks import Block, joined
from .codec.codec import Codec
from .codec.config import CodecConfig
from .codec.envelope import Meter
from .codec.level import Levelled, Leveller
from .entropy import LANGUAGE_MODEL, PLAIN
from .entropy.language_model import LanguageModel
from .entropy.payload import PayloadCoder
from .errors import AudioError, ModelError
from .models import language_model
from .search import Search

# A language model is trained on 5 s: beyond, it predicts worse (0.9 % more bits for packets of 10 s).
PACKET_SECONDS = 5.0
LIVE_PACKET_SECONDS = 0.1
# In shorter packets an envelope takes several times the bits, as each begins anew.
ENVELOPE_SECONDS = 1.0
# Full scale is 1; nothing that is meant as audio comes near this.
MAX_AMPLITUDE = 100.0


class Compressor:
    """Push samples, get the bytes of an `.ecdc` stream; any sizes pushed give the same bytes.

    Args:
        codec: the model to encode with.
        samplerate, channels: of the samples that will be pushed.
        bandwidth: kbps; must be possible with the model.
        samples: per channel, if known beforehand; it goes into the header.
        tags: to store in the stream.
        lm: use the model's language model, if it has one, for fewer bits.
        packet_seconds: length of a packet; by default 5, or 0.1 for a live stream.
        downmix: average more than two channels to mono instead of refusing them.
        live: let packets continue the context of those before, so that small ones cost few
            bits; a key packet still comes about every 5 seconds.
        best: search longer for the codes that give the most for their bits (`Search`), also without a language
            model and in a live stream, which otherwise take the nearest entries.
        version: of the format; 0 is the official tool's, for its models, without language model.

    `samples` counts what was pushed, `peak` is its largest amplitude.
    """

    def __init__(self, codec: Codec, samplerate: int, channels: int, bandwidth: float = 6.0, *,
                 samples: Optional[int] = None, tags: Optional[Mapping[str, str]] = None,
                 lm: bool = True, packet_seconds: Optional[float] = None, downmix: bool = False, live: bool = False,
                 best: bool = False, version: int = 1):
        check_channels(channels, downmix)
        config = codec.config
        self.codec, self.samplerate, self.channels = codec, samplerate, channels
        self.tags = tags or {}
        self.samples, self.peak = 0, 0.0
        model = language_model(codec) if lm and version else None
        packet_frames = self._packet_frames(model, packet_seconds or (LIVE_PACKET_SECONDS if live else PACKET_SECONDS)) \
            if version else version0_packet_frames(config.name)
        self.header = Header(
            version=version, model=config.name, fingerprint=codec.fingerprint if version else b"",
            sample_rate=config.sample_rate, channels=config.channels, hop_length=config.hop_length,
            bits_per_code=config.bits_per_code, n_codebooks=config.codebooks_for(bandwidth),
            packet_frames=packet_frames, envelope_frames=envelope_frames(config, packet_frames, live) if version else 0,
            source_rate=samplerate, source_channels=channels if channels <= 2 else 1, samples=samples,
            entropy=LANGUAGE_MODEL if model else PLAIN, entropy_fingerprint=model.fingerprint if model else b"")
        # A language model looks back no further than to the last key packet.
        most = min(round(PACKET_SECONDS * config.frame_rate), model.max_frames if model else 1 << 30)
        self.packets_per_key = max(1, most // self.header.packet_frames) if live else 1
        self.coder = PayloadCoder(config, self.header.n_codebooks, model, self.header.envelope_frames)
        # Without a language model there is little to gain, and a live stream's encoder must keep up with it.
        self.search = Search(codec.quantizer, self.header.n_codebooks, self.coder.coder, best) \
            if best or (model and not live) else None
        self.writer = StreamWriter(self.header) if version else Version0Writer(
            config.name, self.header.n_codebooks,
            None if samples is None else converted_length(samples, samplerate, config.sample_rate))
        self.encoder = codec.encoder_stream(self.header.n_codebooks, self.header.packet_frames)
        self.mapped = min(channels, config.channels) if channels <= 2 else 1
        self.resampler = Resampler(samplerate, config.sample_rate, self.mapped)
        self.encoded_samples = 0
        self.blocks: list[Block] = []
        self.leveller = Leveller(codec.config, self.header.packet_frames) if config.target_peak and version else None
        self.meter = Meter(config, self.header.envelope_frames) if self.header.envelope_frames else None
        # Of the packets whose samples the encoder has had.
        self.scales: deque[Optional[float]] = deque()

    def _packet_frames(self, model: Optional[LanguageModel], seconds: float) -> int:
        config = self.codec.config
        frames = max(1, round(seconds * config.frame_rate))
        if model is not None:
            frames = min(frames, model.max_frames)
        if config.segment is not None:
            frames = max(1, frames // config.block_frames) * config.block_frames
        return frames

    def push(self, block: np.ndarray) -> bytes:
        """Compress `block` [C, T], float32, full scale 1."""
        if block.ndim != 2 or block.shape[0] != self.channels:
            raise AudioError(f"a block must have shape [{self.channels}, T], not {list(block.shape)}")
        self._check(block)
        start = self.writer.start(self.tags) if self.writer.offset == 0 else b""
        self.samples += block.shape[1]
        return start + self._encode(self.resampler.push(map_channels(block, self.mapped)))

    def flush(self) -> bytes:
        """The end of the stream."""
        if self.samples == 0:
            raise AudioError("it holds no samples: there is nothing to compress")
        rest = self.resampler.flush()
        missing = converted_length(self.samples, self.samplerate, self.codec.config.sample_rate) \
            - self.encoded_samples
        # The resampler may be a sample short of, or beyond, the exact length.
        rest = np.pad(rest, ((0, 0), (0, max(0, missing - rest.shape[1]))))[:, :missing]
        data = self._encode(rest)
        if self.leveller is not None:
            self._levelled(self.leveller.flush())
        self.blocks += self.encoder.flush()
        # Version 0 knows the model's rate only.
        samples = self.samples if self.header.version else self.encoded_samples
        return data + self._packets(last=True) + self.writer.finish(samples)

    def _check(self, block: np.ndarray) -> None:
        peak = float(np.abs(block).max(initial=0))
        if not np.isfinite(peak):
            index = self.samples + int(np.argmin(np.isfinite(block).all(0)))
            raise AudioError(f"sample {index} ({index / self.samplerate:.3f} s) is not a finite number")
        if peak > MAX_AMPLITUDE:
            raise AudioError(f"samples reach {peak:g} where full scale is 1: divide them by their full scale first")
        self.peak = max(self.peak, peak)

    def _encode(self, block: np.ndarray) -> bytes:
        self.encoded_samples += block.shape[1]
        wave = torch.from_numpy(np.ascontiguousarray(map_channels(block, self.codec.config.channels)))
        if self.meter is not None:
            self.meter.push(wave)
        if self.leveller is None:
            self.blocks += self.encoder.push(wave)
        else:
            self._levelled(self.leveller.push(wave))
        return self._packets(last=False)

    def _levelled(self, packets: list[Levelled]) -> None:
        for wave, scale in packets:
            self.scales.append(scale)
            self.blocks += self.encoder.push(wave)

    def _packets(self, last: bool) -> bytes:
        """Packets of all blocks at hand that fill one, and with `last` of the others too."""
        data = b""
        while self.blocks:
            group = self._take_group(last)
            if not group:
                break
            frames = sum(block.codes.shape[1] for block in group)
            key = self.writer.packets % self.packets_per_key == 0
            if self.meter is not None:
                group = [block._replace(envelope=self.meter.levels(self.codec.config.samples_for(block.codes.shape[1])))
                         for block in group]
            if self.search is not None:
                group = self.search(group, key)
            payload = self.coder.encode(group, key)
            data += self.writer.packet(payload.data, frames, key=key, last=last and not self.blocks,
                                       plain=payload.plain, scaled=payload.scaled)
        return data

    def _take_group(self, last: bool) -> list[Block]:
        """The blocks of the next packet, removed; empty if more must come first."""
        config, capacity = self.codec.config, self.header.packet_frames
        if config.segment is not None:
            return self._take_segments(last)
        if sum(block.codes.shape[1] for block in self.blocks) < capacity and not last:
            return []
        group, rest = joined(self.blocks).split(capacity)
        self.blocks = [rest] if rest.codes.shape[1] else []
        return [group._replace(scale=self.scales.popleft())] if self.scales else [group]

    def _take_segments(self, last: bool) -> list[Block]:
        # A shorter segment has a packet of its own: a reader knows whole segments by the number of frames.
        full = self.codec.config.block_frames
        count = self.header.packet_frames // full
        short = next((index for index, block in enumerate(self.blocks) if block.codes.shape[1] < full), None)
        if short is not None and short < count:
            count = max(1, short)
        elif len(self.blocks) < count and not last:
            return []
        group, self.blocks = self.blocks[:count], self.blocks[count:]
        return group


def envelope_frames(config: CodecConfig, packet_frames: int, live: bool) -> int:
    """Frames of a block of the envelope; 0: the stream has none. A live one would be heard half a second later for it."""
    if live or packet_frames < ENVELOPE_SECONDS * config.frame_rate:
        return 0
    return config.envelope_frames or 0


def version0_packet_frames(model: str) -> int:
    if model not in LAYOUTS:
        raise ModelError(f"version 0 of the format is for the official models ({', '.join(LAYOUTS)}), not for {model}")
    return LAYOUTS[model].packet_frames


def compress(reader: AudioReader, file: BinaryIO, compressor: Compressor,
             progress: Callable[[float], None] = lambda seconds: None) -> None:
    """Compress all that `reader` gives into `file`; `progress` hears of the seconds done."""
    # No more at a time than a packet takes: its samples may come in real time.
    seconds = compressor.header.packet_frames / compressor.codec.config.frame_rate
    for block in reader.blocks(max(1, min(BLOCK, int(seconds * reader.samplerate)))):
        file.write(compressor.push(block))
        file.flush()
        progress(block.shape[1] / reader.samplerate)
    file.write(compressor.flush())
    file.flush()
