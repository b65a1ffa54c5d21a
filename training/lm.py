"""Training of a codec's language model on its codes (paper section 3.3), and its exact form."""

from __future__ import annotations

import sys
import time
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
from ecdc.files import open_output
from ecdc.models import load_model
from ecdc.models.registry import LANGUAGE_MODEL

from .data import QUIETEST, Crops, scan
from .lm_codes import COUNTS, SAVE_SECONDS, Codes, collect
from .lm_start import start_exact, start_model
from .optimizer import Optimizer
from .processes import asked_to_stop, rank, run

TRAINED_SECONDS = 5
# AdamW for these, at a higher rate: after 180 steps 7.05 bits a code where Muon for all of them was at 7.35.
TABLES, TABLE_RATE = ("emb", "linears", "inner"), 5.0


@dataclass(frozen=True)
class LmSettings:
    steps: int = 3000
    batch: int = 8
    rate: float = 2e-3
    processes: int = 2
    hours: float = 5.0
    quietest: float = QUIETEST
    inner: bool = False
    dimension: int = 200
    start: Optional[str] = None
    seed: int = 0


def train_lm(folder: Path, audio: list[Path], state: Path, settings: LmSettings) -> None:
    """Train, then write the exact form into the model's folder; float weights stay in the state.

    SIGTERM saves and stops, and the same call goes on.
    """
    codec = load_model(folder)
    _first_model(codec.config, settings)  # says what is wrong before anything takes time
    prices = None if settings.start is None else start_exact(settings.start)
    crops = Crops(scan(audio, state.with_suffix(".index")), codec.config.sample_rate, codec.config.channels, settings.quietest)
    cache = state.with_suffix(".codes")
    if not cache.exists() and not collect(folder, crops, cache, settings.hours, settings.processes, settings.seed, prices):
        print("\nstopped while collecting codes; the same command goes on", file=sys.stderr)
        return
    run(_train, settings.processes, settings, codec.config, cache, state)
    saved = torch.load(state, weights_only=True)
    if saved["step"] < settings.steps:
        print(f"\nstopped after step {saved['step']} of {settings.steps}; the same command goes on", file=sys.stderr)
        return
    model = load_float_model(saved["averaged"], codec.config.frame_rate)
    exact = convert(model, POSITION_SECONDS * codec.config.frame_rate)
    exact.save(folder / LANGUAGE_MODEL)
    _, held_out = Codes.load(cache)
    ideal, coded = exact_against_float(model, exact, held_out)
    print(f"\nexact form: {100 * (coded / ideal - 1):+.3f} % to the float model's ideal length, coder included",
          file=sys.stderr)


@torch.inference_mode()
def exact_against_float(model: FloatLanguageModel, exact: LanguageModel, codes: Codes,
                        codebooks: int = 8, most: int = 60) -> tuple[float, float]:
    """Bits of codes of nearest entries: ideal with the float model, and as the exact one's coder writes them."""
    used = min(codebooks, codes.pieces.shape[1])
    coder = ModelCoder(exact, used)
    ideal = coded = 0.0
    for row in codes.pieces[codes.rows(used, searched=False)[:most], :used]:
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
    codes, held_out = Codes.load(cache)
    length = TRAINED_SECONDS * config.frame_rate
    optimizer = Optimizer(model, TABLES)
    averaged = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first = 0
    if path.exists():
        saved = torch.load(path, weights_only=True)
        first, averaged = saved["step"], saved["averaged"]
        model.load_state_dict(saved["model"])
        optimizer.load(saved["optimizer"])
    saved_at = time.monotonic()
    with asked_to_stop() as stopping:
        for step in range(first, settings.steps):
            random = np.random.default_rng([settings.seed, step, rank()])
            # Fewer codebooks most of the time, as streams have; in all processes as many, as they wait for each other.
            used = min(int(np.random.default_rng([settings.seed, step]).choice(COUNTS)), config.codebooks)
            bits = model.bits(codes.batch(random, settings.batch, used, length)).mean()
            bits.backward()
            for parameter in model.parameters():
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
            rate = settings.rate * min(1.0, (step + 1) / 100, 4 * (settings.steps - step) / settings.steps)
            optimizer.step(rate, TABLE_RATE * rate)
            keep = min(0.999, (1 + step) / (10 + step))
            for name, tensor in model.state_dict().items():
                averaged[name].lerp_(tensor, 1 - keep)
            done = step + 1
            ending = stopping() or done == settings.steps
            if rank() == 0 and step % 10 == 0:
                print(f"\rstep {done}/{settings.steps}: {float(bits.detach()):.3f} bits a code ", end="", file=sys.stderr,
                      flush=True)
            if rank() == 0 and (done % 200 == 0 or done == settings.steps):
                _report(done, settings.steps, held_out_bits(averaged, held_out, model.window))
            if rank() == 0 and (ending or time.monotonic() - saved_at > SAVE_SECONDS):
                with open_output(path) as file:
                    torch.save({"step": done, "model": model.state_dict(), "averaged": averaged,
                                "optimizer": optimizer.state()}, file)
                saved_at = time.monotonic()
            if ending:
                break


def _report(step: int, steps: int, scores: dict[int, tuple[float, ...]]) -> None:
    print(f"\nstep {step}/{steps}: held-out bits a code, of nearest entries and of the search: "
          + ", ".join(f"{nearest:.3f} {searched:.3f} ({k} codebooks)" for k, (nearest, searched) in scores.items()),
          file=sys.stderr)


@torch.inference_mode()
def held_out_bits(state: dict[str, Tensor], codes: Codes, window: int, most: int = 32) -> dict[int, tuple[float, ...]]:
    model = FloatLanguageModel.from_state(state, HEADS, window).eval()
    return {k: tuple(float(torch.cat([model.bits(codes.pieces[row, :k][None].long())
                                      for row in codes.rows(k, searched)[:most]]).mean()) for searched in (False, True))
            for k in (2, 8, 32) if k <= codes.pieces.shape[1]}
