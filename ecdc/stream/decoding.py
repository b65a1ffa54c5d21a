"""Decoding of a stream whose header is known: packets -> payloads -> codes -> waves -> blocks of samples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..audio.convert import converted_length
from ..bitstream import End, Header, Lost, Packet
from ..codec.engine import Engine
from ..entropy.language_model import LanguageModel
from ..entropy.payload import PayloadCoder
from ..errors import BitstreamError
from .conceal import Concealer, Losses
from .output import Output, OutputPlan
from .stretch import Cutter, Stretch

# What rounding in the resamplers of both sides can cost at the very end, in samples.
TOLERANCE = 4
# Packets that are decoded together, if that many are at hand. 20 would be a tenth faster, but take more memory
# for ten hours than for a minute, which has just these.
BATCH = 12


class Decoding:
    """Packets, losses and the end of a stream, in their order; every method gives the blocks that are complete.

    `losses`: told of what is lost. `samples`: per channel in all, once that is known.
    """

    def __init__(
        self,
        header: Header,
        codec: Engine,
        model: LanguageModel | None,
        plan: OutputPlan,
        stretch: Stretch,
        losses: Losses,
        threads: int = 1,
    ):
        self.header, self.plan, self.losses = header, plan, losses
        self.samples = plan.samples
        self.cutter = Cutter(stretch, codec.config, plan.samplerate, header.envelope_frames)
        self.output = Output(plan, self.cutter, header.sample_rate)
        self._coder = PayloadCoder(
            codec.config, header.n_codebooks, model, header.envelope_frames, header.prompt, threads
        )
        self._decoder = Concealer(codec, header.envelope_frames, header.prompt)
        self._waiting: list[Packet] = []
        self._begun = False

    @property
    def expected(self) -> int | None:
        """Samples per channel that will be given in all, None if that is unknown."""
        first, end = self.cutter.first, self.cutter.end
        if self.samples is None:
            return None
        return max(0, min(self.samples, self.samples if end is None else end) - first)

    def add(self, packet: Packet) -> bool:
        """Put a packet to those that wait; whether they are as many as are decoded together."""
        self._waiting.append(packet)
        return len(self._waiting) == BATCH

    def packets(self, number: int) -> Iterator[np.ndarray]:
        """Decode the packets that wait, together where they are independent; `number`: the last one's in the stream."""
        packets = self._ready()
        if not packets:
            return
        try:
            decoded = self._coder.decode(packets)
        except BitstreamError as error:
            first = number - len(packets) + 1
            where = f"packet {number}" if first == number else f"one of the packets {first} to {number}"
            raise BitstreamError(f"{where}: {error}") from None
        for packet, blocks in zip(packets, decoded):
            if packet.last:
                self.output.hold()
            for block in blocks:
                for wave in self._decoder.push(block):
                    yield from self.output.push(wave)

    def _ready(self) -> list[Packet]:
        """The packets to decode now; before the stretch begins, those that it does not need are forgotten."""
        packets = self._waiting
        if not self._begun and packets:
            needed = self.cutter.first_frame
            keys = [index for index, packet in enumerate(packets) if packet.key and packet.position <= needed]
            # There is none behind a loss, where plainly packed ones go on without.
            packets = packets[keys[-1] :] if keys else packets
            last = packets[-1]
            if last.position + last.frames <= needed and not last.last:
                self._waiting = packets
                return []
            self._begun = True
            self.cutter.begin(packets[0].position)
        self._waiting = []
        return packets

    def lost(self, lost: Lost, number: int) -> Iterator[np.ndarray]:
        """The packets that wait, and something in place of those that are lost."""
        yield from self.packets(number)
        header = self.header
        if not self._begun:
            if lost.position + lost.frames <= self.cutter.first_frame:
                self._waiting = []
                return
            # The stretch begins in it, and what comes before it may still be heard.
            self._begun = True
            self.cutter.begin(self._waiting[0].position if self._waiting else lost.position)
            yield from self.packets(number)
        self.losses.add(
            lost.position * header.hop_length / header.sample_rate, lost.frames * header.hop_length / header.sample_rate
        )
        for wave in self._decoder.conceal(lost.frames):
            yield from self.output.push(wave)

    def end(self, end: End, number: int, recover: bool) -> Iterator[np.ndarray]:
        """The packets that wait, and the rest, at the length that the end section says.

        With `recover` what is missing is lost; otherwise BitstreamError.
        """
        yield from self.packets(number)
        self.samples = converted_length(end.samples, self.header.source_rate, self.plan.samplerate)
        rest = self.output.rest(self._decoder.flush())
        position = self.cutter.position
        missing = self.samples - position
        extra = self.header.hop_length * self.plan.samplerate // self.header.sample_rate + TOLERANCE
        if recover:
            if missing - rest.shape[1] > TOLERANCE:
                self.losses.add(
                    (position + rest.shape[1]) / self.plan.samplerate, (missing - rest.shape[1]) / self.plan.samplerate
                )
        elif not -TOLERANCE <= rest.shape[1] - missing <= extra or missing < 0:
            raise BitstreamError(
                f"its packets hold {position + rest.shape[1]} samples where its end promises {self.samples}"
            )
        yield from self.output.give(rest[:, : max(0, missing)])
        yield from self.output.silence(missing - rest.shape[1])

    def cut_off(self) -> Iterator[np.ndarray]:
        """The rest of a stream without an end; beyond what the header promises there is padding only."""
        rest = self.output.rest(self._decoder.flush())
        if self.samples is not None:
            rest = rest[:, : max(0, self.samples - self.cutter.position)]
        yield from self.output.give(rest)
        self.losses.cut_off = self.cutter.position / self.plan.samplerate
