"""Streams into streams without decoding audio: fewer codebooks, joined, cut."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import BinaryIO, ContextManager, Iterable, Iterator, NamedTuple, Optional, Union

from .audio.convert import converted_length
from .bitstream import End, Header, Packet, StreamParser, StreamWriter, Tags, pieces
from .codec.config import CodecConfig
from .entropy.payload import PayloadCoder
from .errors import BitstreamError, EcdcError
from .models import language_model_for_stream, model_for_stream


class Sections:
    """A stream's header and tags, and its packets to iterate over; `samples` is known when they are used up.

    Raises BitstreamError where the stream is damaged, EcdcError for version 0.
    """

    def __init__(self, file: BinaryIO):
        self.parser, self.tags, self.samples = StreamParser(), {}, 0
        self._sections = self._parsed(file)
        self._first = next(self._sections, None)
        if self.header is None:
            self.parser.close()
        if self.header.version == 0:
            raise EcdcError("version 0 of the format has no packets: decompress it, and compress it again")

    @property
    def header(self) -> Header:
        return self.parser.header

    def _parsed(self, file: BinaryIO) -> Iterator[Packet]:
        for data in pieces(file):
            for section in self.parser.push(data):
                if isinstance(section, Packet):
                    yield section
                elif isinstance(section, Tags):
                    self.tags = section.values
                elif isinstance(section, End):
                    self.samples = section.samples
        self.parser.close()

    def __iter__(self) -> Iterator[Packet]:
        if self._first is not None:
            yield self._first
        yield from self._sections


def truncate(source: BinaryIO, target: BinaryIO, bandwidth: float, model: Union[str, Path, None] = None) -> None:
    """Lower the bit rate to `bandwidth` kbps: the same bytes as compressing at that rate, for codes of nearest entries.

    Of a residual quantizer's codebooks the first ones are what a lower rate has; only their
    entropy coding is done anew. Raises EcdcError if the stream's rate is lower.
    """
    sections = Sections(source)
    header, codec = sections.header, model_for_stream(sections.header, model)
    codebooks = codec.config.codebooks_for(bandwidth)
    if codebooks > header.n_codebooks:
        raise EcdcError(f"it has {header.n_codebooks * codec.config.kbps_per_codebook:g} kbps: "
                        f"it cannot be raised to {bandwidth:g}")
    lm = language_model_for_stream(header, codec)
    decoder, encoder = (PayloadCoder(codec.config, count, lm, header.envelope_frames)
                        for count in (header.n_codebooks, codebooks))
    writer = StreamWriter(dataclasses.replace(header, n_codebooks=codebooks))
    target.write(writer.start(sections.tags))
    for packet in sections:
        try:
            blocks, = decoder.decode([packet])
        except BitstreamError as error:
            raise BitstreamError(f"packet {sections.parser.packets}: {error}") from None
        payload = encoder.encode([block._replace(codes=block.codes[:codebooks]) for block in blocks], packet.key)
        target.write(writer.packet(payload.data, packet.frames, key=packet.key, last=packet.last,
                                   plain=payload.plain, scaled=payload.scaled))
    target.write(writer.finish(sections.samples))


def join(sources: Iterable[ContextManager[BinaryIO]], target: BinaryIO,
         model: Union[str, Path, None] = None) -> None:
    """Streams of one kind one after another, as they are; the first one's tags.

    Each source is opened when its turn comes. All but the last are lengthened to whole
    frames. Raises EcdcError if two differ in what a header says of models and rates.
    """
    writer: Optional[StreamWriter] = None
    last, samples = None, 0
    for source in sources:
        with source as file:
            sections = Sections(file)
            if writer is None:
                first, config = sections.header, model_for_stream(sections.header, model).config
                writer, length = StreamWriter(dataclasses.replace(first, samples=None)), Length(config, first)
                target.write(writer.start(sections.tags))
            _check_joinable(first, sections.header)
            before = length.samples
            for packet in sections:
                # One is held back: it may be the last.
                if last is not None:
                    target.write(copied(writer, last, last=False))
                last = packet
                length.add(packet)
            samples = before + sections.samples
    if last is None:
        raise EcdcError("there is nothing to join")
    target.write(copied(writer, last, last=True))
    target.write(writer.finish(samples))


def _check_joinable(first: Header, header: Header) -> None:
    for field in dataclasses.fields(Header):
        if field.name != "samples" and getattr(first, field.name) != getattr(header, field.name):
            raise EcdcError(f"its {field.name.replace('_', ' ')} is {_shown(getattr(header, field.name))}, "
                            f"the first file's {_shown(getattr(first, field.name))}: these cannot be joined")


def _shown(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value


class Range(NamedTuple):
    """What was cut out, in seconds of the source."""

    start: float
    end: float


def cut(source: BinaryIO, target: BinaryIO, start: float, duration: Optional[float] = None,
        model: Union[str, Path, None] = None) -> Range:
    """The packets that hold the stretch (in seconds), beginning with a key packet, as they are.

    Raises EcdcError if the stream ends before `start`.
    """
    sections = Sections(source)
    header, config = sections.header, model_for_stream(sections.header, model).config
    rate, length = header.source_rate, Length(config, header)
    first, end = start * rate, float("inf") if duration is None else (start + duration) * rate
    writer: Optional[StreamWriter] = None
    before, until = 0, None
    waiting: list[Packet] = []
    for packet in sections:
        begins = length.samples
        if begins >= end:
            # Read on, though: what follows may be damaged, and the caller should know.
            until = length.end if until is None else until
            continue
        length.add(packet)
        if writer is None and packet.key:
            waiting, before = [], begins
        waiting.append(packet)
        if length.samples <= first:
            continue
        if writer is None:
            writer = StreamWriter(dataclasses.replace(header, samples=None))
            target.write(writer.start(sections.tags))
        # One is held back: it may be the last.
        for each in waiting[:-1]:
            target.write(copied(writer, each, last=False))
        del waiting[:-1]
    until = sections.samples if until is None else until
    if writer is None or until <= first:
        raise EcdcError(f"it ends at {sections.samples / rate:.2f} s, before what is to be cut out")
    target.write(copied(writer, waiting[-1], last=True))
    target.write(writer.finish(until - before))
    return Range(before / rate, until / rate)


def copied(writer: StreamWriter, packet: Packet, last: bool) -> bytes:
    return writer.packet(packet.payload, packet.frames, key=packet.key, last=last, plain=packet.plain,
                         scaled=packet.scaled)


class Length:
    """Counts the samples, at the source's rate, that packets decode to."""

    def __init__(self, config: CodecConfig, header: Header):
        self.config, self.header = config, header
        self.decoded = self.overlap = 0

    def add(self, packet: Packet) -> None:
        config, frames = self.config, packet.frames
        if config.segment is None:
            self.decoded += frames * config.hop_length
            return
        whole = max(0, -(-frames // config.block_frames) - 1)
        last = (frames - whole * config.block_frames) * config.hop_length
        last, self.overlap = min(last, config.segment_stride), max(0, last - config.segment_stride)
        self.decoded += whole * config.segment_stride + last

    @property
    def samples(self) -> int:
        """Where the next packet begins."""
        return self._at_source_rate(self.decoded)

    @property
    def end(self) -> int:
        """The length if no other packet follows: that of the last segment's overlap more."""
        return self._at_source_rate(self.decoded + self.overlap)

    def _at_source_rate(self, samples: int) -> int:
        return converted_length(samples, self.header.sample_rate, self.header.source_rate)
