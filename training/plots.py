"""Pictures of a training run."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from .log import read_rows
from .losses import log_mel


def _pyplot():
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    return pyplot


def plot_log(log: Path, picture: Path) -> None:
    """Every column of a CSV log against its steps."""
    pyplot = _pyplot()
    rows = read_rows(log)
    names = [name for name in rows[0] if name not in ("step", "time")]
    columns = 4
    figure, axes = pyplot.subplots(-(-len(names) // columns), columns, figsize=(16, 3 * -(-len(names) // columns)),
                                   squeeze=False)
    for axis, name in zip(axes.flat, names):
        points = [(int(row["step"]), float(row[name])) for row in rows if row.get(name)]
        axis.plot(*zip(*points), ".-")
        axis.set_title(name)
        axis.grid(True)
    figure.tight_layout()
    figure.savefig(picture, dpi=70)
    pyplot.close(figure)


def plot_spectrograms(pairs: dict[str, tuple[Tensor, Tensor]], rate: int, picture: Path) -> None:
    """Mel spectrograms of (original, decoded) waves, one pair a row."""
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(len(pairs), 2, figsize=(14, 3 * len(pairs)), squeeze=False)
    for row, (name, waves) in zip(axes, pairs.items()):
        for axis, title, wave in zip(row, ("original", "decoded"), waves):
            axis.imshow(log_mel(wave[:, :1], rate, 1024)[0].numpy(), origin="lower", aspect="auto",
                        vmin=-5, vmax=-1)
            axis.set_title(f"{name}, {title}")
    figure.tight_layout()
    figure.savefig(picture, dpi=70)
    pyplot.close(figure)


def plot_quality(rows: list[dict], picture: Path) -> None:
    """ViSQOL and mel distance against the real bit rate, a line for each codec, a row for each category."""
    from .evaluate import means
    pyplot = _pyplot()
    lines: dict[str, dict[str, list[dict[str, float]]]] = {}
    for (category, coder), values in means(rows).items():
        lines.setdefault(category, {}).setdefault(coder.rsplit(" ", 1)[0], []).append(values)
    figure, axes = pyplot.subplots(len(lines), 2, figsize=(12, 4 * len(lines)), squeeze=False)
    for row, (category, coders) in zip(axes, lines.items()):
        for axis, name in zip(row, ("visqol", "mel")):
            for coder, points in coders.items():
                axis.plot([point["kbps"] for point in points], [point[name] for point in points], "o-", label=coder)
            axis.set(title=category, xlabel="kbps", ylabel=name)
            axis.grid(True)
            axis.legend()
    figure.tight_layout()
    figure.savefig(picture, dpi=80)
    pyplot.close(figure)
