"""Configurations of models: `config.json`, ours and transformers', and what a model is called."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ..codec.config import CodecConfig
from ..errors import ModelError

CONFIG = "config.json"
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")

# CodecConfig's field: the key in transformers' config.json. What is missing there has the same default here.
TRANSFORMERS_KEYS = {
    "sample_rate": "sampling_rate",
    "channels": "audio_channels",
    "n_filters": "num_filters",
    "dimension": "hidden_size",
    "ratios": "upsampling_ratios",
    "kernel_size": "kernel_size",
    "last_kernel_size": "last_kernel_size",
    "residual_kernel_size": "residual_kernel_size",
    "n_residual_layers": "num_residual_layers",
    "dilation_base": "dilation_growth_rate",
    "compress": "compress",
    "lstm_layers": "num_lstm_layers",
    "norm": "norm_type",
    "causal": "use_causal_conv",
    "pad_mode": "pad_mode",
    "trim_right_ratio": "trim_right_ratio",
    "codebook_size": "codebook_size",
    "bandwidths": "target_bandwidths",
    "normalize": "normalize",
    "segment": "chunk_length_s",
    "overlap": "overlap",
}


# Published names end in the first digits of the file's SHA-256.
HASHED = re.compile(r"(?P<stem>.+)-(?P<start>[0-9a-f]{8})")
SNAPSHOT = re.compile(r"models--.+--(?P<stem>.+)")


def default_name(path: Path) -> str:
    """What a model is called unless a name is given: the file's name without hash and ending, or the folder's."""
    for part in (path.name, *(parent.name for parent in path.resolve().parents)):
        if snapshot := SNAPSHOT.fullmatch(part):
            return snapshot["stem"]
    stem = path.resolve().name if path.is_dir() else path.stem
    match = HASHED.fullmatch(stem)
    return (match["stem"] if match else stem).replace("_lm_", "_")


def transformers_config(path: Path, name: str) -> CodecConfig:
    """The configuration in a config.json of transformers."""
    values = read_json(path)
    if values.get("model_type") != "encodec":
        raise ModelError(f"{path}: its model_type is {values.get('model_type')!r}, not 'encodec'")
    if values.get("codebook_dim") not in (None, values.get("hidden_size", CodecConfig.dimension)):
        raise ModelError(f"{path}: codebooks of another dimension than the latents are not supported")
    ours = {ours: values[theirs] for ours, theirs in TRANSFORMERS_KEYS.items() if values.get(theirs) is not None}
    ours["true_skip"] = not values.get("use_conv_shortcut", True)
    config = CodecConfig.from_mapping({**ours, "name": name})
    # Of a rate and a power of two there are as many codebooks as the highest bandwidth needs.
    highest = config.bandwidths[-1] if config.bandwidths else 0
    return CodecConfig.from_mapping({**ours, "name": name, "codebooks": int(highest / config.kbps_per_codebook + 1e-9)})


def _no_number(constant: str) -> None:
    raise ValueError(f"it has the value {constant}")


def read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(), parse_constant=_no_number)
    except FileNotFoundError:
        raise ModelError(f"{path.parent}: no model here ({path.name} is missing)") from None
    except RecursionError:
        raise ModelError(f"{path}: not a model configuration: it is nested too deeply") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise ModelError(f"{path}: not a model configuration")
    return values
