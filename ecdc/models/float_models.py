"""The official, float language model, which files of version 0 may have been coded with; needs PyTorch."""

from __future__ import annotations

from ..codec.engine import Engine
from ..entropy.float_model import FloatLanguageModel, load_float_model
from ..errors import ModelError
from .checkpoints import read_tensors
from .finding import lm_remedy
from .store import FLOAT_LANGUAGE_MODEL


def float_language_model(codec: Engine) -> FloatLanguageModel:
    """The float language model that files of version 0 were coded with; ModelError if the codec has none."""
    path = codec.folder and codec.folder / FLOAT_LANGUAGE_MODEL
    if path is None or not path.is_file():
        raise ModelError(
            f"coded with the official language model of {codec.config.name}, which is not installed: "
            f"{lm_remedy(codec.config.name)}"
        )
    return load_float_model(read_tensors(path), codec.config.frame_rate)
