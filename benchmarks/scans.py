"""The scans that are measured, each as a user would start it, in a process of its own."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.images import reference
from benchmarks.measure import Cost, Failed, run

_VERDICTS = (0, 1, 2)  # passed, findings, something could not be looked at


def cold(image: str, compression: str, *, serial: bool = False) -> Cost:
    """A scan that knows nothing; ``serial`` reads one layer after the other in one thread."""
    with tempfile.TemporaryDirectory() as cache:
        return of_references((reference(image, compression),), Path(cache), serial=serial)


def warm(image: str, compression: str, cache: Path) -> Cost:
    """A scan whose layers, or whose whole result, the cache has from a scan before."""
    return of_references((reference(image, compression),), cache)


def of_references(
    references: Sequence[str], cache: Path, *, serial: bool = False, options: Sequence[str] = ()
) -> Cost:
    """Scan images in one process, with the given cache directory.

    Raises:
        Failed: no report came out.
    """
    module = "benchmarks.serial" if serial else "imagescan"
    output = cache / "report.json"
    command = [sys.executable, "-m", module, *references, "-o", "json", "--no-progress", *options]
    cost = run(command, environment=_environment(cache), accept=_VERDICTS, output=output)
    if not output.read_bytes().lstrip()[:1] == b"{" and len(references) == 1:
        raise Failed(f"no report of {references[0]}")
    return cost


def start_up() -> tuple[Cost, Cost]:
    """``imagescan --version`` and an empty Python program."""
    version = run([sys.executable, "-m", "imagescan", "--version"])
    return version, run([sys.executable, "-c", "pass"])


def _environment(cache: Path) -> dict[str, str]:
    return {
        "XDG_CACHE_HOME": str(cache),
        "IMAGESCAN_CACHE_DIR": str(cache / "imagescan"),
        "PYTHONDONTWRITEBYTECODE": "",  # an installed program has its modules compiled
    }
