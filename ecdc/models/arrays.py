"""Reads the tensors of our own model folders as arrays, without PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import ModelError


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays in a safetensors file; ModelError if it is none, or holds types that NumPy does not know."""
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except OSError:
        raise
    except Exception as error:  # What safetensors makes of other bytes is anything.
        raise ModelError(f"{path}: cannot be read as a checkpoint: {' '.join(str(error).split())[:200]}") from None
