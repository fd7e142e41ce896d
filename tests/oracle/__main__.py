"""``python -m tests.oracle ROOT...``: the table of counts and disagreements; ROOT is a name or a directory.

Without ROOT: every root that is made in a minute; ``all``: the large one and other machines' too.
Ends with 1 when anything disagrees.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tests.oracle.compare import compare_root
from tests.oracle.roots import ROOTS, root
from tests.oracle.truth import AMD64

QUICK = ("bullseye", "bookworm", "trixie", "bookworm-musl")
COLUMNS = ("files", "objects", "edges", "edges unanswered", "searches", "undefined symbols")
SHOWN = 40  # disagreements printed per root


def main(names: list[str]) -> int:
    """Compare each root and print one line per root."""
    print(" | ".join(("root", *COLUMNS, "disagreements", "seconds")))
    total = 0
    for name in ROOTS if names == ["all"] else names or QUICK:
        started = time.monotonic()
        directory = root(name) if name in ROOTS else Path(name)
        outcome = compare_root(directory, ROOTS[name].platform if name in ROOTS else AMD64)
        cells = [str(outcome.counts[column]) for column in COLUMNS]
        seconds = f"{time.monotonic() - started:.1f}"
        print(" | ".join((name, *cells, str(len(outcome.disagreements)), seconds)), flush=True)
        for disagreement in outcome.disagreements[:SHOWN]:
            print(f"    {disagreement}")
        total += len(outcome.disagreements)
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
