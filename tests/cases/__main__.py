"""``python -m tests.cases``: judge every case, print the table, and write it into the documentation.

Exit code 1 when a case gives anything but what it should, known defects apart.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.cases.case import outcome
from tests.cases.table import families, table, write_document


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="imagescan-cases-") as name:
        directory = Path(name)
        lines = []
        for line in table(directory):
            print(line, flush=True)
            lines.append(line)
        faults = 0
        for case in (case for family in families() for case in family.cases):
            for fault in outcome(case, directory).faults:
                print(f"{case}: {fault}" + (f" (known: {case.wrong})" if case.wrong else ""), file=sys.stderr)
                faults += not case.wrong
    write_document(lines)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
