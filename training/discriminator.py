"""Multi-scale STFT discriminator, its hinge losses and feature matching (paper section 3.4).

Smaller than the paper's (three scales of 12 channels): as dear to train as the codec itself, not ten times so.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WINDOWS = (2048, 512, 128)
WIDTH = 12
SLOPE = 0.2

Judged = list[list[Tensor]]


class Scale(nn.Module):
    """Judges the complex STFT of one window length; its layers' outputs, the last being the verdict."""

    def __init__(self, channels: int, window: int):
        super().__init__()
        self.size = window
        self.register_buffer("window", torch.hann_window(window), persistent=False)
        shapes = [(2 * channels, WIDTH, (3, 9), (1, 1), (1, 1)),
                  *((WIDTH, WIDTH, (3, 9), (1, 2), (dilation, 1)) for dilation in (1, 2, 4)),
                  (WIDTH, WIDTH, (3, 3), (1, 1), (1, 1)), (WIDTH, 1, (3, 3), (1, 1), (1, 1))]
        self.layers = nn.ModuleList(
            nn.Conv2d(inputs, outputs, kernel, stride, [(k - 1) * d // 2 for k, d in zip(kernel, dilation)], dilation)
            for inputs, outputs, kernel, stride, dilation in shapes)
        for layer in self.layers:
            # PyTorch's default lets the signal die on the way: the verdict then hangs on the biases.
            nn.init.kaiming_normal_(layer.weight, SLOPE)
            nn.init.zeros_(layer.bias)

    def forward(self, wave: Tensor) -> list[Tensor]:
        spectrum = torch.stft(wave.flatten(0, 1), self.size, self.size // 4, window=self.window, return_complex=True)
        x = torch.view_as_real(spectrum) * (2 / self.size) ** 0.5
        x = x.permute(0, 3, 2, 1).reshape(wave.shape[0], -1, x.shape[2], x.shape[1])
        # Loud low bands would drown the rest.
        x = torch.sign(x) * torch.log1p(10 * x.abs())
        outputs = []
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index + 1 < len(self.layers):
                x = F.leaky_relu(x, SLOPE)
            outputs.append(x)
        return outputs


class Discriminator(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.scales = nn.ModuleList(Scale(channels, window) for window in WINDOWS)

    def forward(self, wave: Tensor) -> Judged:
        """For every scale its layers' outputs, of `[B, C, T]`."""
        return [scale(wave) for scale in self.scales]


def discriminator_loss(real: Judged, made: Judged) -> Tensor:
    return sum(F.relu(1 - r[-1]).mean() + F.relu(1 + m[-1]).mean() for r, m in zip(real, made)) / len(real)


def adversarial_loss(made: Judged) -> Tensor:
    return sum(F.relu(1 - m[-1]).mean() for m in made) / len(made)


def feature_loss(real: Judged, made: Judged) -> Tensor:
    """Distances between the layers' outputs, relative to their size."""
    losses = [(a - b).abs().mean() / (a.abs().mean() + 1e-6)
              for r, m in zip(real, made) for a, b in zip(r[:-1], m[:-1])]
    return sum(losses) / len(losses)
