"""Waivers and the baseline through the command line: what passes, what is said, what is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imagescan.errors import NotFound
from imagescan.findings import Severity
from imagescan.gate import judge
from imagescan.reports import json_report
from imagescan.reports.json_reader import read_reports
from tests.cli.scanner import ANSWERS, Scanned, imagescan
from tests.reports.examples import BROKEN, INCOMPLETE, PARTED, SOUND, SYMBOLS_MISSING

WAIVERS = """
waivers:
  - rule: loader/library-missing
    reason: the chart mounts it
    expires: 2999-12-31
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / ".imagescan.yaml").write_text(WAIVERS)
    return tmp_path


def report_file(directory: Path, *words: str) -> Path:
    file = directory / "before.json"
    imagescan(*words, "-o", f"json={file}", "--config", "/dev/null", directory=directory)
    return file


def test_a_waived_error_passes_the_gate(directory: Path) -> None:
    done = imagescan("broken", directory=directory)
    assert done.code == 0
    assert "1 waived" in done.stdout
    assert "the chart mounts it" not in done.stdout


def test_show_waived_lists_each_with_its_reason_and_place(directory: Path) -> None:
    shown = imagescan("broken", "--show-waived", directory=directory, environment={"COLUMNS": "200"}).stdout
    assert f"because   the chart mounts it  {directory}/.imagescan.yaml:3:5, until 2999-12-31" in shown


def test_the_json_has_what_was_waived(directory: Path) -> None:
    document = json.loads(imagescan("broken", "-o", "json", directory=directory).stdout)
    assert document["verdict"]["passed"] is True
    (waived,) = document["waived"]
    assert waived["finding"]["rule"] == "loader/library-missing"
    assert (waived["reason"], waived["expires"]) == ("the chart mounts it", "2999-12-31")


def test_an_expired_waiver_fails_the_gate_again_and_says_why(directory: Path) -> None:
    (directory / ".imagescan.yaml").write_text(WAIVERS.replace("2999", "1999"))
    done = imagescan("broken", directory=directory)
    assert done.code == 1
    assert "the waiver expired on 1999-12-31: 1 finding back" in " ".join(done.stdout.split())


def test_remarks_go_to_standard_error_where_no_table_is_read(directory: Path) -> None:
    done = imagescan("sound", "sound", "-o", "json", directory=directory)
    assert done.stderr.startswith("imagescan: remark: ")
    assert done.stderr.count("the waiver matches nothing") == 1
    assert json.loads(done.stdout)[0]["remarks"][0]["kind"] == "waiver-unused"
    assert imagescan("sound", directory=directory).stderr == ""
    assert imagescan("sound", "-q", "-o", "json", directory=directory).stderr == ""


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("waivers: all", ":1:10: waivers is a list"),
        ("waivers: [x]", ":1:11: a waiver is a mapping of rule, path"),
        ("waivers: [{pth: /x}]", ":1:12: a waiver has no 'pth' (did you mean path?)"),
        ("waivers: [{rule: a, rule: b}]", ":1:21: rule stands twice"),
        ("waivers: [{rule: start/user-unknown}]", ":1:11: a waiver needs a reason"),
        ("waivers: [{rule: start/user-unknown, reason: ' '}]", ":1:46: reason is a text"),
        ("waivers: [{rule: start/user-unknown, reason: }]", ": reason is a text"),
        ("waivers: [{rule: {a: b}, reason: r}]", ":1:18: rule is a text"),
        ("waivers: [{rule: [], reason: r}]", ":1:18: rule has 1 to 1000 entries"),
        ("waivers: [{image: x, platform: linux/arm64, reason: r}]", ":1:11: a waiver says what it waives"),
        ("waivers: [{path: opt/x, reason: r}]", ":1:18: not a path in an image: 'opt/x'"),
        ("waivers: [{path: [/a, /b/], reason: r}]", ":1:23: a path that ends in / matches no file"),
        ("waivers: [{path: /x, platform: a/b/c/d, reason: r}]", ":1:32: not a platform"),
        ("waivers: [{path: /x, reason: r, expires: 2026-02-30}]", ":1:42: not a date: '2026-02-30'"),
        ("waivers: [{path: /x, reason: r, expires: 20260228}]", ":1:42: not a date: '20260228'"),
        ("waivers: [{path: /x, reason: r, expires: never}]", ":1:42: not a date: 'never'"),
        ("waivers: [{rule: loader/gone, reason: r}]", ":1:11: the waiver names no rule: 'loader/gone'"),
        ("waivers: []\nwaivers: []", ":2:1: waivers stands twice"),
        ("waiver: []", ":1:1: unknown setting 'waiver' (did you mean waivers?)"),
        ("waivers: [" + "{path: /x, reason: r}, " * 1001 + "]", ":1:10: more than 1000 waivers"),
    ],
)
def test_a_wrong_waiver_is_one_line_with_its_place(tmp_path: Path, entry: str, message: str) -> None:
    (tmp_path / ".imagescan.yaml").write_text(entry)
    done = imagescan("sound", directory=tmp_path)
    assert done.code == 2
    assert ".imagescan.yaml:" in done.stderr
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.options == [], "no image is read for a wrong configuration"


def test_waivers_may_be_an_empty_key(tmp_path: Path) -> None:
    (tmp_path / ".imagescan.yaml").write_text("waivers:\n#  - rule: x\n")
    assert imagescan("broken", directory=tmp_path).code == 1


