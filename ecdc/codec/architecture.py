"""SEANet as data (paper section 3.1): the layers of encoder and decoder in their order; engines interpret them.

`name` is where a layer's parameters stand in the official state dict, below `encoder.` or `decoder.`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .config import CodecConfig


@dataclass(frozen=True)
class Convolution:
    """T rows become ceil(T / stride): before the signal come `left` more, behind it `right` and what fills a window."""

    name: str
    channels_in: int
    channels_out: int
    kernel_size: int
    stride: int = 1
    dilation: int = 1
    causal: bool = True

    @property
    def span(self) -> int:
        """Rows of a window."""
        return (self.kernel_size - 1) * self.dilation + 1

    @property
    def right(self) -> int:
        return 0 if self.causal else (self.span - self.stride) // 2

    @property
    def left(self) -> int:
        return self.span - self.stride - self.right


@dataclass(frozen=True)
class TransposedConvolution:
    """Of kernel 2 x stride; (T + 1) x stride rows are trimmed to T x stride: `left` at the start, `right` behind."""

    name: str
    channels_in: int
    channels_out: int
    stride: int
    right: int

    @property
    def left(self) -> int:
        return self.stride - self.right


@dataclass(frozen=True)
class Residual:
    """`shortcut(x) + branch(x)`, with ELU before both convolutions of the branch; without a shortcut x itself."""

    branch: tuple[Convolution, Convolution]
    shortcut: Convolution | None


@dataclass(frozen=True)
class Recurrent:
    """LSTM layers, added to their input."""

    name: str
    dimension: int
    layers: int


@dataclass(frozen=True)
class Activation:
    """ELU."""


Layer = Convolution | TransposedConvolution | Residual | Recurrent | Activation


class _Layers:
    """Collects layers; each knows its name by its place, as in the official models."""

    def __init__(self, config: CodecConfig):
        self.config = config
        self.layers: list[Layer] = []

    @property
    def _name(self) -> str:
        return f"model.{len(self.layers)}."

    def convolve(self, channels_in: int, channels_out: int, kernel_size: int, stride: int = 1) -> None:
        name = self._name + "conv."
        self.layers.append(Convolution(name, channels_in, channels_out, kernel_size, stride, causal=self.config.causal))

    def activate(self) -> None:
        self.layers.append(Activation())

    def expand(self, channels: int, ratio: int) -> None:
        config = self.config
        right = math.ceil(ratio * config.trim_right_ratio) if config.causal else ratio // 2
        self.layers.append(TransposedConvolution(self._name + "convtr.", channels, channels // 2, ratio, right))

    def residual(self, channels: int) -> None:
        """Blocks of growing dilation."""
        config = self.config
        for index in range(config.n_residual_layers):
            self._block(channels, index, config.compress, config.true_skip)

    def context(self, channels: int) -> None:
        """What sees further than the convolutions: an LSTM, or residual blocks, whose memory has an end."""
        if self.config.lstm_layers:
            self.layers.append(Recurrent(self._name + "lstm.", channels, self.config.lstm_layers))
        for index in range(self.config.bottleneck_layers):
            self._block(channels, index, 1, True)

    def _block(self, channels: int, index: int, compress: int, true_skip: bool) -> None:
        config, name, hidden = self.config, self._name, channels // compress
        causal, size, dilation = config.causal, config.residual_kernel_size, config.dilation_base**index
        branch = (
            Convolution(name + "block.1.conv.", channels, hidden, size, dilation=dilation, causal=causal),
            Convolution(name + "block.3.conv.", hidden, channels, 1, causal=causal),
        )
        shortcut = None if true_skip else Convolution(name + "shortcut.conv.", channels, channels, 1, causal=causal)
        self.layers.append(Residual(branch, shortcut))


def encoder_layers(config: CodecConfig) -> list[Layer]:
    """Wave [B, C, T] to latents [B, D, frames]: T samples become ceil(T / hop_length) frames."""
    layers, width = _Layers(config), config.n_filters
    layers.convolve(config.channels, width, config.kernel_size)
    for ratio in reversed(config.ratios):
        layers.residual(width)
        layers.activate()
        layers.convolve(width, 2 * width, 2 * ratio, ratio)
        width *= 2
    layers.context(width)
    layers.activate()
    layers.convolve(width, config.dimension, config.last_kernel_size)
    return layers.layers


def decoder_layers(config: CodecConfig) -> list[Layer]:
    """Latents [B, D, frames] to wave [B, C, frames x hop_length]."""
    layers, width = _Layers(config), config.n_filters * 2 ** len(config.ratios)
    layers.convolve(config.dimension, width, config.kernel_size)
    layers.context(width)
    for ratio in config.ratios:
        layers.activate()
        layers.expand(width, ratio)
        width //= 2
        layers.residual(width)
    layers.activate()
    layers.convolve(config.n_filters, config.channels, config.last_kernel_size)
    return layers.layers


def parameter_shapes(config: CodecConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all parameters that an engine needs, weight norm folded and codebooks stacked."""
    shapes: dict[str, tuple[int, ...]] = {"quantizer.embed": (config.codebooks, config.codebook_size, config.dimension)}
    for prefix, layers in (("encoder.", encoder_layers(config)), ("decoder.", decoder_layers(config))):
        for layer in layers:
            for name, shape in _shapes(layer, config.norm == "time_group_norm").items():
                shapes[prefix + name] = shape
    return shapes


def _shapes(layer: Layer, norm: bool) -> dict[str, tuple[int, ...]]:
    if isinstance(layer, Activation):
        return {}
    if isinstance(layer, Residual):
        parts = [*layer.branch, *([layer.shortcut] if layer.shortcut else [])]
        return {name: shape for part in parts for name, shape in _shapes(part, norm).items()}
    if isinstance(layer, Recurrent):
        gates, size = 4 * layer.dimension, layer.dimension
        return {
            f"{layer.name}{kind}_{source}_l{index}": (gates, size) if kind == "weight" else (gates,)
            for kind in ("weight", "bias")
            for source in ("ih", "hh")
            for index in range(layer.layers)
        }
    channels = layer.channels_out
    if isinstance(layer, Convolution):
        kind, weight = "conv", (channels, layer.channels_in, layer.kernel_size)
    else:
        kind, weight = "convtr", (layer.channels_in, channels, 2 * layer.stride)
    shapes: dict[str, tuple[int, ...]] = {f"{layer.name}{kind}.weight": weight, f"{layer.name}{kind}.bias": (channels,)}
    if norm:
        shapes |= {f"{layer.name}norm.{part}": (channels,) for part in ("weight", "bias")}
    return shapes
