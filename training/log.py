"""The log of a training run: a CSV file."""

from __future__ import annotations

import csv
from pathlib import Path


def append_row(path: Path, row: dict[str, float]) -> None:
    """Add to a CSV file whose columns may grow."""
    rows = read_rows(path) + [{name: f"{value:.6g}" if isinstance(value, float) else value
                               for name, value in row.items()}]
    names = list(dict.fromkeys(name for each in rows for name in each))
    temporary = path.with_suffix(".new")
    with open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)


def read_rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))