def test_what_the_baseline_has_passes_and_what_is_new_fails(tmp_path: Path) -> None:
    file = report_file(tmp_path, "broken")
    known = imagescan("broken", "--baseline", str(file), "--fail-on", "note", directory=tmp_path)
    assert known.code == 0
    assert "3 known before" in known.stdout
    file = report_file(tmp_path, "sound")
    assert imagescan("broken", "--baseline", str(file), directory=tmp_path).code == 1


def test_a_report_made_with_a_baseline_is_a_baseline_again(tmp_path: Path) -> None:
    file = report_file(tmp_path, "broken")
    words = ("broken", "--baseline", str(file), "-o")
    second = tmp_path / "second.json"
    assert imagescan(*words, f"json={second}", directory=tmp_path).code == 0
    assert json.loads(second.read_text())["findings"] == []
    assert imagescan("broken", "--baseline", str(second), directory=tmp_path).code == 0


def test_what_was_waived_before_is_not_in_the_baseline(directory: Path) -> None:
    file = directory / "waived.json"
    imagescan("broken", "-o", f"json={file}", directory=directory)
    done = imagescan("broken", "--baseline", str(file), "--config", "/dev/null", directory=directory)
    assert done.code == 1


def changed(file: Path, **changes: Any) -> Path:
    document = json.loads(file.read_text())
    for finding in document["findings"]:
        finding.update(changes.get("finding", {}))
    document["image"].update(changes.get("image", {}))
    file.write_text(json.dumps(document))
    return file


def test_a_finding_that_became_more_severe_is_new(tmp_path: Path) -> None:
    file = changed(report_file(tmp_path, "broken"), finding={"severity": "note"})
    assert imagescan("broken", "--baseline", str(file), directory=tmp_path).code == 1


def test_a_baseline_of_another_platform_does_not_count_and_is_remarked_on(tmp_path: Path) -> None:
    file = changed(report_file(tmp_path, "broken"), image={"platform": "linux/arm64"})
    done = imagescan("broken", "--baseline", str(file), directory=tmp_path)
    assert done.code == 1
    assert "the baseline has no report for linux/amd64" in " ".join(done.stdout.split())


def test_a_baseline_may_be_a_list_and_may_not_know_its_platform(tmp_path: Path) -> None:
    file = report_file(tmp_path, "sound", "broken")
    assert len(json.loads(file.read_text())) == 2
    assert imagescan("broken", "--baseline", str(file), directory=tmp_path).code == 0
    file = changed(report_file(tmp_path, "broken"), image={"platform": ""})
    assert imagescan("broken", "--baseline", str(file), directory=tmp_path).code == 0


def test_a_baseline_in_the_configuration_file_is_relative_to_it(tmp_path: Path) -> None:
    report_file(tmp_path, "broken")
    (tmp_path / "ci").mkdir()
    (tmp_path / "ci" / "scan.yaml").write_text("baseline: ../before.json\n")
    assert imagescan("broken", "--config", "ci/scan.yaml", directory=tmp_path).code == 0


def test_every_member_of_a_report_survives_reading_it_back() -> None:
    reports = (BROKEN, SOUND, INCOMPLETE, PARTED, replace(SOUND, findings=(SYMBOLS_MISSING,)))
    text = json_report.render([(one, judge(one, Severity.ERROR)) for one in reports], as_list=True)
    assert read_reports(text.encode(), "r") == tuple(replace(one, remarks=()) for one in reports)


REPORT = json_report.render([(BROKEN, judge(BROKEN, None))], as_list=False)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "the report is not valid JSON"),
        (b"\xff\xfe", "the report is not UTF-8 text"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[1]", "it must be an array of objects"),
        (b"{}", "is not imagescan.report/1: it has no schema"),
        (b'{"schema": "imagescan.links/1"}', "it says 'imagescan.links/1'"),
        (b'{"schema": "imagescan.report/1"}', "has no 'image': it must be an object"),
        (REPORT.replace('"error"', '"fatal"').encode(), "it must be one of error, warning, note"),
        (REPORT.replace('"fingerprint": "', '"fingerprint": 1, "x": "').encode(), "wrong 'fingerprint'"),
        (REPORT.replace('"items": [', '"items": [1,', 1).encode(), "it must be an array of strings"),
    ],
)
def test_a_file_that_is_no_report_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "b.json").write_bytes(content)
    done = imagescan("sound", "--baseline", "b.json", directory=tmp_path)
    assert (done.code, done.stdout) == (2, "")
    assert message in done.stderr
    assert "b.json" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_baseline_that_is_not_there_or_too_large_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = imagescan("sound", "--baseline", "gone.json", directory=tmp_path)
    assert "gone.json: cannot read the report: No such file or directory" in done.stderr
    monkeypatch.setattr("imagescan.reports.json_reader.MAXIMUM_REPORT", 10)
    file = report_file(tmp_path, "sound")
    assert "larger than 10 bytes" in imagescan("sound", "--baseline", str(file), directory=tmp_path).stderr


def test_an_unreadable_image_keeps_its_place_among_parted_reports(directory: Path) -> None:
    answers = {**ANSWERS, "gone": NotFound("no such image"), "other": (Scanned(SOUND),)}
    done = imagescan("broken", "gone", "other", "-o", "json", directory=directory, answers=answers)
    codes = [document["verdict"]["exit_code"] for document in json.loads(done.stdout)]
    assert codes == [0, 2, 0]
