"""Finds models by name or by path and loads them.

A model is a folder with `config.json`, `weights.safetensors` (official state-dict
names, float16 or float32) and, if it has one, its exact language model in
`exact_lm.safetensors`.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Optional, Union

from ..bitstream import Header
from ..codec.codec import Codec
from ..codec.config import CodecConfig
from ..entropy import LANGUAGE_MODEL as LM
from ..entropy import PLAIN
from ..entropy.language_model import LanguageModel
from ..errors import ModelError

BUNDLED = Path(__file__).parent / "bundled"
CONFIG, WEIGHTS, LANGUAGE_MODEL = "config.json", "weights.safetensors", "exact_lm.safetensors"
DEFAULT_RATE = 24000


def bundled_models() -> dict[str, CodecConfig]:
    """Configurations of the models that come with the package, by name."""
    return {folder.name: read_config(folder) for folder in sorted(BUNDLED.iterdir())
            if (folder / CONFIG).is_file()}


def read_config(folder: Path) -> CodecConfig:
    try:
        values = json.loads((folder / CONFIG).read_text())
    except FileNotFoundError:
        raise ModelError(f"{folder}: no model here ({CONFIG} is missing)") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder / CONFIG}: cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise ModelError(f"{folder / CONFIG}: not a model configuration")
    return CodecConfig.from_mapping({"name": folder.name, **values})


def load_model(name: Union[str, Path, None] = None, sample_rate: Optional[int] = None) -> Codec:
    """Load a codec.

    Args:
        name: a bundled model's name or a model folder's path; by default the bundled
            model of `sample_rate`.
        sample_rate: in Hz, 24000 by default; with `name`, the rate it must have.

    Raises ModelError if there is no such model or it is damaged.
    """
    codec = _load(_find(name, sample_rate or DEFAULT_RATE).resolve())
    if sample_rate not in (None, codec.config.sample_rate):
        raise ModelError(f"model {name} works at {codec.config.sample_rate} Hz, not at {sample_rate} Hz")
    return codec


def model_for_stream(header: Header, name: Union[str, Path, None] = None) -> Codec:
    """The model that a stream was made with: found by its name, or `name`; its fingerprint must match."""
    needed = f"model {header.model} (fingerprint {header.fingerprint.hex()})"
    if name is None and header.model not in bundled_models():
        raise ModelError(f"made with {needed}, which is not installed: pass its folder with --model")
    codec = load_model(name or header.model)
    if codec.fingerprint != header.fingerprint:
        raise ModelError(f"made with {needed}, but {name or header.model} here has fingerprint "
                         f"{codec.fingerprint.hex()}: pass the right model's folder with --model")
    config = codec.config
    if (header.sample_rate, header.channels, header.hop_length, header.bits_per_code) != \
            (config.sample_rate, config.channels, config.hop_length, config.bits_per_code) or \
            header.n_codebooks > config.codebooks:
        raise ModelError(f"its header does not fit {needed}")
    return codec


def _find(name: Union[str, Path, None], sample_rate: int) -> Path:
    bundled = bundled_models()
    if name is None:
        for candidate, config in bundled.items():
            if config.sample_rate == sample_rate:
                return BUNDLED / candidate
        raise ModelError(f"no {sample_rate / 1000:g} kHz model comes with this version: "
                         "pass a model folder with --model")
    if str(name) in bundled:
        return BUNDLED / str(name)
    if Path(name).is_dir():
        return Path(name)
    raise ModelError(f"no model {name}: neither a folder nor one of {', '.join(bundled)}")


@functools.lru_cache(maxsize=4)
def _load(folder: Path) -> Codec:
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    config = read_config(folder)
    try:
        state = load_file(folder / WEIGHTS)
    except FileNotFoundError:
        raise ModelError(f"{folder}: {WEIGHTS} is missing") from None
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{folder / WEIGHTS}: cannot be read: {error}") from None
    try:
        codec = Codec.from_state(config, state)
    except ModelError as error:
        raise ModelError(f"{folder}: {error}") from None
    codec.folder = folder
    return codec


def language_model(codec: Codec) -> Optional[LanguageModel]:
    """The language model that belongs to a codec, None if it has none."""
    if codec.folder is None or not (codec.folder / LANGUAGE_MODEL).is_file():
        return None
    model = _load_language_model(codec.folder / LANGUAGE_MODEL)
    if (model.codebooks, model.codebook_size) != (codec.config.codebooks, codec.config.codebook_size):
        raise ModelError(f"{codec.folder / LANGUAGE_MODEL}: its codebooks are not those of the codec beside it")
    return model


def language_model_for_stream(header: Header, codec: Codec) -> Optional[LanguageModel]:
    """The language model that a stream of this codec needs, None if it needs none."""
    if header.entropy == PLAIN:
        return None
    if header.entropy != LM:
        raise ModelError(f"made by a newer ecdc: its entropy coder {header.entropy} is unknown")
    model = language_model(codec)
    if model is None or model.fingerprint != header.entropy_fingerprint:
        here = f"has {model.fingerprint.hex()}" if model else "has none"
        raise ModelError(f"coded with the language model {header.entropy_fingerprint.hex()}, but {codec.config.name} "
                         f"here {here}: pass the right model's folder with --model")
    return model


@functools.lru_cache(maxsize=4)
def _load_language_model(path: Path) -> LanguageModel:
    return LanguageModel.load(path)
