"""The codes that a language model learns from: of nearest entries, and of the search, as streams have both."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np
import torch
from torch import Tensor

from ecdc.codec.blocks import joined
from ecdc.codec.codec import Codec
from ecdc.codec.level import scale_for
from ecdc.compress import PACKET_SECONDS
from ecdc.entropy.language_model import LanguageModel
from ecdc.entropy.model_coder import ModelCoder
from ecdc.files import open_output
from ecdc.models import load_model
from ecdc.search import Search

from .data import Crops
from .processes import asked_to_stop, rank, run, world

PIECE_SECONDS = 10
# Streams have 8 codebooks more often than others.
COUNTS = (2, 4, 8, 8, 16, 32)
# What stands for the codes that a piece of fewer codebooks lacks.
NONE = -1
# Of the pieces, this share is never trained on.
HELD_OUT = 0.05
SAVE_SECONDS = 300.0


class Codes(NamedTuple):
    """Pieces of codes [N, K, T] int16: all codebooks of nearest entries, or as many as were searched."""

    pieces: Tensor

    @classmethod
    def load(cls, cache: Path) -> tuple[Codes, Codes]:
        """Those to train on, and those held out."""
        pieces = torch.load(cache, weights_only=True)
        count = max(2, int(len(pieces) * HELD_OUT))
        return cls(pieces[count:]), cls(pieces[:count])

    def rows(self, codebooks: int, searched: bool) -> Tensor:
        """Pieces that a stream of so many codebooks could have: those searched, or of nearest entries if there are none."""
        counts = (self.pieces[:, :, 0] != NONE).sum(1)
        total = self.pieces.shape[1]
        rows = (counts == (codebooks if searched else total)).nonzero()[:, 0]
        return rows if len(rows) else (counts == total).nonzero()[:, 0]

    def batch(self, random: np.random.Generator, count: int, codebooks: int, length: int) -> Tensor:
        """Sequences [count, codebooks, length], one in two of them searched."""
        frames = self.pieces.shape[2]
        length = min(length, frames)
        kinds = [self.rows(codebooks, searched) for searched in (False, True)]
        rows = [int(random.choice(kinds[random.integers(2)])) for _ in range(count)]
        starts = random.integers(0, frames - length + 1, count)
        return torch.stack([self.pieces[row, :codebooks, start:start + length] for row, start in zip(rows, starts)]).long()


def collect(folder: Path, crops: Crops, cache: Path, hours: float, processes: int, seed: int,
            prices: Optional[LanguageModel]) -> bool:
    """Write `Codes` of the model in `folder`, of single sources as most files are, to `cache`.

    `prices`: the language model that the search asks what codes cost; without, they cost the same.
    False if stopped before all of them were there; the same call goes on.
    """
    each = max(2, math.ceil(hours * 3600 / PIECE_SECONDS / processes))
    # Of so many processes, as each has its own pieces.
    parts = [cache.with_name(f"{cache.name}.{number}of{processes}") for number in range(processes)]
    # After a kill one may have saved more than another; but they wait for each other at every piece.
    done = min(len(_made(part)) for part in parts)
    run(_collect, processes, folder, crops, parts, done, each, seed, prices)
    made = [_made(part) for part in parts]
    if min(map(len, made)) < each:
        return False
    with open_output(cache) as file:
        torch.save(torch.stack([piece for some in made for piece in some]), file)
    for part in parts:
        part.unlink()
    return True


def _made(part: Path) -> list[Tensor]:
    return list(torch.load(part, weights_only=True)) if part.exists() else []


@torch.inference_mode()
def _collect(folder: Path, crops: Crops, parts: list[Path], done: int, each: int, seed: int,
             prices: Optional[LanguageModel]) -> None:
    """One process's share of the pieces, going on after the first `done`."""
    codec, part = load_model(folder), parts[rank()]
    config, made = codec.config, _made(part)[:done]

    def save() -> None:
        with open_output(part) as file:
            torch.save(torch.stack(made), file)

    length = PIECE_SECONDS * config.sample_rate
    if config.segment is not None:
        length = (int(PIECE_SECONDS / config.segment) - 1) * config.segment_stride + config.segment_length
    saved = time.monotonic()
    with asked_to_stop() as stopping:
        while len(made) < each:
            random = np.random.default_rng([seed, 1, rank() + len(made) * world()])
            wave = torch.from_numpy(crops.single(random, length))
            # Every process has pieces of both kinds.
            count = min(int(random.choice(COUNTS)), config.codebooks) if len(made) % 2 else None
            codes = _codes(codec, wave, count, prices)
            piece = torch.full((config.codebooks, codes.shape[1]), NONE, dtype=torch.int16)
            piece[:count] = torch.from_numpy(codes)
            made.append(piece)
            if rank() == 0 and len(made) % 25 == 1:
                print(f"\rcodes of {len(made) * world()}/{each * world()} pieces", end="", file=sys.stderr, flush=True)
            if stopping():
                break
            if time.monotonic() - saved > SAVE_SECONDS:
                save()
                saved = time.monotonic()
    save()


def _codes(codec: Codec, wave: Tensor, count: Optional[int], prices: Optional[LanguageModel]) -> np.ndarray:
    """Codes [K, T] of a wave [C, T]: of the nearest entries in all codebooks, or of the search in `count` of them."""
    config = codec.config
    scale = scale_for(float(wave.abs().max()), config)
    encoder = codec.encoder_stream(count or config.codebooks, config.block_frames)
    blocks = encoder.push(wave if scale is None else wave / scale)
    if config.segment is None:
        # Of segments only the whole ones: each is coded for itself, the model sees them in a row.
        blocks += encoder.flush()
    if count is not None:
        search = Search(codec.quantizer, count, None if prices is None else ModelCoder(prices, count))
        packet = max(1, round(PACKET_SECONDS * config.frame_rate) // config.block_frames)
        blocks = [block for first in range(0, len(blocks), packet) for block in search(blocks[first:first + packet], key=True)]
    return joined(blocks).codes
