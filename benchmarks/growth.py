"""How a cold scan's cost grows with files, with ELF files, with layers, and with images that share layers."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks import limit, scans
from benchmarks.images import reference
from benchmarks.measure import Cost, document, median
from benchmarks.synthetic import growth_images

SIZES = {
    "files": (10_000, 40_000, 160_000),
    "elf-files": (500, 2_000, 8_000),
    "layers": (2, 10, 100),
    "sharing": (1, 4, 16),
}
QUICK = {"files": (10_000,), "elf-files": (500,), "sharing": (1, 4)}


def measure(rounds: int, *, quick: bool) -> dict[str, list[dict[str, Any]]]:
    """One row for each size: its cost, the yardstick's, the ratio of CPU seconds, and what each one
    more of its kind adds to the scan of the small image that they all stand on."""
    base = _row(0, ["small"], rounds, 0.0)
    table = {"nothing": [base]}
    least = float(base["scan"]["cpu"])
    for kind, sizes in (QUICK if quick else SIZES).items():
        names = growth_images(kind, range(1, max(sizes) + 1) if kind == "sharing" else sizes)
        if kind == "sharing":
            table[kind] = [_row(size, names[:size], rounds, 0.0) for size in sizes]
        else:
            pairs = zip(sizes, names, strict=True)
            table[kind] = [_row(size, [name], rounds, least) for size, name in pairs]
    return table


def _row(size: int, names: list[str], rounds: int, base: float) -> dict[str, Any]:
    scanned, yardstick = [], []
    for _ in range(rounds):
        yardstick.append(limit.measure(names[0], "gzip"))
        scanned.append(_scan(names))
    cost, least = median(scanned), median(yardstick)
    return {
        "size": size,
        "scan": document(cost),
        "L1": document(least),
        "ratio": round(cost.cpu / least.cpu, 3),
        "cpu each": round((cost.cpu - base) / max(size, 1), 6),
    }


def _scan(names: list[str]) -> Cost:
    with tempfile.TemporaryDirectory() as cache:
        references = [reference(name, "gzip") for name in names]
        return scans.of_references(references, Path(cache), serial=True)


def text(table: dict[str, list[dict[str, Any]]]) -> str:
    """The table as text. For ``sharing``, ``L1`` is one image's and ``us each`` the cost of one image."""
    lines = [f"{'grows':<12}{'size':>9}{'CPU s':>9}{'L1 s':>9}{'ratio':>8}{'us each':>11}{'peak MB':>9}"]
    for kind, rows in table.items():
        for row in rows:
            cost, least = row["scan"], row["L1"]
            lines.append(
                f"{kind:<12}{row['size']:>9}{cost['cpu']:>9.2f}{least['cpu']:>9.2f}{row['ratio']:>8}"
                f"{row['cpu each'] * 1e6:>11.0f}{cost['peak'] / 1e6:>9.0f}"
            )
    return "\n".join(lines)
