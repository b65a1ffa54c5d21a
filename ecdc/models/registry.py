"""Loads models.

A model is a folder with `config.json`, `weights.safetensors` (official state-dict
names, float16 or float32) and, if it has one, its exact language model in
`exact_lm.safetensors`; or a folder of transformers, which is converted when it is loaded.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Optional, Union

from ..bitstream import Header
from ..codec.codec import Codec
from ..entropy import LANGUAGE_MODEL as LM
from ..entropy import PLAIN
from ..entropy.float_model import FloatLanguageModel, load_float_model
from ..entropy.language_model import LanguageModel
from ..errors import ModelError
from .checkpoints import read_checkpoint, read_json, read_tensors
from .finding import find_model, find_official, find_stream_model, lm_remedy, read_config, remedy
from .store import CONFIG, FLOAT_LANGUAGE_MODEL, LANGUAGE_MODEL, WEIGHTS

DEFAULT_RATE = 24000


def load_model(name: Union[str, Path, None] = None, sample_rate: Optional[int] = None) -> Codec:
    """Load a codec.

    Args:
        name: the name of a bundled or installed model, a model folder's path (ours or
            transformers'), or a repository such as facebook/encodec_24khz in the local
            Hugging Face cache; by default the bundled or installed model of `sample_rate`.
        sample_rate: in Hz, 24000 by default; with `name`, the rate it must have.

    Raises ModelError if there is no such model or it is damaged.
    """
    codec = _load(find_model(name, sample_rate or DEFAULT_RATE).resolve())
    if sample_rate not in (None, codec.config.sample_rate):
        raise ModelError(f"model {name} works at {codec.config.sample_rate} Hz, not at {sample_rate} Hz")
    return codec


def model_for_stream(header: Header, name: Union[str, Path, None] = None) -> Codec:
    """The model that a stream was made with: found by its name or fingerprint, or `name`; its fingerprint must match.

    A stream of version 0 has a name only.
    """
    if header.version == 0:
        codec = load_model(name or find_official(header.model))
    else:
        codec = _with_fingerprint(header, name)
    config = codec.config
    if (header.sample_rate, header.channels, header.hop_length, header.bits_per_code) != \
            (config.sample_rate, config.channels, config.hop_length, config.bits_per_code) or \
            header.n_codebooks > config.codebooks:
        raise ModelError(f"its header does not fit model {codec.config.name}")
    return codec


def _with_fingerprint(header: Header, name: Union[str, Path, None]) -> Codec:
    needed = f"model {header.model} (fingerprint {header.fingerprint.hex()})"
    if name is None:
        name = find_stream_model(header.model, header.fingerprint)
        if name is None:
            raise ModelError(f"made with {needed}, which is not installed: {remedy(header.model)}")
    codec = load_model(name)
    if codec.fingerprint != header.fingerprint:
        raise ModelError(f"made with {needed}, but {name} here has fingerprint "
                         f"{codec.fingerprint.hex()}: pass the right model's folder with --model")
    return codec


@functools.lru_cache(maxsize=4)
def _load(folder: Path) -> Codec:
    config = read_config(folder)
    if "model_type" in read_json(folder / CONFIG):
        state = read_checkpoint(folder, config.name).state
    elif (folder / WEIGHTS).is_file():
        state = read_tensors(folder / WEIGHTS)
    else:
        raise ModelError(f"{folder}: {WEIGHTS} is missing")
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


def float_language_model(codec: Codec) -> FloatLanguageModel:
    """The float language model that files of version 0 were coded with; ModelError if the codec has none."""
    path = codec.folder and codec.folder / FLOAT_LANGUAGE_MODEL
    if path is None or not path.is_file():
        raise ModelError(f"coded with the official language model of {codec.config.name}, which is not installed: "
                         f"{lm_remedy(codec.config.name)}")
    return load_float_model(read_tensors(path), codec.config.frame_rate)
