"""What the command line says of a large image: scanned once in a process, as a user would.

In: a name of ``IMAGES``. Out: the JSON report. Breaks that are known to be true are waived by the product's
own means, so that a waiver that has nothing to waive any more is noticed too.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.silence.breaks import BREAKS, Break
from tests.silence.images import IMAGES, root

LOUD = ("warning", "error")


@dataclass(frozen=True, slots=True)
class Judged:
    """How a scan ended: the exit code, the JSON report, and what was said on standard error."""

    code: int
    report: dict[str, Any]
    errors: str

    def loud(self, paths: Iterable[str] | None = None) -> list[str]:
        """Findings at warning or above, in one line each; with paths only those that concern one."""
        wanted = None if paths is None else frozenset(paths)
        return [
            f"{one['severity']} {one['rule']} {one['object']}: {one['message']}"
            for one in self.report["findings"]
            if one["severity"] in LOUD
            and (wanted is None or not wanted.isdisjoint([one["object"], *one["requesters"]]))
        ]


@cache
def judged(name: str) -> Judged:
    """The scan of one image with its true breaks waived."""
    waived = [one for one in BREAKS if one.image == name]
    options = [f"--entrypoint={IMAGES[name].starts}"]
    return scan(f"dir:{root(name)}", options, waived)


def scan(image: str, options: Sequence[str] = (), waived: Sequence[Break] = ()) -> Judged:
    """Run ``imagescan`` on an image with a gate at warning."""
    with tempfile.TemporaryDirectory() as work:
        configuration, report = Path(work, "imagescan.yaml"), Path(work, "report.json")
        configuration.write_text(yaml.safe_dump({"waivers": [one.waiver() for one in waived]}))
        command = [
            sys.executable,
            "-m",
            "imagescan",
            image,
            "--platform",
            "linux/amd64",
            "--fail-on",
            "warning",
        ]
        command += [
            "--config",
            str(configuration),
            "-o",
            f"json={report}",
            "-q",
            "--no-progress",
            "--no-cache",
        ]
        ended = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
        assert report.exists(), ended.stderr
        document = json.loads(report.read_text())
    return Judged(ended.returncode, document, ended.stderr)
