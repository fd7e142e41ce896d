"""Where one cold scan's CPU seconds and memory go: ``python -m benchmarks.profile IMAGE [--calls]``.

Runs the scan in this process with one worker, so that stages do not overlap, and prints for each
stage its CPU seconds and the peak of resident memory when it ended; with ``--calls`` the functions
that cost most, by cProfile (which slows small functions down more than large ones).
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
import time
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any


def peak_mib() -> int:
    """Peak of resident memory of this process so far."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) >> 10


class Stages:
    """Wraps the composer's functions and remembers what each cost."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, float, int]] = []

    def wrap(self, module: Any, name: str, **overrides: object) -> None:
        """Replace ``module.name`` by the same function, timed."""
        function: Callable[..., object] = getattr(module, name)

        @wraps(function)
        def timed(*arguments: object, **words: object) -> object:
            start = time.process_time()
            try:
                return function(*arguments, **{**words, **overrides})
            finally:
                self.rows.append((name, time.process_time() - start, peak_mib()))

        setattr(module, name, timed)


def main(words: Sequence[str]) -> int:
    """Profile one scan; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile")
    parser.add_argument("image")
    parser.add_argument("--calls", action="store_true", help="list the costliest functions")
    parser.add_argument("--sort", default="tottime")
    parser.add_argument("--workers", type=int, default=1)
    parsed = parser.parse_args(words)
    started = time.process_time()
    from imagescan import scan as composer
    from imagescan.options import ScanOptions

    stages = Stages()
    stages.rows.append(("import (with the interpreter)", time.process_time(), peak_mib()))
    stages.wrap(composer, "load_rules")
    stages.wrap(composer, "index_image", workers=parsed.workers)
    for name in ("_gather", "gather_facts", "judge", "_report"):
        stages.wrap(composer, name)
    profile = cProfile.Profile(time.process_time)
    if parsed.calls:
        profile.enable()
    composer.scan(parsed.image, ScanOptions())
    profile.disable()
    for name, seconds, peak in stages.rows:
        print(f"{seconds:8.2f} s  {peak:5d} MiB  {name}")
    print(f"{time.process_time():8.2f} s  {peak_mib():5d} MiB  all ({started:.2f} s before)")
    if parsed.calls:
        pstats.Stats(profile).sort_stats(parsed.sort).print_stats(45)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
