from dataclasses import replace

import pytest

from imagescan.findings import Incomplete, ScanReport, Severity
from imagescan.gate import ExitCode, judge, worst
from tests.reports.examples import BROKEN, SOUND

CUT_SHORT = (Incomplete("/bin/x", "cut short"),)


@pytest.mark.parametrize(
    ("fail_on", "code"), [(Severity.ERROR, 1), (Severity.WARNING, 1), (Severity.NOTE, 1), (None, 0)]
)
def test_a_finding_at_or_above_the_threshold_fails(fail_on: Severity | None, code: int) -> None:
    assert judge(BROKEN, fail_on).exit_code == code


@pytest.mark.parametrize(("fail_on", "passed"), [(Severity.ERROR, True), (Severity.WARNING, False)])
def test_a_finding_below_the_threshold_passes(fail_on: Severity, passed: bool) -> None:
    assert judge(replace(BROKEN, findings=BROKEN.findings[1:]), fail_on).passed is passed


def test_an_incomplete_scan_never_passes_silently() -> None:
    verdict = judge(replace(SOUND, incomplete=CUT_SHORT), Severity.ERROR)
    assert (verdict.passed, verdict.exit_code) == (False, ExitCode.NOT_JUDGED)
    assert verdict.reasons == ("1 thing could not be looked at",)


def test_even_with_no_threshold_an_incomplete_scan_is_not_judged() -> None:
    assert judge(replace(SOUND, incomplete=CUT_SHORT), None).exit_code == ExitCode.NOT_JUDGED


def test_allowed_incompleteness_passes_and_says_so() -> None:
    verdict = judge(replace(SOUND, incomplete=CUT_SHORT), Severity.ERROR, allow_incomplete=True)
    assert (verdict.passed, verdict.exit_code) == (True, ExitCode.PASSED)
    assert verdict.reasons == ("1 thing could not be looked at (allowed)",)


def test_allowed_incompleteness_does_not_excuse_findings() -> None:
    report: ScanReport = replace(BROKEN, incomplete=CUT_SHORT)
    assert judge(report, Severity.ERROR, allow_incomplete=True).exit_code == ExitCode.FAILED
    assert judge(report, Severity.ERROR).exit_code == ExitCode.NOT_JUDGED


@pytest.mark.parametrize(("codes", "expected"), [([], 0), ([0, 0], 0), ([0, 1], 1), ([1, 2, 0], 2)])
def test_of_several_images_the_worst_code_wins(codes: list[int], expected: int) -> None:
    assert worst(codes) == expected
