"""A packet's payload: its envelope; its scale, or those of its segments where the model normalises; the coded codes."""

from __future__ import annotations

import math
from typing import NamedTuple, Optional

import numpy as np

from ..bitstream import Packet
from ..bitstream.sections import pack_envelope, split_envelope
from ..codec.blocks import Block
from ..codec.config import CodecConfig
from ..codec.envelope import edges_for
from ..errors import BitstreamError
from . import plain
from .envelope_coder import decode_envelope, encode_envelope
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
    """Blocks of packets <-> payloads, in the order of the stream; one direction per object.

    `envelope_frames`: how many frames a block of the envelope has; 0: packets have none. `prompt`: that of a
    continuing packet goes on from the packet before.
    """

    def __init__(self, config: CodecConfig, n_codebooks: int, language_model: Optional[LanguageModel],
                 envelope_frames: int = 0, prompt: bool = False):
        if envelope_frames and not config.may_have_envelope(envelope_frames):
            raise BitstreamError(f"damaged: it has an envelope, which {config.name} cannot have")
        self.config, self.n_codebooks, self.envelope_frames = config, n_codebooks, envelope_frames
        self.prompt = prompt
        self._last: Optional[np.ndarray] = None
        self._last_lost = False
        self.coder = None if language_model is None else ModelCoder(language_model, n_codebooks)

    def encode(self, blocks: list[Block], key: bool) -> Payload:
        """`blocks`: those of one packet. Whichever coder needs fewer bytes is taken."""
        scales = b"".join(self._packed_scale(block.scale) for block in blocks if block.scale is not None)
        scaled = bool(scales) and not self.config.normalize
        before = self._packed_envelope(blocks, key) + scales
        codes = np.concatenate([block.codes for block in blocks], axis=1)
        size = plain.packed_size(*codes.shape, self.config.bits_per_code)
        if self.coder is not None:
            coded = self.coder.encode(codes, key)
            if len(coded) < size:
                return Payload(before + coded, False, scaled)
        return Payload(before + plain.pack(codes, self.config.bits_per_code), self.coder is not None, scaled)

    def decode(self, packets: list[Packet]) -> list[list[Block]]:
        """The blocks of each packet: its segments, or for a model without segments a single one.

        Packets that do not depend on each other are decoded together.
        """
        envelopes, scales, coded = zip(*(self._split(packet) for packet in packets))
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
        return [[Block(block, scale, envelope=levels)
                 for block, scale, levels in zip(np.split(part, len(own), axis=1), own, envelope)]
                for part, own, envelope in zip(codes, scales, envelopes)]

    def forget(self) -> None:
        """A packet was lost: what goes on from its envelope is not known until the next key packet."""
        self._last_lost = True

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

    def _split(self, packet: Packet) -> tuple[list[Optional[np.ndarray]], list[Optional[float]], bytes]:
        """The envelope and the scale of each segment, and the coded codes."""
        segments = 1
        if self.config.segment is not None and packet.frames > self.config.block_frames:
            segments, rest = divmod(packet.frames, self.config.block_frames)
            if rest:
                raise BitstreamError(f"damaged: {packet.frames} frames are no whole number of segments")
        envelopes, data = self._split_envelope(packet, segments)
        if packet.scaled:
            return envelopes, [self._own_scale(data)], data[1:]
        if not self.config.normalize:
            return envelopes, [None] * segments, data
        if len(data) < 4 * segments:
            raise BitstreamError("damaged: it is too short for its scales")
        scales = np.frombuffer(data[:4 * segments], "<f4").tolist()
        if not all(np.isfinite(scales)):
            raise BitstreamError("damaged: a scale is not a number")
        return envelopes, scales, data[4 * segments:]

    def _packed_envelope(self, blocks: list[Block], key: bool) -> bytes:
        if not self.envelope_frames:
            return b""
        last, self._last = self._known(key), None
        if blocks[0].envelope is None:
            return pack_envelope(None)
        levels = np.concatenate([block.envelope for block in blocks], axis=1)
        self._last = levels[:, -1]
        return pack_envelope(encode_envelope(levels, last))

    def _known(self, key: bool) -> Optional[np.ndarray]:
        """Levels [C, bands] that a packet's envelope goes on from."""
        return self._last if self.prompt and not key else None

    def _split_envelope(self, packet: Packet, segments: int) -> tuple[list[Optional[np.ndarray]], bytes]:
        """The envelope [C, blocks, bands] of each segment, and what follows."""
        if not self.envelope_frames:
            return [None] * segments, packet.payload
        coded, rest = split_envelope(packet.payload)
        last, self._last = self._known(packet.key), None
        self._last_lost = self._last_lost and not packet.key
        if coded is None or self.prompt and self._last_lost:
            return [None] * segments, rest
        blocks = self.config.envelope_blocks(packet.frames // segments, self.envelope_frames)
        bands = len(edges_for(self.config.sample_rate))
        levels = decode_envelope(coded, self.config.channels, segments * blocks, bands, last)
        self._last = levels[:, -1]
        return np.split(levels, segments, axis=1), rest

    def _packed_scale(self, scale: float) -> bytes:
        if self.config.normalize:
            return np.array(scale, "<f4").tobytes()
        # frexp's mantissa of a power of two is 1/2.
        return (math.frexp(scale)[1] - 1).to_bytes(1, "little", signed=True)

    def _own_scale(self, data: bytes) -> float:
        if self.config.segment is not None:
            raise BitstreamError("damaged: it has a scale that its model knows nothing of")
        exponent = int.from_bytes(data[:1], "little", signed=True)
        if not 1 <= abs(exponent) <= MOST_HALVINGS:
            raise BitstreamError("damaged: its scale is impossible")
        return 2.0 ** exponent
