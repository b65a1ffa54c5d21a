"""The language model in floats, with the official names: what is trained, and what the exact one is made from."""

from __future__ import annotations

import math
from typing import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FloatLanguageModel(nn.Module):
    """Official architecture (paper section 3.3): previous codes [B, K, T] -> log-probabilities of the next.

    With `inner`, head k also sees the codes 0 ... k-1 of its own frame, each through an
    embedding that is added to the hidden state.
    """

    def __init__(self, codebooks: int = 32, codebook_size: int = 1024, dimension: int = 200, layers: int = 5,
                 heads: int = 8, hidden: int = 800, window: int = 262, inner: bool = False):
        super().__init__()
        self.codebook_size, self.heads, self.window = codebook_size, heads, window
        self.emb = nn.ModuleList(nn.Embedding(codebook_size + 1, dimension) for _ in range(codebooks))
        self.linears = nn.ModuleList(nn.Linear(dimension, codebook_size) for _ in range(codebooks))
        self.inner = nn.ModuleList(nn.Embedding(codebook_size, dimension) for _ in range(codebooks - 1 if inner else 0))
        self.transformer = nn.Module()
        self.transformer.norm_in = nn.LayerNorm(dimension)
        # A container of parameters under the official names; its own forward is not used.
        self.transformer.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(dimension, heads, hidden, batch_first=True, dropout=0.0) for _ in range(layers))

    @classmethod
    def from_state(cls, state: dict[str, Tensor], heads: int, window: int) -> FloatLanguageModel:
        codebooks = sum(name.startswith("emb.") for name in state)
        size, dimension = state["linears.0.weight"].shape
        model = cls(codebooks, size, dimension, sum(name.endswith("norm1.weight") for name in state), heads,
                    len(state["transformer.layers.0.linear1.bias"]), window,
                    any(name.startswith("inner.") for name in state))
        model.load_state_dict({name: tensor.float() for name, tensor in state.items()})
        return model

    def hidden(self, previous: Tensor, watch: Callable[[str, Tensor], None] = lambda name, x: None) -> Tensor:
        """Hidden states [B, T, D]; `watch` sees every activation that the exact model rounds."""
        batch, codebooks, frames = previous.shape
        x = torch.stack([self.emb[k](previous[:, k]) for k in range(codebooks)]).sum(0)
        watch("embed", x)
        x = self.transformer.norm_in(x) + position_table(frames, x.shape[-1]).to(x)
        watch("norm_in", x)
        # One vector of zeros stands before the first frame.
        key, query = torch.arange(-1, frames), torch.arange(frames)[:, None]
        visible = ((query >= key) & (query - key <= self.window)).to(x.device)
        for index, layer in enumerate(self.transformer.layers):
            x = self._layer(layer, x, visible, lambda name, value: watch(f"layers.{index}.{name}", value))
        return x

    def _layer(self, layer: nn.TransformerEncoderLayer, x: Tensor, visible: Tensor, watch: Callable) -> Tensor:
        attention = layer.self_attn
        qkv = F.linear(F.pad(x, (0, 0, 1, 0)), attention.in_proj_weight, attention.in_proj_bias)
        watch("qkv", qkv)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in qkv.chunk(3, dim=-1))
        mixed = F.scaled_dot_product_attention(q[:, :, 1:], k, v, visible).transpose(1, 2).flatten(-2)
        x = x + attention.out_proj(mixed)
        watch("sum1", x)
        x = layer.norm1(x)
        watch("norm1", x)
        up = layer.linear1(x)
        watch("up", up)
        x = x + layer.linear2(F.gelu(up))
        watch("sum2", x)
        x = layer.norm2(x)
        watch("norm2", x)
        return x

    def log_probabilities(self, hidden: Tensor, codes: Tensor) -> Tensor:
        """[B, K, T, size] for hidden states [B, T, D] and, where there is `inner`, the codes [B, K, T] themselves."""
        logits = []
        for k in range(codes.shape[1]):
            if k and len(self.inner):
                hidden = hidden + self.inner[k - 1](codes[:, k - 1])
            logits.append(self.linears[k](hidden))
        return F.log_softmax(torch.stack(logits, dim=1), dim=-1)

    def bits(self, codes: Tensor) -> Tensor:
        """Ideal code length of every code [B, K, T], in bits."""
        previous = F.pad(codes + 1, (1, 0))[..., :-1]
        log = self.log_probabilities(self.hidden(previous), codes)
        return -log.gather(-1, codes[..., None])[..., 0] / math.log(2)


def position_table(frames: int, dimension: int, max_period: float = 10000.0) -> Tensor:
    """Sinusoidal positions [frames, D], cosines first, as the official model has them."""
    half = dimension // 2
    phase = torch.arange(frames)[:, None] / max_period ** (torch.arange(half) / (half - 1))
    return torch.cat([torch.cos(phase), torch.sin(phase)], dim=-1)


def load_float_model(state: dict[str, Tensor], frame_rate: int, heads: int = 8,
                     window_seconds: float = 3.5) -> FloatLanguageModel:
    """A model from a state dict with official names, in any float type."""
    return FloatLanguageModel.from_state(state, heads, int(window_seconds * frame_rate)).eval()
