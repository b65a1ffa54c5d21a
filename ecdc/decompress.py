"""Decompression: bytes -> packets -> payloads -> codes -> samples, block by block."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Iterator, Optional, Union

import numpy as np

from .audio.convert import Resampler, converted_length, map_channels
from .bitstream import End, Header, Lost, Packet, RecoveringParser, Section, StreamParser, Tags, pieces
from .conceal import Concealer, Losses
from .entropy.payload import PayloadCoder
from .entropy.version0 import Version0CodedReader
from .errors import BitstreamError
from .models import float_language_model, language_model_for_stream, model_for_stream
from .seek import find_places, peek_header
from .stretch import Cutter, Stretch

# What rounding in the resamplers of both sides can cost at the very end, in samples.
TOLERANCE = 4
# Packets that are decoded together, if that many are at hand. 20 would be a tenth faster, but take more memory
# for ten hours than for a minute, which has just these.
BATCH = 12


class Decompressor:
    """Push the bytes of an `.ecdc` stream, get samples; any sizes pushed give the same samples.

    Args:
        model: name or folder of the model, if it is not one that the stream's name finds.
        native: give the model's own rate and channels instead of the source's.
        samplerate, channels: give these instead.
        stretch: give only this part. Of what lies before, only the last seconds are decoded,
            whose trace in the decoder's state can be heard.
        recover: go on after damage; what is lost is concealed and reported in `lost`.

    `header`, `samplerate`, `channels` and `samples` (per channel; None for a streaming
    header) are known, that is not None, once the first block has come; `peak` is the
    largest amplitude given so far.
    """

    def __init__(self, model: Union[str, Path, None] = None, *, native: bool = False,
                 samplerate: Optional[int] = None, channels: Optional[int] = None, stretch: Stretch = Stretch(),
                 recover: bool = False):
        self.model, self.native = model, native
        self.samplerate, self.channels = samplerate, channels
        self.recover, self.lost = recover, Losses()
        self.parser = RecoveringParser() if recover else StreamParser(self._version0_codes)
        self.codec = None
        self.samples: Optional[int] = None
        self.written = 0
        self.peak = 0.0
        self.tags: dict[str, str] = {}
        self.stretch = stretch
        self._cutter: Optional[Cutter] = None
        self._begun = False
        self._waiting: list[Packet] = []
        self._held: Optional[list[np.ndarray]] = None
        self._coder: Optional[PayloadCoder] = None

    @property
    def header(self) -> Optional[Header]:
        return self.parser.header

    def push(self, data: bytes) -> Iterator[np.ndarray]:
        """Blocks `[C, T]` float32 that are complete with `data`; use the iterator up before the next push."""
        yield from self._decoded(self.parser.push(data))

    def finish(self) -> Iterator[np.ndarray]:
        """Say that no more bytes come: blocks that damage has held back; BitstreamError as `close` has it."""
        if not self.recover:
            self.close()
            return
        yield from self._decoded(self.parser.close())
        if self.parser.packets == 0:
            raise BitstreamError("damaged: no packet of it is good")
        if not self.parser.ended:
            rest = self._rest()
            # Beyond what the header promises there is padding only.
            yield from self._finish(rest if self.samples is None else
                                    rest[:, :max(0, self.samples - self._cutter.position)])
            self.lost.cut_off = self._cutter.position / self.samplerate

    def _decoded(self, sections: Iterator[Union[Section, Lost]]) -> Iterator[np.ndarray]:
        try:
            for section in sections:
                self._prepare()
                if isinstance(section, Packet):
                    self._waiting.append(section)
                    if len(self._waiting) == BATCH:
                        yield from self._packets()
                elif isinstance(section, Lost):
                    yield from self._packets()
                    yield from self._conceal(section)
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

    @property
    def expected(self) -> Optional[int]:
        """Samples per channel that will be given in all, None if that is unknown."""
        first, end = self._cutter.first, self._cutter.end
        if self.samples is None:
            return None
        return max(0, min(self.samples, self.samples if end is None else end) - first)

    @property
    def done(self) -> bool:
        """Whether all of the stretch has been given."""
        return self._cutter is not None and self._cutter.done

    def seek(self, file: BinaryIO) -> None:
        """Before the first push: move the file to the last key packet that the stretch needs, if it can seek."""
        if self.stretch.start <= 0 or (peeked := peek_header(file)) is None:
            return
        start, (header, size) = file.tell(), peeked
        list(self.push(file.read(size)))
        self._prepare()
        places = find_places(file, start, header, size, self._cutter.first_frame)
        if len(places) > 1:
            # The tags stand before the first packet.
            list(self.push(file.read(places[0].offset - size)))
            self.parser.jump(places[-1].frame)
            file.seek(start + places[-1].offset)

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
        self._coder = PayloadCoder(self.codec.config, header.n_codebooks, lm, header.envelope_frames, header.prompt)
        self._decoder = Concealer(self.codec, header.envelope_frames, header.prompt)
        self._mapped = min(header.channels, self.channels)
        self._resampler = Resampler(header.sample_rate, self.samplerate, self._mapped)
        self._cutter = Cutter(self.stretch, self.codec.config, self.samplerate, header.envelope_frames)

    def _version0_codes(self, header: Header) -> Version0CodedReader:
        self.codec = model_for_stream(header, self.model)
        return Version0CodedReader(float_language_model(self.codec), header.n_codebooks, header.bits_per_code)

    def _packets(self) -> Iterator[np.ndarray]:
        """Decode the packets at hand, together where they are independent."""
        packets = self._ready()
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
                    yield from self._give(wave)

    def _ready(self) -> list[Packet]:
        """The packets to decode now; before the stretch begins, those that it does not need are forgotten."""
        packets = self._waiting
        if not self._begun and packets:
            needed = self._cutter.first_frame
            keys = [index for index, packet in enumerate(packets) if packet.key and packet.position <= needed]
            # There is none behind a loss, where plainly packed ones go on without.
            packets = packets[keys[-1]:] if keys else packets
            last = packets[-1]
            if last.position + last.frames <= needed and not last.last:
                self._waiting = packets
                return []
            self._begun = True
            self._cutter.begin(packets[0].position)
        self._waiting = []
        return packets

    def _give(self, wave: np.ndarray) -> Iterator[np.ndarray]:
        block = self._resampler.push(map_channels(self._cutter.aligned(wave), self._mapped))
        if self._held is not None:
            self._held.append(block)
        else:
            yield from self._finish(block)

    def _finish(self, block: np.ndarray) -> Iterator[np.ndarray]:
        block = self._cutter.cut(block)
        if block.shape[1]:
            self.written += block.shape[1]
            self.peak = max(self.peak, float(np.abs(block).max()))
            yield map_channels(block, self.channels)

    def _end(self, end: End) -> Iterator[np.ndarray]:
        self.samples = converted_length(end.samples, self.header.source_rate, self.samplerate)
        rest = self._rest()
        missing = self.samples - self._cutter.position
        extra = self.codec.config.hop_length * self.samplerate // self.header.sample_rate + TOLERANCE
        if self.recover:
            if missing - rest.shape[1] > TOLERANCE:
                self.lost.add((self._cutter.position + rest.shape[1]) / self.samplerate,
                              (missing - rest.shape[1]) / self.samplerate)
        elif not -TOLERANCE <= rest.shape[1] - missing <= extra or missing < 0:
            raise BitstreamError(f"its packets hold {self._cutter.position + rest.shape[1]} samples "
                                 f"where its end promises {self.samples}")
        missing = max(0, missing)
        rest = np.pad(rest, ((0, 0), (0, max(0, missing - rest.shape[1]))))[:, :missing]
        yield from self._finish(rest)

    def _rest(self) -> np.ndarray:
        """What decoder and resampler still hold."""
        held = [*(self._held or []), self._resampler.push(map_channels(self._decoder.flush(), self._mapped)),
                self._resampler.flush()]
        return np.concatenate(held, axis=1)

    def _conceal(self, lost: Lost) -> Iterator[np.ndarray]:
        header = self.header
        self._coder.forget()
        if not self._begun:
            if lost.position + lost.frames <= self._cutter.first_frame:
                self._waiting = []
                return
            # The stretch begins in it, and what comes before it may still be heard.
            self._begun = True
            self._cutter.begin(self._waiting[0].position if self._waiting else lost.position)
            yield from self._packets()
        self.lost.add(lost.position * header.hop_length / header.sample_rate,
                      lost.frames * header.hop_length / header.sample_rate)
        for wave in self._decoder.conceal(lost.frames):
            yield from self._give(wave)


def decompress(file: BinaryIO, decompressor: Decompressor) -> Iterator[np.ndarray]:
    """All blocks `[C, T]` of the stream in a file object (which may be a pipe), as they come.

    For a stretch, a file that can seek is not read before what is needed, and none behind it.
    """
    if not decompressor.recover:
        decompressor.seek(file)
    for data in pieces(file):
        for block in decompressor.push(data):
            yield block
            if decompressor.done:
                return
    yield from decompressor.finish()
