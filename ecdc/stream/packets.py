"""Samples at the model's rate -> level -> codes -> search -> payload -> packets."""

from __future__ import annotations

import functools
from collections import deque
from typing import NamedTuple

import numpy as np

from ..bitstream import StreamWriter, Version0Writer
from ..codec.blocks import Block, joined
from ..codec.config import CodecConfig
from ..codec.engine import Engine
from ..codec.envelope import Meter
from ..codec.level import Levelled, Leveller
from ..codec.streaming import encoder_stream
from ..entropy.language_model import LanguageModel
from ..entropy.payload import Payload, PayloadCoder
from ..native.threads import Ordered
from .plan import StreamPlan
from .search import Search


class Coded(NamedTuple):
    """A packet before it is written."""

    payload: Payload
    frames: int
    key: bool
    last: bool


class PacketEncoder:
    """Push samples `[C, T]` that the codec takes, get the bytes of packets; `writer` counts them.

    `threads`: where all packets are key packets, so many are searched and coded at a time.
    """

    def __init__(
        self,
        codec: Engine,
        model: LanguageModel | None,
        plan: StreamPlan,
        writer: StreamWriter | Version0Writer,
        threads: int = 1,
    ):
        header = plan.header
        self.codec, self.model, self.config, self.plan, self.writer = codec, model, codec.config, plan, writer
        self.encoder = encoder_stream(codec, header.n_codebooks, header.packet_frames)
        self.leveller = Leveller(codec.config, header.packet_frames) if plan.levelled else None
        self.meter = Meter(codec.config, header.envelope_frames) if header.envelope_frames else None
        self.groups = Groups(codec.config, header.packet_frames)
        self.alone = plan.packets_per_key == 1
        self.work = Ordered[Coded](threads if self.alone else 1)
        self.coding = self.new_coding()
        self.packets = 0

    def push(self, wave: np.ndarray) -> bytes:
        if self.meter is not None:
            self.meter.push(wave)
        if self.leveller is None:
            self.groups.push(self.encoder.push(wave))
        else:
            self._levelled(self.leveller.push(wave))
        return self._packets(last=False)

    def flush(self) -> bytes:
        """The last packets."""
        if self.leveller is not None:
            self._levelled(self.leveller.flush())
        self.groups.push(self.encoder.flush())
        return self._packets(last=True) + b"".join(map(self._written, self.work.finish()))

    def _levelled(self, packets: list[Levelled]) -> None:
        for wave, scale in packets:
            self.groups.scales.append(scale)
            self.groups.push(self.encoder.push(wave))

    def _packets(self, last: bool) -> bytes:
        """Packets of all blocks at hand that fill one, and with `last` of the others too."""
        data = b""
        while group := self.groups.take(last):
            data += self._packet(group, last=last and not self.groups.blocks)
        return data

    def _packet(self, group: list[Block], last: bool) -> bytes:
        """Those that are ready."""
        key = self.packets % self.plan.packets_per_key == 0
        self.packets += 1
        if self.meter is not None:
            group = [
                block._replace(envelope=self.meter.levels(self.config.samples_for(block.codes.shape[1])))
                for block in group
            ]
        # Packets that do not go on from those before may be coded by any coder, so each has its own.
        coding = self.new_coding() if self.alone else self.coding
        return b"".join(map(self._written, self.work.submit(functools.partial(coding, group, key, last))))

    def new_coding(self) -> Coding:
        """What codes packets from a key packet on."""
        return Coding(self.codec, self.model, self.plan)

    def _written(self, coded: Coded) -> bytes:
        payload = coded.payload
        return self.writer.packet(
            payload.data, coded.frames, key=coded.key, last=coded.last, plain=payload.plain, scaled=payload.scaled
        )


class Coding:
    """Searches and codes packets one after another."""

    def __init__(self, codec: Engine, model: LanguageModel | None, plan: StreamPlan):
        header = plan.header
        self.coder = PayloadCoder(codec.config, header.n_codebooks, model, header.envelope_frames, header.prompt)
        self.search = Search(codec, header.n_codebooks, self.coder.coder, plan.best) if plan.searched else None

    def __call__(self, group: list[Block], key: bool, last: bool) -> Coded:
        frames = sum(block.codes.shape[1] for block in group)
        if self.search is not None:
            group = self.search(group, key)
        return Coded(self.coder.encode(group, key), frames, key, last)


class Groups:
    """Push blocks of codes, take those of one packet at a time.

    `scales`: of the packets whose samples the encoder has had, where packets are levelled.
    """

    def __init__(self, config: CodecConfig, packet_frames: int):
        self.config, self.packet_frames = config, packet_frames
        self.blocks: list[Block] = []
        self.scales: deque[float | None] = deque()

    def push(self, blocks: list[Block]) -> None:
        self.blocks += blocks

    def take(self, last: bool) -> list[Block]:
        """The blocks of the next packet, removed; empty if more must come first."""
        if not self.blocks:
            return []
        if self.config.segment is not None:
            return self._take_segments(last)
        if sum(block.codes.shape[1] for block in self.blocks) < self.packet_frames and not last:
            return []
        group, rest = joined(self.blocks).split(self.packet_frames)
        self.blocks = [rest] if rest.codes.shape[1] else []
        return [group._replace(scale=self.scales.popleft())] if self.scales else [group]

    def _take_segments(self, last: bool) -> list[Block]:
        # A shorter segment has a packet of its own: a reader knows whole segments by the number of frames.
        full = self.config.block_frames
        count = self.packet_frames // full
        short = next((index for index, block in enumerate(self.blocks) if block.codes.shape[1] < full), None)
        if short is not None and short < count:
            count = max(1, short)
        elif len(self.blocks) < count and not last:
            return []
        group, self.blocks = self.blocks[:count], self.blocks[count:]
        return group
