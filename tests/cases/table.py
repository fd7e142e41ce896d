"""What came of all cases, family by family: the table of ``docs/exactness.md``.

Outcomes enter, lines of Markdown leave. Only findings at warning or above count: an expected one that
is not given is missed, one that nobody expects, on a broken or a healthy image, is a false alarm.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from tests.cases.case import Case, Outcome, outcome

DOCUMENT = Path(__file__).parents[2] / "docs" / "exactness.md"
BEGIN, END = "<!-- cases: written by make cases -->", "<!-- cases: end -->"
HEADER = (
    "| family | cases | images | findings expected | found | missed | false alarms | precision | recall |",
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
)
_MODULES = {
    "A: the loader is not there": "test_a_interpreter",
    "B: symbols that musl lacks": "test_b_musl_symbols",
    "C: native modules": "test_c_native_modules",
    "D: versions": "test_d_versions",
    "E: missing libraries": "test_e_missing_libraries",
    "F: platforms": "test_f_platforms",
    "G: start": "test_g_start",
    "lessons (silence)": "test_lessons",
}


@dataclass(frozen=True)
class Family:
    """The cases of one module."""

    name: str
    cases: tuple[Case, ...]


def families() -> tuple[Family, ...]:
    """All of them, in the table's order."""
    return tuple(
        Family(name, importlib.import_module(f"tests.cases.{module}").CASES)
        for name, module in _MODULES.items()
    )


def family_of(module: ModuleType) -> Family:
    """The family that a test module has."""
    short = module.__name__.rpartition(".")[2]
    return next(Family(name, module.CASES) for name, known in _MODULES.items() if known == short)


def row(family: Family, directory: Path) -> str:
    """The line of one family; judges its cases unless this process has done so before."""
    return line(family.name, family.cases, [outcome(case, directory) for case in family.cases])


def line(name: str, cases: Iterable[Case], outcomes: Iterable[Outcome]) -> str:
    """One line of the table."""
    judged, results = list(cases), list(outcomes)
    images = sum(len(case.broken_images) + len(case.sound_images) for case in judged)
    expected, found, alarms = (
        sum(getattr(one, key) for one in results) for key in ("expected", "found", "false_alarms")
    )
    shares = (_share(found, found + alarms), _share(found, expected))
    cells = (name, len(judged), images, expected, found, expected - found, alarms, *shares)
    return f"| {' | '.join(map(str, cells))} |"


def documented() -> list[str]:
    """The lines between the markers of the document."""
    text = DOCUMENT.read_text()
    assert BEGIN in text and END in text, f"{DOCUMENT} has no section for the cases"
    return text.partition(BEGIN)[2].partition(END)[0].splitlines()


def table(directory: Path) -> Iterator[str]:
    """Header, a line for each family as it is done, and the sum."""
    yield from HEADER
    everything = families()
    for family in everything:
        yield row(family, directory)
    cases = [case for family in everything for case in family.cases]
    yield line("**all**", cases, [outcome(case, directory) for case in cases])


def write_document(lines: Iterable[str]) -> None:
    """Put the table between the markers."""
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    DOCUMENT.write_text("\n".join((f"{before}{BEGIN}", *lines, END)) + after)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"
