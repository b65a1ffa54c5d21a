"""Layers with explicit streaming state.

Every layer has `step(x, state, last) -> (y, state)`: `x` is the next stretch of the
signal `[B, C, T]` (any T, also 0), `state` is None at the start, `last` says that the
signal ends with this stretch. Cutting a signal into stretches changes neither the
number of output samples nor, beyond float rounding, their values; an output appears as
soon as the input it depends on has. `layer(x)` is a whole signal in one step.

Parameter names are those of the official state dict (hence the nested ModuleDicts).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LayerState = Any


class Layer(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return self.step(x, None, True)[0]

    def step(self, x: Tensor, state: LayerState, last: bool) -> tuple[Tensor, LayerState]:
        raise NotImplementedError


@dataclass
class ConvState:
    """`kept` [B, C, T]: input still needed; its first `used` samples only as material for reflection."""

    kept: Tensor
    used: int = 0
    started: bool = False


def pad(x: Tensor, left: int, right: int, mode: str) -> Tensor:
    """Pad `[B, C, T]` with zeros or by reflection; a signal too short to reflect is lengthened by zeros first."""
    if mode == "constant" or (left == 0 and right == 0):
        return F.pad(x, (left, right))
    missing = max(0, max(left, right) - x.shape[-1] + 1)
    padded = F.pad(F.pad(x, (0, missing)), (left, right), mode)
    return padded[..., :padded.shape[-1] - missing]


class Conv1d(Layer):
    """Convolution padded so that T samples become ceil(T / stride) (paper section 3.1)."""

    def __init__(self, channels_in: int, channels_out: int, kernel_size: int, *, stride: int = 1, dilation: int = 1,
                 causal: bool = True, pad_mode: str = "reflect", norm: str = "none"):
        super().__init__()
        self.conv = nn.ModuleDict({"conv": nn.Conv1d(channels_in, channels_out, kernel_size, stride, 0, dilation)})
        if norm == "time_group_norm":
            self.conv["norm"] = nn.GroupNorm(1, channels_out)
        self.stride, self.pad_mode = stride, pad_mode
        self.span = (kernel_size - 1) * dilation + 1
        total = self.span - stride
        self.right = 0 if causal else total // 2
        self.left = total - self.right
        # The padding at the end may reflect samples that the convolution itself has finished with.
        self.keep = self.right + stride if pad_mode == "reflect" and not causal else 0
        self.wait = max(self.left, self.right + stride - 1) if pad_mode == "reflect" else -1

    def step(self, x: Tensor, state: Optional[ConvState], last: bool) -> tuple[Tensor, ConvState]:
        used, started = (state.used, state.started) if state else (0, False)
        if state is not None and state.kept.shape[-1]:
            x = torch.cat([state.kept, x], dim=-1)
        if not started and not last and x.shape[-1] <= self.wait:
            return self._nothing(x), ConvState(x)
        left = 0 if started else self.left
        right = self._right(left + x.shape[-1] - used) if last else 0
        x = pad(x, left, right, self.pad_mode)
        count = max(0, (x.shape[-1] - used - self.span) // self.stride + 1)
        if count == 0:
            return self._nothing(x), ConvState(x, used, True)
        y = self.conv["conv"](x[..., used:used + (count - 1) * self.stride + self.span])
        used += count * self.stride
        drop = max(0, min(used, x.shape[-1] - self.keep)) if self.keep else used
        # A copy, so that the state does not hold the whole block alive.
        return self._norm(y), ConvState(x[..., drop:].clone(), used - drop, True)

    def _right(self, length: int) -> int:
        """Padding at the end that makes the last window full; `length` counts from the first window's start."""
        windows = -(-(length + self.right - self.span) // self.stride)
        return windows * self.stride + self.span - length

    def _norm(self, y: Tensor) -> Tensor:
        return self.conv["norm"](y) if "norm" in self.conv else y

    def _nothing(self, x: Tensor) -> Tensor:
        return x.new_zeros(x.shape[0], self.conv["conv"].out_channels, 0)


@dataclass
class TransposedState:
    """`tail` [B, C, kernel - stride]: what earlier input adds to coming output; `skip`: samples still to trim."""

    tail: Tensor
    skip: int


class ConvTranspose1d(Layer):
    """Transposed convolution of kernel 2 x stride, trimmed so that T samples become T x stride."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, *, causal: bool = True,
                 trim_right_ratio: float = 1.0, norm: str = "none"):
        super().__init__()
        self.convtr = nn.ModuleDict({"convtr": nn.ConvTranspose1d(channels_in, channels_out, 2 * stride, stride)})
        if norm == "time_group_norm":
            self.convtr["norm"] = nn.GroupNorm(1, channels_out)
        self.stride = stride
        self.right = math.ceil(stride * trim_right_ratio) if causal else stride // 2
        self.left = stride - self.right

    def step(self, x: Tensor, state: Optional[TransposedState], last: bool) -> tuple[Tensor, TransposedState]:
        conv = self.convtr["convtr"]
        if state is None:
            state = TransposedState(x.new_zeros(x.shape[0], conv.out_channels, self.stride), self.left)
        if x.shape[-1]:
            y = F.conv_transpose1d(x, conv.weight, None, self.stride)
            y[..., :self.stride] += state.tail
        else:
            y = state.tail
        ready = y.shape[-1] if last else y.shape[-1] - self.stride
        tail = y[..., y.shape[-1] - self.stride:].clone()
        y = y[..., :ready] + conv.bias[:, None]
        if "norm" in self.convtr:
            y = self.convtr["norm"](y)
        skip = min(state.skip, ready)
        y = y[..., skip:ready - self.right if last else ready]
        return y, TransposedState(tail, state.skip - skip)


class LSTM(Layer):
    """LSTM over time, added to its input (paper section 3.1)."""

    def __init__(self, dimension: int, num_layers: int):
        super().__init__()
        self.lstm = nn.LSTM(dimension, dimension, num_layers)

    def step(self, x: Tensor, state: Optional[tuple[Tensor, Tensor]], last: bool) -> tuple[Tensor, LayerState]:
        if x.shape[-1] == 0:
            return x, state
        y, state = self.lstm(x.permute(2, 0, 1), state)
        return x + y.permute(1, 2, 0), state


class ELU(Layer):
    def step(self, x: Tensor, state: None, last: bool) -> tuple[Tensor, None]:
        return F.elu(x), None


class Chain(Layer):
    """Layers one after another; the state is the list of theirs."""

    def __init__(self, layers: list[Layer]):
        super().__init__()
        self.model = nn.ModuleList(layers)

    def step(self, x: Tensor, state: Optional[list[LayerState]], last: bool) -> tuple[Tensor, list[LayerState]]:
        return run(self.model, x, state, last)


def run(layers: nn.ModuleList, x: Tensor, state: Optional[list[LayerState]],
        last: bool) -> tuple[Tensor, list[LayerState]]:
    states = []
    for layer, before in zip(layers, state or [None] * len(layers)):
        x, after = layer.step(x, before, last)
        states.append(after)
    return x, states


@dataclass
class ResidualState:
    """`waiting` [B, C, T]: the shortcut's output for which the branch, which may lag, has nothing yet."""

    branch: Optional[list[LayerState]]
    shortcut: LayerState
    waiting: Tensor


class ResidualBlock(Layer):
    """`shortcut(x) + branch(x)` (paper section 3.1)."""

    def __init__(self, channels: int, kernel_size: int, dilation: int, compress: int, true_skip: bool, **conv: Any):
        super().__init__()
        hidden = channels // compress
        self.block = nn.ModuleList([ELU(), Conv1d(channels, hidden, kernel_size, dilation=dilation, **conv),
                                    ELU(), Conv1d(hidden, channels, 1, **conv)])
        self.shortcut = None if true_skip else Conv1d(channels, channels, 1, **conv)

    def step(self, x: Tensor, state: Optional[ResidualState], last: bool) -> tuple[Tensor, ResidualState]:
        y, branch = run(self.block, x, state and state.branch, last)
        skip, shortcut = (x, None) if self.shortcut is None else \
            self.shortcut.step(x, state and state.shortcut, last)
        if state is not None and state.waiting.shape[-1]:
            skip = torch.cat([state.waiting, skip], dim=-1)
        ready = y.shape[-1]
        return y + skip[..., :ready], ResidualState(branch, shortcut, skip[..., ready:].clone())
