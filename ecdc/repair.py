"""Makes a whole stream of what is good in a damaged one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import BinaryIO, Iterator, Union

import numpy as np
import torch

from .bitstream import End, Lost, Packet, RecoveringParser, Section, StreamWriter, Tags, pieces
from .codec.blocks import Block
from .codec.codec import Codec
from .conceal import Losses
from .edit import Length, copied
from .entropy.payload import PayloadCoder
from .errors import BitstreamError
from .models import model_for_stream


def repair(source: BinaryIO, target: BinaryIO, model: Union[str, Path, None] = None) -> Losses:
    """Copy the good packets, put silence where others are lost, and write index and end anew.

    A stream that was cut off, by a crash say, ends after its last good packet. Returns what
    was lost. Raises BitstreamError if the header is damaged, or nothing is good.
    """
    parser, losses = RecoveringParser(), Losses()
    writer, waiting, tags, samples = None, None, {}, None
    for section in _sections(parser, source):
        if isinstance(section, Tags):
            tags = section.values
        elif isinstance(section, End):
            samples = section.samples
        if not isinstance(section, (Packet, Lost)):
            continue
        if writer is None:
            header, codec = parser.header, model_for_stream(parser.header, model)
            writer, length = StreamWriter(dataclasses.replace(header, samples=None)), Length(codec.config, header)
            silence = Silence(codec, header.n_codebooks, header.packet_frames)
            target.write(writer.start(tags))
        if isinstance(section, Lost):
            losses.add(length.samples / header.source_rate,
                       section.frames * header.hop_length / header.sample_rate)
        for packet in [section] if isinstance(section, Packet) else silence.packets(section.frames, header.entropy > 0):
            if waiting is not None:
                target.write(copied(writer, waiting, last=False))
            waiting = packet
            length.add(packet)
    if waiting is None:
        raise BitstreamError("damaged: no packet of it is good")
    target.write(copied(writer, waiting, last=True))
    if samples is None or not length.samples - header.source_rate <= samples <= length.end:
        samples = length.end if header.samples is None else min(length.end, header.samples)
        losses.cut_off = samples / header.source_rate
    target.write(writer.finish(samples))
    return losses


def _sections(parser: RecoveringParser, source: BinaryIO) -> Iterator[Union[Section, Lost]]:
    for data in pieces(source):
        yield from parser.push(data)
    yield from parser.close()


class Silence:
    """Packets of silence: its codes, packed plainly, so that nothing depends on what is lost."""

    def __init__(self, codec: Codec, n_codebooks: int, packet_frames: int):
        self.config, self.packet_frames = codec.config, packet_frames
        seconds = torch.zeros(1, codec.config.channels, codec.config.block_frames * codec.config.hop_length)
        encoded = codec.encode_segment(seconds, n_codebooks)
        self.codes = encoded.codes[0].numpy().astype(np.int32)
        self.scale = None if encoded.scale is None else float(encoded.scale[0])
        self.coder = PayloadCoder(codec.config, n_codebooks, None)

    def packets(self, frames: int, plain: bool) -> Iterator[Packet]:
        """`plain`: the stream has another entropy coder. Of segments whole ones, at least as long."""
        if self.config.segment is not None:
            for _ in range(-(-frames // self.config.block_frames)):
                yield self._packet(self.codes, plain)
            return
        # The codes of silence that has lasted for a while.
        while frames:
            count = min(frames, self.packet_frames)
            yield self._packet(np.repeat(self.codes[:, -1:], count, axis=1), plain)
            frames -= count

    def _packet(self, codes: np.ndarray, plain: bool) -> Packet:
        payload = self.coder.encode([Block(codes, self.scale)], key=True)
        return Packet(payload.data, codes.shape[1], 0, key=True, plain=plain)
