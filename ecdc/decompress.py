"""Decompression: bytes -> packets -> payloads -> codes -> samples, block by block."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Iterator, Optional, Union

import numpy as np

from .audio.convert import Resampler, converted_length, map_channels
from .bitstream import End, Header, Packet, StreamParser, Tags, pieces
from .entropy.payload import PayloadCoder
from .entropy.version0 import Version0CodedReader
from .errors import BitstreamError
from .models import float_language_model, language_model_for_stream, model_for_stream

# What rounding in the resamplers of both sides can cost at the very end, in samples.
TOLERANCE = 4
# Packets that are decoded together, if that many are at hand.
BATCH = 64


class Decompressor:
    """Push the bytes of an `.ecdc` stream, get samples; any sizes pushed give the same samples.

    Args:
        model: name or folder of the model, if it is not one that the stream's name finds.
        native: give the model's own rate and channels instead of the source's.
        samplerate, channels: give these instead.

    `header`, `samplerate`, `channels` and `samples` (per channel; None for a streaming
    header) are known, that is not None, once the first block has come; `peak` is the
    largest amplitude given so far.
    """

    def __init__(self, model: Union[str, Path, None] = None, *, native: bool = False,
                 samplerate: Optional[int] = None, channels: Optional[int] = None):
        self.model, self.native = model, native
        self.samplerate, self.channels = samplerate, channels
        self.parser = StreamParser(self._version0_codes)
        self.codec = None
        self.samples: Optional[int] = None
        self.written = 0
        self.peak = 0.0
        self.tags: dict[str, str] = {}
        self._waiting: list[Packet] = []
        self._held: Optional[list[np.ndarray]] = None
        self._coder: Optional[PayloadCoder] = None

    @property
    def header(self) -> Optional[Header]:
        return self.parser.header

    def push(self, data: bytes) -> Iterator[np.ndarray]:
        """Blocks `[C, T]` float32 that are complete with `data`; use the iterator up before the next push."""
        try:
            for section in self.parser.push(data):
                self._prepare()
                if isinstance(section, Packet):
                    self._waiting.append(section)
                    if len(self._waiting) == BATCH:
                        yield from self._packets()
                elif isinstance(section, Tags):
                    self.tags = section.values
                elif isinstance(section, End):
                    yield from self._packets()
                    yield from self._end(section)
        except BitstreamError:
            # What came before the damage is good.
            yield from self._packets()
            raise
        yield from self._packets()

    def close(self) -> None:
        """Say that no more bytes come; BitstreamError if the stream has not ended."""
        self.parser.close()

    def _prepare(self) -> None:
        if self._coder is not None:
            return
        header = self.header
        self.codec = self.codec or model_for_stream(header, self.model)
        self.samplerate = self.samplerate or (header.sample_rate if self.native else header.source_rate)
        self.channels = self.channels or (header.channels if self.native else header.source_channels)
        if header.samples is not None:
            self.samples = converted_length(header.samples, header.source_rate, self.samplerate)
        # The packets of version 0 come plainly packed.
        lm = language_model_for_stream(header, self.codec) if header.version else None
        self._coder = PayloadCoder(self.codec.config, header.n_codebooks, lm)
        self._decoder = self.codec.decoder_stream()
        self._mapped = min(header.channels, self.channels)
        self._resampler = Resampler(header.sample_rate, self.samplerate, self._mapped)

    def _version0_codes(self, header: Header) -> Version0CodedReader:
        self.codec = model_for_stream(header, self.model)
        return Version0CodedReader(float_language_model(self.codec), header.n_codebooks, header.bits_per_code)

    def _packets(self) -> Iterator[np.ndarray]:
        """Decode the packets at hand, together where they are independent."""
        packets, self._waiting = self._waiting, []
        if not packets:
            return
        try:
            decoded = self._coder.decode(packets)
        except BitstreamError as error:
            last = self.parser.packets
            first = last - len(packets) + 1
            where = f"packet {last}" if first == last else f"one of the packets {first} to {last}"
            raise BitstreamError(f"{where}: {error}") from None
        for packet, blocks in zip(packets, decoded):
            # The last packet may hold padding: how much, the end section says.
            if packet.last:
                self._held = []
            for block in blocks:
                for wave in self._decoder.push(block):
                    yield from self._give(wave.numpy())

    def _give(self, wave: np.ndarray) -> Iterator[np.ndarray]:
        block = self._resampler.push(map_channels(wave, self._mapped))
        if self._held is not None:
            self._held.append(block)
        elif block.shape[1]:
            yield self._finish(block)

    def _finish(self, block: np.ndarray) -> np.ndarray:
        self.written += block.shape[1]
        self.peak = max(self.peak, float(np.abs(block).max(initial=0)))
        return map_channels(block, self.channels)

    def _end(self, end: End) -> Iterator[np.ndarray]:
        self.samples = converted_length(end.samples, self.header.source_rate, self.samplerate)
        held = [*(self._held or []), self._resampler.push(map_channels(self._decoder.flush().numpy(), self._mapped)),
                self._resampler.flush()]
        rest = np.concatenate(held, axis=1)
        missing = self.samples - self.written
        extra = self.codec.config.hop_length * self.samplerate // self.header.sample_rate + TOLERANCE
        if not -TOLERANCE <= rest.shape[1] - missing <= extra or missing < 0:
            raise BitstreamError(f"its packets hold {self.written + rest.shape[1]} samples "
                                 f"where its end promises {self.samples}")
        rest = np.pad(rest, ((0, 0), (0, max(0, missing - rest.shape[1]))))[:, :missing]
        if missing:
            yield self._finish(rest)


def decompress(file: BinaryIO, decompressor: Decompressor) -> Iterator[np.ndarray]:
    """All blocks `[C, T]` of the stream in a file object (which may be a pipe), as they come."""
    for data in pieces(file):
        yield from decompressor.push(data)
    decompressor.close()
