import re
import unicodedata
from dataclasses import replace

import pytest

from imagescan.findings import Blame, Incomplete, ScanReport, Severity
from imagescan.gate import judge
from imagescan.links import ClosureObject, LinkReport, ObjectLinks
from imagescan.reports.layout import Terminal
from imagescan.reports.table import FINDINGS_SHOWN, NOTES_SHOWN, Detail, report_text
from imagescan.reports.tree import matching, tree_text, why_text
from tests.reports.examples import (
    BROKEN,
    HOSTILE,
    HOSTILE_TEXT,
    IMAGE,
    INCOMPLETE,
    LIBRARY_MISSING,
    LINKS,
    PARTED,
    SOUND,
)
from tests.reports.golden import assert_golden

REPORTS = {
    "broken": BROKEN,
    "sound": SOUND,
    "incomplete": INCOMPLETE,
    "hostile": HOSTILE,
    "parted": PARTED,
}
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")


def text_of(report: ScanReport, width: int, detail: Detail = Detail.NORMAL) -> str:
    return report_text(report, judge(report, Severity.ERROR), Terminal(width), detail, show_waived=True)


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("name", REPORTS)
def test_the_table_is_as_it_was_agreed(name: str, width: int) -> None:
    assert_golden(f"table-{name}-{width}.txt", text_of(REPORTS[name], width))


@pytest.mark.parametrize("width", [80, 160])
def test_the_verbose_table_has_search_grade_and_every_requester(width: int) -> None:
    assert_golden(f"table-verbose-{width}.txt", text_of(BROKEN, width, Detail.VERBOSE))


@pytest.mark.parametrize("width", [80, 160])
def test_the_tree_is_as_it_was_agreed(width: int) -> None:
    deep = tree_text(LINKS, LINKS.objects, Terminal(width), deep=True, trail=False)
    flat = tree_text(LINKS, LINKS.objects[:1], Terminal(width), deep=False, trail=True)
    assert_golden(f"tree-{width}.txt", deep + "\n" + flat)


@pytest.mark.parametrize("width", [80, 160])
def test_why_is_as_it_was_agreed(width: int) -> None:
    histories = {"/usr/lib/x86_64-linux-gnu/libpq.so.5": LIBRARY_MISSING.blame}
    assert_golden(f"why-{width}.txt", why_text(LINKS, "libpq.so.5", histories, Terminal(width)))


def test_a_sound_image_takes_at_most_four_lines() -> None:
    assert len(text_of(SOUND, 80).splitlines()) <= 4


def test_quiet_says_only_the_verdict() -> None:
    assert text_of(BROKEN, 80, Detail.QUIET) == "FAILED  registry.example.com/team/shop:1.4  linux/amd64\n"


@pytest.mark.parametrize("width", [40, 80, 160])
@pytest.mark.parametrize("detail", Detail)
@pytest.mark.parametrize("name", REPORTS)
def test_no_line_but_the_verdict_is_wider_than_the_terminal(name: str, detail: Detail, width: int) -> None:
    _, *others = text_of(REPORTS[name], width, detail).split("\n")
    assert max(map(len, others)) <= width


def test_the_verdict_is_one_line_however_long_the_name() -> None:
    report = replace(SOUND, image=replace(IMAGE, reference="registry.example.com/" + "long/" * 60))
    assert text_of(report, 80, Detail.QUIET).count("\n") == 1


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("detail", Detail)
def test_text_of_an_image_never_steers_the_terminal(detail: Detail, colour: bool) -> None:
    verdict = judge(HOSTILE, Severity.ERROR)
    shown = report_text(HOSTILE, verdict, Terminal(80, colour), detail, show_waived=True)
    own_codes = re.compile(r"\x1b\[[0-9;]*m")
    assert not CONTROL.search(own_codes.sub("", shown))
    assert "\x1b[2J" not in shown
    assert "[red]" in shown


def test_text_of_an_image_never_steers_the_terminal_in_trees() -> None:
    hostile = ObjectLinks(HOSTILE_TEXT, "program", "glibc", HOSTILE_TEXT, fault=HOSTILE_TEXT)
    report = LinkReport(IMAGE, (hostile,))
    shown = tree_text(report, report.objects, Terminal(80), deep=True, trail=True)
    shown += why_text(report, HOSTILE_TEXT, {HOSTILE_TEXT: HOSTILE.findings[0].blame}, Terminal(80))
    assert not CONTROL.search(shown)


