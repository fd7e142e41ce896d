"""Where one cold scan's CPU seconds and memory go: ``python -m benchmarks.profile IMAGE``.

Runs the scan on one processor, so in this process alone and one stage after the other, and prints for each
stage its CPU seconds and the peak of resident memory when it last ended. ``--calls`` adds the
functions that cost most, by cProfile, which slows small functions down more than large ones;
``--json`` prints the stages as one document.
"""

from __future__ import annotations

import argparse
import cProfile
import importlib
import json
import pstats
import sys
import time
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

from benchmarks.serial import on_one_processor

# Module, class or nothing, function, and what is measured there. One inside another is in both.
STAGES = (
    ("imagescan.rules.catalogue", "", "load_rules", "rules"),
    ("imagescan.layers.parallel", "", "index_image", "layers"),
    ("imagescan.judging", "", "_gather", "merge, link maps and facts"),
    ("imagescan.loader.simulate", "Simulation", "closures", "  of these: link maps"),
    ("imagescan.loader.shared_binding", "SharedBinding", "__init__", "    of these: binding"),
    ("imagescan.judging", "", "gather_facts", "  of these: facts"),
    ("imagescan.judging", "", "judge", "judging"),
)
BINDING = "    of these: binding"


def peak_mib() -> int:
    """Peak of resident memory of this process so far."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) >> 10


class Stages:
    """Wraps functions of the scan and sums up what they cost."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.peaks: dict[str, int] = {}

    def wrap(self, owner: Any, name: str, stage: str) -> None:
        """Replace a function by the same one, timed."""
        function: Callable[..., object] = getattr(owner, name)
        self.seconds[stage] = 0.0

        @wraps(function)
        def timed(*arguments: object, **given: object) -> object:
            start = time.process_time()
            try:
                return function(*arguments, **given)
            finally:
                self.seconds[stage] += time.process_time() - start
                self.peaks[stage] = peak_mib()

        setattr(owner, name, timed)


def main(words: Sequence[str]) -> int:
    """Profile one scan; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile")
    parser.add_argument("image")
    parser.add_argument("--calls", action="store_true", help="list the costliest functions")
    parser.add_argument("--sort", default="tottime")
    parser.add_argument("--json", action="store_true")
    parsed = parser.parse_args(words)
    on_one_processor()
    started = time.process_time()
    from imagescan import scan
    from imagescan.options import ScanOptions

    stages = Stages()
    stages.seconds["imports"], stages.peaks["imports"] = time.process_time() - started, peak_mib()
    for module, group, name, stage in STAGES:
        owner: Any = importlib.import_module(module)
        owner = getattr(owner, group) if group else owner
        stages.wrap(owner, name, stage)
    profile = cProfile.Profile(time.process_time)
    if parsed.calls:
        profile.enable()
    scan.scan(parsed.image, ScanOptions())
    profile.disable()
    total = time.process_time()
    if parsed.json:
        print(json.dumps({"seconds": {**stages.seconds, "all": total}, "peaks": stages.peaks}))
        return 0
    for stage, seconds in stages.seconds.items():
        print(f"{seconds:8.2f} s  {stages.peaks.get(stage, 0):5d} MiB  {stage}")
    print(f"{total:8.2f} s  {peak_mib():5d} MiB  all")
    if parsed.calls:
        pstats.Stats(profile).sort_stats(parsed.sort).print_stats(45)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
