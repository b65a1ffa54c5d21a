"""Parameter names: every layout that EnCodec checkpoints are known in -> the official names.

The official names with `weight_g` and `weight_v` are what is stored: folding weight norm
rounds differently from machine to machine, and the fingerprint must not.
"""

from __future__ import annotations

import re
from typing import Mapping

from torch import Tensor

from ..codec.config import CodecConfig
from ..codec.weights import CODEBOOK
from ..errors import ModelError

# (pattern, replacement), applied in this order to every name.
PARAMETRIZED = (
    (r"\.parametrizations\.weight\.original0$", ".weight_g"),
    (r"\.parametrizations\.weight\.original1$", ".weight_v"),
)
TRANSFORMERS = (
    (r"^(encoder|decoder)\.layers\.", r"\1.model."),
    (r"^quantizer\.layers\.(\d+)\.codebook\.", r"quantizer.vq.layers.\1._codebook."),
    (r"\.conv\.(weight|bias|weight_g|weight_v)$", r".conv.conv.\1"),
    (r"\.norm\.(weight|bias)$", r".conv.norm.\1"),
)
# For the layers of the decoder that are transposed, which transformers' names do not tell.
TRANSPOSED = ((r"\.conv\.(conv|norm)\.", lambda match: f".convtr.{match[1].replace('conv', 'convtr')}."),)

PARAMETER = re.compile(r"(encoder|decoder)\.model\.\d+\.|" + CODEBOOK.pattern)


def official_state(state: Mapping[str, Tensor], config: CodecConfig) -> dict[str, Tensor]:
    """`state`, in any known layout, under the official names in float32; what only training needs is left out.

    Raises ModelError if a name is of no known layout.
    """
    transposed = tuple(f"decoder.model.{index}." for index in transposed_layers(config))
    from_transformers = any(name.startswith("encoder.layers.") for name in state)
    result = {}
    for old, tensor in state.items():
        name = _renamed(old, PARAMETRIZED)
        if from_transformers:
            name = _renamed(name, TRANSFORMERS)
            if name.startswith(transposed):
                name = _renamed(name, TRANSPOSED)
        if not PARAMETER.match(name):
            raise ModelError(f"weights: {old} is no parameter of an EnCodec model")
        codebook = CODEBOOK.fullmatch(name)
        if codebook is None or codebook[2] == "embed":
            result[name] = tensor.float()
    return result


def _renamed(name: str, rules) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def transposed_layers(config: CodecConfig) -> list[int]:
    """Indices of the transposed convolutions in the decoder: after a convolution, what sees further, and one ELU each."""
    first = 2 + (config.lstm_layers > 0) + config.bottleneck_layers
    return [first + index * (2 + config.n_residual_layers) for index in range(len(config.ratios))]