def test_nothing_of_a_long_path_is_cut() -> None:
    path = "/" + "/".join(f"directory{number}" for number in range(30))
    report = replace(SOUND, incomplete=(Incomplete(path, "unreadable"),))
    assert path in re.sub(r"\s", "", text_of(report, 60))


@pytest.mark.parametrize(
    ("severity", "shown"), [(Severity.ERROR, FINDINGS_SHOWN), (Severity.NOTE, NOTES_SHOWN)]
)
def test_many_findings_of_one_rule_are_counted_unless_verbose(severity: Severity, shown: int) -> None:
    findings = tuple(
        replace(LIBRARY_MISSING, object=f"/bin/program{number}", severity=severity) for number in range(50)
    )
    report = replace(BROKEN, findings=findings)
    normal, verbose = text_of(report, 80), text_of(report, 80, Detail.VERBOSE)
    assert f"and {50 - shown} findings more (-v shows all)" in normal
    assert "/bin/program49" not in normal
    assert "/bin/program49" in verbose


def test_colours_are_the_terminals_own() -> None:
    shown = report_text(BROKEN, judge(BROKEN, Severity.ERROR), Terminal(80, colour=True))
    assert "\x1b[1;31mFAILED" in shown
    assert not re.search(r"\x1b\[[0-9;]*[34]8;[25]", shown)


def test_a_link_map_that_goes_in_circles_ends() -> None:
    circle = (
        ClosureObject("/a", "/a", "program", None),
        ClosureObject("/b", "/b", "cache", "/a"),
        ClosureObject("/a", "/a", "cache", "/b"),
    )
    report = LinkReport(IMAGE, (ObjectLinks("/a", "program", "glibc", None, closure=circle),))
    assert tree_text(report, report.objects, Terminal(80), deep=True, trail=False).count("[cache]") == 2


def test_a_very_deep_link_map_is_cut_with_a_mark() -> None:
    chain = [ClosureObject("/0", "/0", "program", None)]
    chain += [ClosureObject(f"/{n}", f"/{n}", "cache", f"/{n - 1}") for n in range(1, 3000)]
    report = LinkReport(IMAGE, (ObjectLinks("/0", "program", "glibc", None, closure=tuple(chain)),))
    assert "deeper than" in tree_text(report, report.objects, Terminal(80), deep=True, trail=False)


def test_an_object_is_found_by_its_path_or_its_last_part() -> None:
    by_path = matching(LINKS, "/usr/local/bin/shop")
    assert by_path == matching(LINKS, "shop") == LINKS.objects[:1]
    assert matching(LINKS, "nothing") == ()


def test_every_escape_is_visible_ascii_or_a_letter() -> None:
    for character in text_of(HOSTILE, 80):
        assert character == "\n" or unicodedata.category(character)[0] in "LMNPSZ"


def test_a_history_that_names_no_instruction_is_said_to_be_so_beside_findings_only() -> None:
    note = "one layer and no history: squashed, exported, or a plain tree of files"
    image = replace(IMAGE, history_note=note)
    assert f"  layers: {note}\n" in text_of(replace(BROKEN, image=image), 160)
    assert note not in text_of(replace(SOUND, image=image), 160)
    histories = {"/usr/lib/x86_64-linux-gnu/libpq.so.5": LIBRARY_MISSING.blame}
    links = replace(LINKS, image=image)
    assert note in why_text(links, "libpq.so.5", histories, Terminal(160))
    assert note not in why_text(links, "libpq.so.5", {}, Terminal(160))


def test_an_env_line_stands_above_a_layer() -> None:
    blame = Blame(3, "", "ENV LD_LIBRARY_PATH=/opt/lib", "set", "LD_LIBRARY_PATH")
    report = replace(BROKEN, findings=(replace(LIBRARY_MISSING, blame=(blame,)),))
    for detail in (Detail.NORMAL, Detail.VERBOSE):
        line = "layer     above 3 set LD_LIBRARY_PATH: ENV LD_LIBRARY_PATH=/opt/lib\n"
        assert line in text_of(report, 160, detail)


def test_what_could_not_be_followed_is_told_in_one_line() -> None:
    ends = ("/init: starts the services of its scan directory", "/run: more")
    text = text_of(replace(SOUND, startup_open_ends=ends), 100)
    assert "not followed: /init: starts the services of its scan directory (and 1 more)" in text
