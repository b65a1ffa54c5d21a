"""Training of a codec's language model on its codes (paper section 3.3), and its exact form."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np
import torch
from torch import Tensor

from ecdc.codec.config import CodecConfig
from ecdc.entropy.convert import POSITION_SECONDS, convert
from ecdc.entropy.float_model import HEADS, WINDOW_SECONDS, FloatLanguageModel, load_float_model
from ecdc.entropy.language_model import LanguageModel
from ecdc.entropy.model_coder import ModelCoder
from ecdc.models import load_model
from ecdc.models.registry import LANGUAGE_MODEL

from .data import Crops, Source, scan
from .lm_start import start_model
from .optimizer import Optimizer
from .processes import rank, run, world

TRAINED_SECONDS = 5
PIECE_SECONDS = 10
# AdamW for these, at a higher rate: after 180 steps 7.05 bits a code where Muon for all of them was at 7.35.
TABLES, TABLE_RATE = ("emb", "linears", "inner"), 5.0
# Of the codes, this share is never trained on.
HELD_OUT = 0.05


@dataclass(frozen=True)
class LmSettings:
    steps: int = 3000
    batch: int = 8
    rate: float = 2e-3
    processes: int = 2
    hours: float = 5.0
    inner: bool = False
    dimension: int = 200
    start: Optional[str] = None
    seed: int = 0


def collect(folder: Path, sources: list[Source], cache: Path, settings: LmSettings) -> None:
    """Write codes [N, K, T] int16 of the model in `folder`, of single sources as most files are, to `cache`."""
    pieces = max(2, round(settings.hours * 3600 / PIECE_SECONDS))
    run(_collect, settings.processes, folder, sources, cache, pieces, settings.seed)
    parts = [_part(cache, number) for number in range(settings.processes)]
    torch.save(torch.cat([torch.load(part, weights_only=True) for part in parts]), cache)
    for part in parts:
        part.unlink()


def _part(cache: Path, number: int) -> Path:
    return cache.with_name(f"{cache.name}.{number}")


@torch.inference_mode()
def _collect(folder: Path, sources: list[Source], cache: Path, pieces: int, seed: int) -> None:
    """One process's share of the pieces."""
    codec = load_model(folder)
    config, codes = codec.config, []
    crops = Crops(sources, config.sample_rate, config.channels)
    length = PIECE_SECONDS * config.sample_rate
    if config.segment is not None:
        length = (int(PIECE_SECONDS / config.segment) - 1) * config.segment_stride + config.segment_length
    for number in range(rank(), pieces, world()):
        random = np.random.default_rng([seed, 1, number])
        wave = torch.from_numpy(crops.single(random, length))[None]
        # Of segments the whole ones: each is coded for itself, the model sees them in a row.
        segments = [part.codes[0] for part in codec.encode(wave)
                    if config.segment is None or part.codes.shape[2] == config.block_frames]
        codes.append(torch.cat(segments, dim=1).to(torch.int16))
        if rank() == 0 and len(codes) % 50 == 1:
            print(f"\rcodes of {number}/{pieces} pieces", end="", file=sys.stderr, flush=True)
    torch.save(torch.stack(codes), _part(cache, rank()))


def train_lm(folder: Path, audio: list[Path], state: Path, settings: LmSettings) -> None:
    """Train, then write the exact form into the model's folder; float weights stay in the state."""
    codec = load_model(folder)
    _first_model(codec.config, settings)  # says what is wrong before anything takes time
    sources = scan(audio, state.with_suffix(".index"))
    cache = state.with_suffix(".codes")
    if not cache.exists():
        collect(folder, sources, cache, settings)
    run(_train, settings.processes, settings, codec.config, cache, state)
    saved = torch.load(state, weights_only=True)
    model = load_float_model(saved["averaged"], codec.config.frame_rate)
    exact = convert(model, POSITION_SECONDS * codec.config.frame_rate)
    exact.save(folder / LANGUAGE_MODEL)
    codes = torch.load(cache, weights_only=True)
    ideal, coded = exact_against_float(model, exact, codes[:max(1, int(len(codes) * HELD_OUT))])
    print(f"\nexact form: {100 * (coded / ideal - 1):+.3f} % to the float model's ideal length, coder included",
          file=sys.stderr)


