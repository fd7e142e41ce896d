import json
from pathlib import Path

import pytest

from imagescan.errors import DigestMismatch, NotFound
from tests.cli.scanner import ANSWERS, imagescan


@pytest.mark.parametrize(("image", "code"), [("sound", 0), ("broken", 1), ("incomplete", 2)])
def test_the_exit_code_says_passed_failed_or_not_judged(image: str, code: int) -> None:
    assert imagescan(image).code == code


def test_scan_may_be_said_or_left_out() -> None:
    assert imagescan("scan", "broken").stdout == imagescan("broken").stdout


def test_an_image_named_like_a_command_is_reached_through_scan() -> None:
    answers = {"tree": ANSWERS["sound"]}
    assert imagescan("scan", "tree", answers=answers).code == 0


def test_options_may_stand_before_the_command() -> None:
    assert json.loads(imagescan("-o", "json", "tree", "sound").stdout)["schema"] == "imagescan.links/1"


def test_results_go_to_standard_output_and_nothing_else_does() -> None:
    done = imagescan("broken")
    assert done.stdout.startswith("FAILED  ")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("words", "code"),
    [(["--fail-on=never"], 0), (["--fail-on", "note"], 1), (["--fail-on", "warning"], 1)],
)
def test_the_threshold_decides(words: list[str], code: int) -> None:
    assert imagescan("broken", *words).code == code


def test_allow_incomplete_passes_and_still_says_what_is_missing() -> None:
    done = imagescan("incomplete", "--allow-incomplete")
    assert done.code == 0
    assert "/opt/tool/cut-short" in done.stdout


def test_every_image_is_judged_and_the_worst_code_wins() -> None:
    answers = {**ANSWERS, "gone": NotFound("no such image", where="gone", advice="check the name")}
    done = imagescan("gone", "broken", "sound", answers=answers)
    assert done.code == 2
    assert done.stderr == "imagescan: error: gone: no such image (check the name)\n"
    assert [line.split()[0] for line in done.stdout.splitlines() if line.endswith("linux/amd64")] == [
        "FAILED",
        "PASSED",
    ]
    assert imagescan("broken", "sound").code == 1


def test_an_unreadable_image_has_its_place_in_the_json() -> None:
    answers = {**ANSWERS, "cut": DigestMismatch("wrong digest", where="layer 3")}
    documents = json.loads(imagescan("sound", "cut", "-o", "json", answers=answers).stdout)
    assert [document["verdict"]["exit_code"] for document in documents] == [0, 2]
    assert documents[1]["image"]["reference"] == "cut"
    assert documents[1]["incomplete"][0]["reason"] == "layer 3: wrong digest"


def test_an_error_always_names_its_image() -> None:
    answers = {"oci:/some/where:tag": NotFound("no index.json"), "a": NotFound("gone", where="a")}
    assert imagescan("oci:/some/where:tag", answers=answers).stderr == (
        "imagescan: error: oci:/some/where:tag: no index.json\n"
    )
    assert imagescan("a", answers=answers).stderr == "imagescan: error: a: gone\n"


def test_a_single_unreadable_image_gives_one_line_in_all() -> None:
    done = imagescan("cut", answers={"cut": NotFound("no such image")})
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1


def test_json_of_one_image_is_an_object_and_of_all_platforms_a_list() -> None:
    assert isinstance(json.loads(imagescan("sound", "-o", "json").stdout), dict)
    assert len(json.loads(imagescan("two-platforms", "-o", "json", "--platform", "all").stdout)) == 2
    assert len(json.loads(imagescan("sound", "-o", "json", "--platform=all").stdout)) == 1


def test_several_formats_go_to_several_places(tmp_path: Path) -> None:
    done = imagescan(
        "broken", "-o", "table", "-o", "json=report.json", "-o", "table=report.txt", directory=tmp_path
    )
    assert done.stdout.startswith("FAILED")
    assert json.loads((tmp_path / "report.json").read_text())["verdict"]["passed"] is False
    assert (tmp_path / "report.txt").read_text().startswith("FAILED")


def test_a_report_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    done = imagescan("sound", "-o", f"json={tmp_path}")
    assert done.code == 2
    assert done.stderr == f"imagescan: error: {tmp_path}: cannot write: Is a directory\n"


def test_a_bug_is_one_line_and_its_details_are_a_wish() -> None:
    answers = {"x": KeyError("\x1b[2Joops")}
    done = imagescan("x", answers=answers)
    assert done.code == 2
    assert "this is a bug in imagescan; set IMAGESCAN_DEBUG=1 for details" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "\x1b" not in done.stderr
    assert "Traceback" in imagescan("x", answers=answers, environment={"IMAGESCAN_DEBUG": "1"}).stderr


def test_an_error_never_brings_the_images_control_characters() -> None:
    done = imagescan("x", answers={"x": NotFound("\x1b]0;owned\x07\nPASSED", where="x\u202e")})
    assert done.stderr == "imagescan: error: x\\u202e: \\x1b]0;owned\\x07\\x0aPASSED\n"


def test_quiet_is_one_line_for_each_image() -> None:
    assert len(imagescan("-q", "sound", "broken").stdout.splitlines()) == 2


def test_colour_is_for_terminals_unless_the_environment_says_otherwise() -> None:
    assert "\x1b[" in imagescan("broken", terminal=True).stdout
    assert "\x1b[" not in imagescan("broken").stdout
    assert "\x1b[" in imagescan("broken", environment={"FORCE_COLOR": "1"}).stdout
    assert "\x1b[" not in imagescan("broken", terminal=True, environment={"NO_COLOR": "1"}).stdout
    both = {"NO_COLOR": "1", "FORCE_COLOR": "1"}
    assert "\x1b[" not in imagescan("broken", terminal=True, environment=both).stdout
    assert "\x1b[" not in imagescan("broken", terminal=True, environment={"TERM": "dumb"}).stdout


def test_progress_is_shown_on_a_terminal_only_and_taken_away() -> None:
    shown = imagescan("sound", terminal=True, environment={"COLUMNS": "80"}).stderr
    assert "layers sound  1/2 layers  1.0 of 3.0 MB" in shown
    assert shown.endswith("\r\x1b[K")
    assert imagescan("sound").stderr == ""
    assert imagescan("sound", "--no-progress", terminal=True).stderr == ""
    assert imagescan("sound", "--quiet", terminal=True).stderr == ""


def test_what_the_user_wishes_reaches_the_scan() -> None:
    words = ["sound", "--platform", "linux/arm64", "--insecure", "--cpu", "x86-64-v2", "--rules", "r"]
    options = imagescan(*words, directory=Path("/work-directory")).options[0]
    assert (options.platform, options.insecure, options.cpu) == ("linux/arm64", True, "x86-64-v2")
    assert options.rules_directories == (Path("/work-directory/r"),)
