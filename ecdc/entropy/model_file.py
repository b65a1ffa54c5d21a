"""The file of an exact language model: safetensors, with the configuration in the metadata."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ..errors import ModelError
from .language_model import LanguageModel

FORMAT = "ecdc exact language model 1"


def load_language_model(path: str | Path) -> LanguageModel:
    """Raises ModelError if the file is none, or is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        if metadata.get("format") != FORMAT:
            raise ModelError("not an exact language model of this version")
        return LanguageModel(json.loads(metadata["config"]), tensors)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read: {error}") from None


def save_language_model(model: LanguageModel, path: str | Path) -> None:
    from safetensors.numpy import save

    tensors = save(
        {name: np.ascontiguousarray(tensor) for name, tensor in model.tensors.items()},
        {"format": FORMAT, "config": json.dumps(model.config, sort_keys=True)},
    )
    # Not by safetensors itself, whose errors on a full disk are no OSError.
    Path(path).write_bytes(tensors)
