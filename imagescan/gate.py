"""From a report to a verdict: did the image pass, and which exit code says so.

A ``ScanReport`` and the threshold enter, a ``Verdict`` leaves. Exit codes: 0 passed, 1 findings
at or above the threshold, 2 not judged because something could not be looked at. 2 wins over 1
wins over 0, within one image and over several.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from imagescan.dataclasses import dataclass
from imagescan.findings import ScanReport, Severity


class ExitCode(IntEnum):
    """What the process tells its caller."""

    PASSED = 0
    FAILED = 1
    NOT_JUDGED = 2


@dataclass(frozen=True, slots=True)
class Verdict:
    """``reasons`` are short sentences, empty when the image passed without reserve; an allowed
    incompleteness is a reason although ``passed`` is true."""

    passed: bool
    exit_code: ExitCode
    reasons: tuple[str, ...] = ()


def judge(report: ScanReport, fail_on: Severity | None, allow_incomplete: bool = False) -> Verdict:
    """Weigh a report. ``fail_on`` is the lowest severity that fails the gate, None for never."""
    failing = failing_findings(report, fail_on)
    reasons = []
    if failing and fail_on is not None:
        reasons.append(f"{_counted(failing, 'finding')} at or above {fail_on.value}")
    if report.incomplete:
        allowed = " (allowed)" if allow_incomplete else ""
        reasons.append(f"{_counted(len(report.incomplete), 'thing')} could not be looked at{allowed}")
    if report.incomplete and not allow_incomplete:
        return Verdict(False, ExitCode.NOT_JUDGED, tuple(reasons))
    if failing:
        return Verdict(False, ExitCode.FAILED, tuple(reasons))
    return Verdict(True, ExitCode.PASSED, tuple(reasons))


def failing_findings(report: ScanReport, fail_on: Severity | None) -> int:
    """How many findings are at or above the threshold."""
    if fail_on is None:
        return 0
    return sum(finding.severity.rank >= fail_on.rank for finding in report.findings)


def worst(codes: Iterable[int]) -> ExitCode:
    """The exit code for several images: the highest, PASSED when there is none."""
    return ExitCode(max(codes, default=ExitCode.PASSED))


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
