"""A packet's payload: its scale, or those of its segments where the model normalises, then the coded codes."""

from __future__ import annotations

import math
from typing import NamedTuple, Optional

import numpy as np

from ..bitstream import Packet
from ..codec.blocks import Block
from ..codec.config import CodecConfig
from ..errors import BitstreamError
from . import plain
from .language_model import LanguageModel
from .model_coder import ModelCoder


# Of a packet's scale, up or down.
MOST_HALVINGS = 32


class Payload(NamedTuple):
    """`plain`: packed plainly, though the stream has a language model; `scaled`: with a scale of its own."""

    data: bytes
    plain: bool
    scaled: bool


class PayloadCoder:
    """Blocks of packets <-> payloads, in the order of the stream; one direction per object."""

    def __init__(self, config: CodecConfig, n_codebooks: int, language_model: Optional[LanguageModel]):
        self.config, self.n_codebooks = config, n_codebooks
        self.coder = None if language_model is None else ModelCoder(language_model, n_codebooks)

    def encode(self, blocks: list[Block], key: bool) -> Payload:
        """`blocks`: those of one packet. Whichever coder needs fewer bytes is taken."""
        scales = b"".join(self._packed_scale(block.scale) for block in blocks if block.scale is not None)
        scaled = bool(scales) and not self.config.normalize
        codes = np.concatenate([block.codes for block in blocks], axis=1)
        size = plain.packed_size(*codes.shape, self.config.bits_per_code)
        if self.coder is not None:
            coded = self.coder.encode(codes, key)
            if len(coded) < size:
                return Payload(scales + coded, False, scaled)
        return Payload(scales + plain.pack(codes, self.config.bits_per_code), self.coder is not None, scaled)

    def decode(self, packets: list[Packet]) -> list[list[Block]]:
        """The blocks of each packet: its segments, or for a model without segments a single one.

        Packets that do not depend on each other are decoded together.
        """
        scales, coded = zip(*(self._split(packet) for packet in packets))
        codes: list[Optional[np.ndarray]] = [None] * len(packets)
        together: list[int] = []
        for index, packet in enumerate(packets):
            if self._is_plain(packet):
                codes[index] = plain.unpack(coded[index], self.n_codebooks, packet.frames, self.config.bits_per_code)
            elif packet.key:
                together.append(index)
                continue
            self._decode_together(together, packets, coded, codes)
            if codes[index] is None:
                codes[index] = self.coder.decode(coded[index], packet.frames)
            elif self.coder is not None:
                self.coder.follow(codes[index], packet.key)
        self._decode_together(together, packets, coded, codes)
        return [[Block(block, scale) for block, scale in zip(np.split(part, len(own), axis=1), own)]
                for part, own in zip(codes, scales)]

    def _is_plain(self, packet: Packet) -> bool:
        return packet.plain or self.coder is None

    def _decode_together(self, indices: list[int], packets: list[Packet], coded: tuple[bytes, ...],
                         codes: list[Optional[np.ndarray]]) -> None:
        if indices:
            parts = self.coder.decode_batch([coded[index] for index in indices],
                                            [packets[index].frames for index in indices])
            for index, part in zip(indices, parts):
                codes[index] = part
            indices.clear()

    def _split(self, packet: Packet) -> tuple[list[Optional[float]], bytes]:
        """The scale of each segment, and the coded codes."""
        segments = 1
        if self.config.segment is not None and packet.frames > self.config.block_frames:
            segments, rest = divmod(packet.frames, self.config.block_frames)
            if rest:
                raise BitstreamError(f"damaged: {packet.frames} frames are no whole number of segments")
        if packet.scaled:
            return [self._own_scale(packet)], packet.payload[1:]
        if not self.config.normalize:
            return [None] * segments, packet.payload
        if len(packet.payload) < 4 * segments:
            raise BitstreamError("damaged: it is too short for its scales")
        scales = np.frombuffer(packet.payload[:4 * segments], "<f4").tolist()
        if not all(np.isfinite(scales)):
            raise BitstreamError("damaged: a scale is not a number")
        return scales, packet.payload[4 * segments:]

    def _packed_scale(self, scale: float) -> bytes:
        if self.config.normalize:
            return np.array(scale, "<f4").tobytes()
        # frexp's mantissa of a power of two is 1/2.
        return (math.frexp(scale)[1] - 1).to_bytes(1, "little", signed=True)

    def _own_scale(self, packet: Packet) -> float:
        if self.config.segment is not None:
            raise BitstreamError("damaged: it has a scale that its model knows nothing of")
        exponent = int.from_bytes(packet.payload[:1], "little", signed=True)
        if not 1 <= abs(exponent) <= MOST_HALVINGS:
            raise BitstreamError("damaged: its scale is impossible")
        return 2.0 ** exponent