@torch.inference_mode()
def exact_against_float(model: FloatLanguageModel, exact: LanguageModel, codes: Tensor,
                        codebooks: int = 8, most: int = 60) -> tuple[float, float]:
    """Bits of codes [N, K, T]: ideal with the float model, and as the exact one's coder writes them."""
    used = min(codebooks, codes.shape[1])
    coder = ModelCoder(exact, used)
    ideal = coded = 0.0
    for row in codes[:most, :used]:
        ideal += float(model.bits(row[None].long()).sum())
        coded += 8 * len(coder.encode(row.numpy().astype(np.int32), key=True))
    return ideal, coded


def _first_model(config: CodecConfig, settings: LmSettings) -> FloatLanguageModel:
    if settings.start is not None:
        return start_model(settings.start, config)
    torch.manual_seed(settings.seed)
    return FloatLanguageModel(config.codebooks, config.codebook_size, settings.dimension,
                              hidden=4 * settings.dimension, window=int(WINDOW_SECONDS * config.frame_rate),
                              inner=settings.inner)


def _train(settings: LmSettings, config: CodecConfig, cache: Path, path: Path) -> None:
    model = _first_model(config, settings)
    codes = torch.load(cache, weights_only=True)
    held_out = max(1, int(len(codes) * HELD_OUT))
    length = TRAINED_SECONDS * config.frame_rate
    optimizer = Optimizer(model, TABLES)
    averaged = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first = 0
    if path.exists():
        saved = torch.load(path, weights_only=True)
        first, averaged = saved["step"], saved["averaged"]
        model.load_state_dict(saved["model"])
        optimizer.load(saved["optimizer"])
    for step in range(first, settings.steps):
        random = np.random.default_rng([settings.seed, step, rank()])
        batch = _sequences(codes[held_out:], random, settings.batch, length)
        # Fewer codebooks most of the time, as streams have; in all processes as many, as they wait for each other.
        used = min(int(np.random.default_rng([settings.seed, step]).choice([2, 4, 8, 8, 16, 32])), batch.shape[1])
        bits = model.bits(batch[:, :used]).mean()
        bits.backward()
        for parameter in model.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        rate = settings.rate * min(1.0, (step + 1) / 100, 4 * (settings.steps - step) / settings.steps)
        optimizer.step(rate, TABLE_RATE * rate)
        keep = min(0.999, (1 + step) / (10 + step))
        for name, tensor in model.state_dict().items():
            averaged[name].lerp_(tensor, 1 - keep)
        if rank() == 0 and ((step + 1) % 200 == 0 or step + 1 == settings.steps):
            scores = held_out_bits(averaged, codes[:held_out], model.window)
            print(f"\nstep {step + 1}/{settings.steps}: held-out bits a code "
                  + ", ".join(f"{bits:.3f} ({k} codebooks)" for k, bits in scores.items()), file=sys.stderr)
            temporary = path.with_suffix(".new")
            torch.save({"step": step + 1, "model": model.state_dict(), "averaged": averaged,
                        "optimizer": optimizer.state()}, temporary)
            os.replace(temporary, path)


def _sequences(codes: Tensor, random: np.random.Generator, count: int, length: int) -> Tensor:
    length = min(length, codes.shape[2])
    rows = random.integers(0, len(codes), count)
    starts = random.integers(0, codes.shape[2] - length + 1, count)
    return torch.stack([codes[row, :, start:start + length] for row, start in zip(rows, starts)]).long()


@torch.inference_mode()
def held_out_bits(state: dict[str, Tensor], codes: Tensor, window: int, most: int = 32) -> dict[int, float]:
    model = FloatLanguageModel.from_state(state, HEADS, window).eval()
    return {k: float(torch.cat([model.bits(row[None, :k].long()) for row in codes[:most]]).mean())
            for k in (2, 8, 32) if k <= codes.shape[1]}
