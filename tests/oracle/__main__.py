"""``python -m tests.oracle ROOT...``: the table of counts and disagreements; ROOT is a name or a directory.

Without ROOT: every root that is made in a minute; ``all``: every root, other machines' too, and the
plugins of those with hosts. Ends with 1 when anything disagrees.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from tests.oracle.compare import compare_root
from tests.oracle.plugins import compare_plugins
from tests.oracle.roots import ROOTS, root
from tests.oracle.truth import AMD64

QUICK = ("bullseye", "bookworm", "trixie", "bookworm-musl")
WITH_HOSTS = ("bookworm", "trixie", "bookworm-large")
COLUMNS = ("files", "objects", "edges", "edges unanswered", "searches", "undefined symbols")
SHOWN = 40  # disagreements printed per root


def main(names: list[str]) -> int:
    """Compare each root, then print one line per root and the sum."""
    lines = [("root", *COLUMNS, "disagreements", "seconds")]
    sums = [0] * (len(COLUMNS) + 1)
    for name in ROOTS if names == ["all"] else names or QUICK:
        started = time.monotonic()
        directory = root(name) if name in ROOTS else Path(name)
        outcome = compare_root(directory, ROOTS[name].platform if name in ROOTS else AMD64)
        numbers = [*(outcome.counts[column] for column in COLUMNS), len(outcome.disagreements)]
        sums = [one + more for one, more in zip(sums, numbers, strict=True)]
        lines.append((name, *map(str, numbers), f"{time.monotonic() - started:.0f}"))
        _tell(lines[-1], outcome.disagreements)
    print("\n" + "\n".join(" | ".join(line) for line in (*lines, ("all", *map(str, sums), ""))))
    plugins = _plugins() if names == ["all"] else 0
    return 1 if sums[-1] + plugins else 0


def _plugins() -> int:
    """Compare the plugins of the roots that have hosts for them; how many disagree."""
    total = 0
    for name in WITH_HOSTS:
        counts, disagreements = compare_plugins(root(name))
        total += len(disagreements)
        families = ", ".join(f"{family} {count}" for family, count in sorted(counts.items()))
        _tell(
            (f"plugins of {name}", f"{counts.total()} ({families})", str(len(disagreements))), disagreements
        )
    return total


def _tell(line: tuple[str, ...], disagreements: tuple[object, ...] | list[str]) -> None:
    print(" | ".join(line), flush=True)
    for disagreement in disagreements[:SHOWN]:
        print(f"    {disagreement}", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (pytest.skip.Exception, pytest.fail.Exception) as missing:  # a tool, or root's rights
        sys.exit(str(missing))
