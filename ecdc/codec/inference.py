"""How the codec computes, whatever its caller does with PyTorch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def inference() -> Iterator[None]:
    """Without gradients, and in float32 under `torch.autocast` too: a caller's mixed precision changes no code."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        stack.enter_context(torch.autocast("cpu", enabled=False))
        if torch.cuda.is_available():
            stack.enter_context(torch.autocast("cuda", enabled=False))
        yield
