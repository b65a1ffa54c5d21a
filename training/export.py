"""A training run's averaged weights as a model folder: config.json, weights.safetensors, and a card to fill in."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from ecdc.codec.config import CodecConfig
from ecdc.errors import EcdcError
from ecdc.models import load_model

from .log import read_rows
from .settings import Settings
from .trainer import STATE


def official_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Official state-dict names; in float16, the codebooks as bytes with a factor for each dimension."""
    named = {name: tensor.half().contiguous() for name, tensor in state.items() if name != "quantizer.embed"}
    for k, embed in enumerate(state["quantizer.embed"]):
        scale = (embed.abs().amax(0) / 127).clamp(min=1e-9)
        prefix = f"quantizer.vq.layers.{k}._codebook."
        named[prefix + "embed"] = (embed / scale).round().to(torch.int8)
        named[prefix + "embed_scale"] = scale
    return named


def export_codec(run: Path, folder: Path, name: str) -> None:
    settings = Settings.load(run)
    if not (run / STATE).exists():
        raise EcdcError(f"{run}: no state to export yet")
    state = torch.load(run / STATE, map_location="cpu", weights_only=True)
    config = load_model(settings.model).config if settings.config is None else \
        CodecConfig.from_mapping(json.loads(Path(settings.config).read_text()))
    folder.mkdir(parents=True, exist_ok=True)
    values = dataclasses.asdict(dataclasses.replace(config, name=name))
    (folder / "config.json").write_text(json.dumps(values, indent=1) + "\n")
    save_file(official_names(state["averaged"]), folder / "weights.safetensors")
    (folder / "README.md").write_text(_card(name, config, settings, state["step"], read_rows(run / "log.csv")))


def _card(name: str, config: CodecConfig, settings: Settings, steps: int, rows: list[dict[str, str]]) -> str:
    heard = steps * settings.batch * settings.processes * (config.segment or settings.seconds) / 3600
    lines = [f"# {name}", "", f"- Trained from: {settings.model or 'nothing'}",
             f"- Steps: {steps}, {heard:.1f} hours of audio heard", f"- Audio: {', '.join(settings.audio)}", "",
             "Settings:", "", "```", json.dumps(dataclasses.asdict(settings), indent=1), "```", ""]
    scores = {key: value for key, value in (rows[-1] if rows else {}).items() if key.startswith(("si_snr", "mel_"))}
    if scores:
        lines += [f"Held-out clips after step {rows[-1]['step']}:", ""]
        lines += [f"- {key}: {float(value):.2f} dB" for key, value in scores.items() if value]
    return "\n".join(lines) + "\n"
