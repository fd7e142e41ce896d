"""``python -m tests.silence``: the table of images and findings, printed and written into docs/exactness.md.

``python -m tests.silence plugins`` opens every plugin of the images in its real host programs instead, and
ends with 1 when one of them does something else than the model says.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.oracle.plugins import compare_plugins
from tests.silence.breaks import BREAKS
from tests.silence.images import IMAGES, root
from tests.silence.scans import Judged, judged

DOCUMENT = Path("docs/exactness.md")
BEGIN, END = "<!-- silence: begin -->\n", "<!-- silence: end -->\n"
HEAD = (
    "| image | ELF files | scripts | errors | warnings | notes | true breaks |\n"
    "|---|---:|---:|---:|---:|---:|---:|\n"
)
UNASKED = "did not run the probe"  # i386 hosts: the probe is for amd64
WITH_HOSTS = ("servers", "desktop", "newer", "registries")


def main(words: list[str]) -> int:
    """Print one row for each image, then write the tables."""
    if words == ["plugins"]:
        return _plugins()
    rows, failed = [], False
    for name, image in IMAGES.items():
        outcome = judged(name)
        rows.append(f"| {image.title} | {' | '.join(_numbers(outcome))} |\n")
        print(rows[-1], end="", flush=True)
        for line in (*outcome.loud(), *outcome.errors.splitlines()):
            print(f"    {line}")
        failed |= outcome.code != 0
    _write("".join((BEGIN, HEAD, *rows, "\n", *_breaks(), END)))
    return int(failed)


def _numbers(outcome: Judged) -> list[str]:
    counts, findings = outcome.report["counts"], outcome.report["findings"]
    by_severity = [
        sum(one["severity"] == level for one in findings) for level in ("error", "warning", "note")
    ]
    numbers = (counts["elf_files"], counts["scripts"], *by_severity, len(outcome.report["waived"]))
    return [f"{number:,}" for number in numbers]


def _breaks() -> Iterator[str]:
    yield "| true break | in | because |\n|---|---|---|\n"
    for one in BREAKS:
        yield f"| `{one.paths[0]}` | {IMAGES[one.image].title} | {one.because} |\n"


def _write(text: str) -> None:
    document = DOCUMENT.read_text()
    before, _, rest = document.partition(BEGIN)
    DOCUMENT.write_text(before + text + rest.partition(END)[2])


def _plugins() -> int:
    total = 0
    for name in WITH_HOSTS:
        counts, differences = compare_plugins(root(name))
        disagreements = [line for line in differences if not line.endswith(UNASKED)]
        unasked = len(differences) - len(disagreements)
        print(
            f"{name}: {counts.total() - unasked} plugins, {len(disagreements)} disagreements, {unasked} left"
        )
        print("".join(f"    {line}\n" for line in disagreements), end="", flush=True)
        total += len(disagreements)
    return int(total > 0)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (pytest.skip.Exception, pytest.fail.Exception) as missing:  # a tool, or root's rights
        sys.exit(str(missing))
