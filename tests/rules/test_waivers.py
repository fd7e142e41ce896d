"""A waiver keeps from the gate what it covers whole, as long as it holds, and is missed when it does not."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import date

import pytest

from imagescan.errors import RuleError
from imagescan.findings import Finding, Incomplete, RemarkKind, ScanReport
from imagescan.rules.catalogue import builtin_rules
from imagescan.rules.waivers import Waiver, matches_path, uncovered, waive, with_rule_ids
from tests.reports.examples import BROKEN, IMAGE, LIBRARY_MISSING, NOTE, SOUND, SYMBOLS_MISSING

TODAY = date(2026, 11, 23)
SHOP = ("/usr/local/bin/shop", "/usr/local/lib/shop/report.so", "/usr/local/lib/shop/stock.so")
VERSIONS = replace(
    LIBRARY_MISSING,
    rule="abi/version-missing",
    items=("GLIBC_2.38 (libc.so.6)", "GLIBCXX_3.4.32 (libstdc++.so.6)"),
)


def waiver(where: str = "w:1:1", **conditions: object) -> Waiver:
    return Waiver("because", where, **conditions)  # type: ignore[arg-type]


def waived(report: ScanReport, *waivers: Waiver) -> ScanReport:
    return waive([report], waivers, TODAY)[0]


def kinds(report: ScanReport) -> list[RemarkKind]:
    return [remark.kind for remark in report.remarks]


def test_a_waived_finding_leaves_the_findings_and_stays_in_the_report_with_its_reason() -> None:
    report = waived(BROKEN, waiver(rules=("loader/library-missing",), expires=date(2027, 1, 1)))
    assert report.findings == BROKEN.findings[1:]
    (one,) = report.waived
    assert one.finding == LIBRARY_MISSING
    assert (one.reason, one.expires, one.where) == ("because", "2027-01-01", "w:1:1")
    assert report.remarks == ()


@pytest.mark.parametrize(
    ("conditions", "finding"),
    [
        ({"rules": ("loader/*",)}, LIBRARY_MISSING),
        ({"rules": ("abi/*", "loader/library-missing")}, LIBRARY_MISSING),
        ({"paths": SHOP}, LIBRARY_MISSING),
        ({"paths": ("/usr/local/**",)}, LIBRARY_MISSING),
        ({"sonames": ("libpq.so.*",)}, LIBRARY_MISSING),
        ({"symbols": ("SSL_get?_group_name",)}, SYMBOLS_MISSING),
        ({"symbols": ("GLIBC*",)}, VERSIONS),
        ({"sonames": ("libc.so.6", "libstdc++.so.6")}, VERSIONS),
        ({"symbols": ("f",)}, replace(SYMBOLS_MISSING, items=("f@LIB_1",))),
        ({"symbols": ("f@LIB_1",)}, replace(SYMBOLS_MISSING, items=("f@LIB_1",))),
    ],
)
def test_it_covers(conditions: dict[str, tuple[str, ...]], finding: Finding) -> None:
    assert uncovered(waiver(**conditions), finding) == ()


@pytest.mark.parametrize(
    ("conditions", "finding", "left"),
    [
        ({"paths": SHOP[:2]}, LIBRARY_MISSING, SHOP[2:]),
        ({"paths": SYMBOLS_MISSING.requesters}, SYMBOLS_MISSING, (SYMBOLS_MISSING.object,)),
        ({"symbols": ("GLIBC_*",)}, VERSIONS, ("GLIBCXX_3.4.32",)),
        ({"sonames": ("libc.so.6",)}, VERSIONS, ("libstdc++.so.6",)),
        ({"symbols": ("SSL_get[0-7]_*",)}, SYMBOLS_MISSING, ("SSL_get8_group_name",)),
    ],
)
def test_what_it_leaves_of_a_finding_counts(
    conditions: dict[str, tuple[str, ...]], finding: Finding, left: tuple[str, ...]
) -> None:
    assert uncovered(waiver(**conditions), finding) == left
    report = waived(replace(SOUND, findings=(finding,)), waiver(**conditions))
    assert report.findings == (finding,)
    assert kinds(report) == [RemarkKind.WAIVER_PARTIAL]
    assert left[0] in report.remarks[0].message


@pytest.mark.parametrize(
    "conditions",
    [
        {"rules": ("loader/library-unusable",)},
        {"rules": ("loader/library-missing",), "paths": ("/opt/**",)},
        {"sonames": ("libpq.so",)},
        {"symbols": ("libpq*",)},
        {"rules": ("abi/*",), "sonames": ("SSL*",)},
        {"paths": ("/usr/local/bin/*",), "rules": ("abi/*",)},
    ],
)
def test_it_is_about_something_else(conditions: dict[str, tuple[str, ...]]) -> None:
    assert all(uncovered(waiver(**conditions), finding) is None for finding in BROKEN.findings)
    report = waived(BROKEN, waiver(**conditions))
    assert report.findings == BROKEN.findings
    assert kinds(report) == [RemarkKind.WAIVER_UNUSED]


def test_on_its_last_day_a_waiver_holds_and_on_the_next_its_finding_is_back() -> None:
    ends_today = waiver(rules=("loader/*",), expires=TODAY)
    assert LIBRARY_MISSING not in waived(BROKEN, ends_today).findings
    report = waived(BROKEN, replace(ends_today, expires=date(2026, 11, 22)))
    assert report.findings == BROKEN.findings
    assert report.remarks[0].message == "the waiver expired on 2026-11-22: 1 finding back (because)"


def test_an_expired_waiver_that_nothing_needs_is_to_be_removed() -> None:
    report = waived(SOUND, waiver(rules=("loader/*",), expires=date(2026, 1, 1)))
    assert kinds(report) == [RemarkKind.WAIVER_EXPIRED]
    assert "nothing needs it now" in report.remarks[0].message


@pytest.mark.parametrize(
    ("pattern", "applies"),
    [
        ("registry.example.com/team/*", True),
        ("*/shop:1.4", True),
        ("shop:*", False),
        ("registry.example.com/team/shop:1.5", False),
    ],
)
def test_an_image_pattern_decides_where_a_waiver_applies(pattern: str, applies: bool) -> None:
    report = waived(BROKEN, waiver(rules=("*",), images=(pattern,)))
    assert (report.findings == ()) is applies
    assert report.remarks == (), "a waiver of another image is not unused"


@pytest.mark.parametrize(
    ("reference", "pattern"),
    [
        ("docker.io/library/debian:12", "debian:*"),
        ("docker.io/grafana/grafana:11", "grafana/*"),
        ("docker:shop:1", "shop:*"),
        ("oci:build/shop", "build/shop"),
        ("localhost:5000/shop:1", "localhost:5000/shop:*"),
    ],
)
def test_an_image_is_known_by_its_short_names_too(reference: str, pattern: str) -> None:
    report = replace(BROKEN, image=replace(IMAGE, reference=reference))
    assert waived(report, waiver(rules=("*",), images=(pattern,))).findings == ()


def test_a_platform_decides_where_a_waiver_applies() -> None:
    assert waived(BROKEN, waiver(rules=("*",), platforms=("linux/amd64",))).findings == ()
    arm64 = waiver(rules=("*",), platforms=("linux/arm64",))
    assert waived(BROKEN, arm64).findings == BROKEN.findings
    assert waived(replace(BROKEN, image=replace(IMAGE, platform="linux/arm64/v8")), arm64).findings == ()


def test_a_waiver_that_one_image_of_the_run_needs_is_not_unused_in_the_others() -> None:
    needed, unneeded = waiver("w:1:1", rules=("loader/*",)), waiver("w:2:1", rules=("start/*",))
    broken, sound = waive([BROKEN, SOUND], [needed, unneeded], TODAY)
    assert [remark.where for remark in broken.remarks] == ["w:2:1"]
    assert [remark.where for remark in sound.remarks] == ["w:2:1"]


def test_of_two_waivers_for_one_finding_neither_is_unused() -> None:
    report = waived(BROKEN, waiver("w:1:1", rules=("loader/*",)), waiver("w:2:1", sonames=("libpq.so.5",)))
    assert [one.where for one in report.waived] == ["w:1:1"]
    assert report.remarks == ()


def test_of_an_image_that_was_not_read_to_its_end_no_waiver_is_called_unused() -> None:
    report = replace(SOUND, incomplete=(Incomplete("/bin/x", "cut short"),))
    assert waived(report, waiver(rules=("loader/*",))).remarks == ()


def test_aliases_become_ids_and_globs_stay() -> None:
    named = waiver(rules=("abi/glibc-too-old", "loader/*", "start/user-unknown"))
    (one,) = with_rule_ids([named], builtin_rules())
    assert one.rules == ("abi/version-missing", "loader/*", "start/user-unknown")


@pytest.mark.parametrize(
    ("name", "advice"),
    [("loader/libary-missing", "did you mean loader/library-missing?"), ("x/*", "imagescan rules list")],
)
def test_a_rule_that_does_not_exist_is_an_error_at_the_waivers_place(name: str, advice: str) -> None:
    with pytest.raises(RuleError) as caught:
        with_rule_ids([waiver("w:9:3", rules=(name,))], builtin_rules())
    assert str(caught.value).startswith("w:9:3: the waiver names no rule")
    assert advice in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/opt/*", "/opt/a", True),
        ("/opt/*", "/opt/a/b", False),
        ("/opt/**", "/opt/a/b", True),
        ("/opt/**/b", "/opt/b", True),
        ("/opt/**/b", "/opt/x/y/b", True),
        ("/opt/**/b", "/opt/x/y/c", False),
        ("**/lib*.so", "/usr/lib/libx.so", True),
        ("**/a/*/c", "/a/a/b/c", True),
        ("/opt/**/x/**/y", "/opt/x/1/x/2/y", True),
        ("/opt/**/x/**/y", "/opt/1/2/y", False),
        ("/Opt", "/opt", False),
        ("/[ab]/?", "/a/b", True),
        ("/opt", "/opt/a", False),
        ("/opt/a", "/opt", False),
    ],
)
def test_paths_are_matched_component_by_component(pattern: str, path: str, matches: bool) -> None:
    assert matches_path(path, pattern) is matches


def test_no_path_of_an_image_makes_matching_slow() -> None:
    started = time.process_time()
    assert not matches_path("/a" * 2000, "**/a/" * 8 + "b")
    assert not matches_path("/" + "a" * 4000, "/" + "*a" * 20 + "b")
    assert time.process_time() - started < 10


def test_notes_may_be_waived_like_anything_else() -> None:
    assert NOTE not in waived(BROKEN, waiver(paths=("**/*.node",))).findings
