"""Scores as tables: means by category and codec."""

from __future__ import annotations

from collections import defaultdict

COLUMNS = ("kbps", "visqol", "mel", "si_snr", "pesq", "stoi")


def means(rows: list[dict]) -> dict[tuple[str, str], dict[str, float]]:
    """Mean of every column by (category, coder), in the order of the rows."""
    groups: dict[tuple[str, str], list[dict]] = defaultdict(list)
    for row in rows:
        groups[row["category"], row["coder"]].append(row)
    return {
        key: {
            name: sum(row[name] for row in group if name in row) / count
            for name in COLUMNS
            if (count := sum(name in row for row in group))
        }
        for key, group in groups.items()
    }


def table(rows: list[dict]) -> str:
    """Markdown."""
    lines = ["| category | codec | " + " | ".join(COLUMNS) + " |", "|---" * (2 + len(COLUMNS)) + "|"]
    for (category, coder), values in means(rows).items():
        lines.append(
            f"| {category} | {coder} | "
            + " | ".join(f"{values[name]:.2f}" if name in values else "" for name in COLUMNS)
            + " |"
        )
    return "\n".join(lines)
