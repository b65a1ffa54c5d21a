"""A progress bar on standard error, if that is a terminal."""

from __future__ import annotations

import sys
from typing import Optional

from tqdm import tqdm


class ProgressBar(tqdm):
    """Counts seconds of audio; the total may be told later, or never."""

    def __init__(self, name: str, seconds: Optional[float], quiet: int):
        super().__init__(desc=name, leave=False, disable=quiet > 0 or not sys.stderr.isatty(), file=sys.stderr,
                         bar_format="{desc}: {n:.0f} s, {speed}")
        self.set_seconds(seconds)

    def set_seconds(self, seconds: Optional[float]) -> None:
        if seconds:
            self.total = seconds
            self.bar_format = ("{desc}: {percentage:3.0f}% |{bar:30}| {n:.0f}/{total:.0f} s, {speed}, "
                               "{remaining} left")

    @property
    def format_dict(self) -> dict:
        values = super().format_dict
        rate = values["rate"] or (values["n"] / values["elapsed"] if values["elapsed"] else 0)
        return {**values, "speed": f"{rate:.1f} x real time"}


def size(count: int) -> str:
    """A number of bytes for people."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{count} bytes" if unit == "bytes" else f"{value:.4g} {unit}"


def clock(seconds: float) -> str:
    """A duration for people."""
    if seconds < 60:
        return f"{seconds:.2f} s"
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
