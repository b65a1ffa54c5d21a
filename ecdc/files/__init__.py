"""Files and descriptors: how streams are called, outputs that appear whole, pipes that do not wait."""

from .outputs import discard_unfinished, open_output, unfinished

SUFFIX = ".ecdc"

__all__ = ["SUFFIX", "discard_unfinished", "has_suffix", "open_output", "unfinished"]


def has_suffix(path: str) -> bool:
    """Whether a stream is called so; upper and lower case are one."""
    return path.lower().endswith(SUFFIX)
