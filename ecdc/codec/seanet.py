"""SEANet encoder and decoder (paper section 3.1): wave `[B, C, T]` <-> latents `[B, D, frames]`."""

from __future__ import annotations

from .config import CodecConfig
from .layers import ELU, LSTM, Chain, Conv1d, ConvTranspose1d, Layer, ResidualBlock


def _conv_options(config: CodecConfig) -> dict:
    return {"causal": config.causal, "pad_mode": config.pad_mode, "norm": config.norm}


def _residual_blocks(config: CodecConfig, channels: int) -> list[Layer]:
    return [ResidualBlock(channels, config.residual_kernel_size, config.dilation_base ** index, config.compress,
                          config.true_skip, **_conv_options(config))
            for index in range(config.n_residual_layers)]


def _context(config: CodecConfig, channels: int) -> list[Layer]:
    """What sees further than the convolutions: an LSTM, or blocks of growing dilation, whose memory has an end."""
    lstm = [LSTM(channels, config.lstm_layers)] if config.lstm_layers else []
    return lstm + [ResidualBlock(channels, config.residual_kernel_size, config.dilation_base ** index, 1, True,
                                 **_conv_options(config))
                   for index in range(config.bottleneck_layers)]


class Encoder(Chain):
    """T samples become ceil(T / hop_length) latent frames."""

    def __init__(self, config: CodecConfig):
        conv = _conv_options(config)
        width = config.n_filters
        layers: list[Layer] = [Conv1d(config.channels, width, config.kernel_size, **conv)]
        for ratio in reversed(config.ratios):
            layers += [*_residual_blocks(config, width), ELU(),
                       Conv1d(width, 2 * width, 2 * ratio, stride=ratio, **conv)]
            width *= 2
        layers += [*_context(config, width), ELU(), Conv1d(width, config.dimension, config.last_kernel_size, **conv)]
        super().__init__(layers)


class Decoder(Chain):
    """F latent frames become F x hop_length samples."""

    def __init__(self, config: CodecConfig):
        conv = _conv_options(config)
        width = config.n_filters * 2 ** len(config.ratios)
        layers: list[Layer] = [Conv1d(config.dimension, width, config.kernel_size, **conv), *_context(config, width)]
        for ratio in config.ratios:
            layers += [ELU(), ConvTranspose1d(width, width // 2, ratio, causal=config.causal,
                                              trim_right_ratio=config.trim_right_ratio, norm=config.norm)]
            width //= 2
            layers += _residual_blocks(config, width)
        layers += [ELU(), Conv1d(config.n_filters, config.channels, config.last_kernel_size, **conv)]
        super().__init__(layers)
