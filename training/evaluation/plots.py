"""The picture of an evaluation: quality against bit rate."""

from __future__ import annotations

from pathlib import Path

from ..codec.pictures import pyplot
from .tables import means


def plot_quality(rows: list[dict], picture: Path) -> None:
    """ViSQOL and mel distance against the real bit rate, a line for each codec, a row for each category."""
    plt = pyplot()
    lines: dict[str, dict[str, list[dict[str, float]]]] = {}
    for (category, coder), values in means(rows).items():
        lines.setdefault(category, {}).setdefault(coder.rsplit(" ", 1)[0], []).append(values)
    figure, axes = plt.subplots(len(lines), 2, figsize=(12, 4 * len(lines)), squeeze=False)
    for row, (category, coders) in zip(axes, lines.items()):
        for axis, name in zip(row, ("visqol", "mel")):
            for coder, points in coders.items():
                axis.plot([point["kbps"] for point in points], [point[name] for point in points], "o-", label=coder)
            axis.set(title=category, xlabel="kbps", ylabel=name)
            axis.grid(True)
            axis.legend()
    figure.tight_layout()
    figure.savefig(picture, dpi=80)
    plt.close(figure)
