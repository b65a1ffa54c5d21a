"""Neural audio compression: `read`, `write`, `info`, `load_model`, `Compressor`, `Decompressor`."""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

_PUBLIC = {
    "read": ".api", "write": ".api", "info": ".api", "StreamInfo": ".streaminfo",
    "load_model": ".models", "Compressor": ".compress", "Decompressor": ".decompress",
    "EcdcError": ".errors", "AudioError": ".errors", "ModelError": ".errors", "BitstreamError": ".errors",
}
__all__ = list(_PUBLIC)


def __getattr__(name: str):
    # Loaded on first use: importing torch takes a second that `ecdc --help` does not need.
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name], __name__), name)


def __dir__() -> list[str]:
    return [*globals(), *_PUBLIC]
