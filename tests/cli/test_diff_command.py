"""``imagescan diff``: of images and reports, and what its exit code says."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from imagescan.errors import NotFound
from tests.cli.scanner import ANSWERS, Scanned, imagescan
from tests.reports.examples import BROKEN, IMAGE, SOUND

ARM = replace(SOUND, image=replace(IMAGE, platform="linux/arm64"))
INDEX: Mapping[str, tuple[Scanned, ...] | Exception] = {
    **ANSWERS,
    "index": (Scanned(BROKEN), Scanned(ARM)),
    "gone": NotFound("no such image"),
}


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("sound", "broken", 1),
        ("broken", "sound", 0),
        ("broken", "broken", 0),
        ("sound", "incomplete", 2),
        ("incomplete", "sound", 2),
        ("sound", "index", 1),
        ("index", "sound", 0),
    ],
)
def test_the_exit_code_says_whether_something_broke(old: str, new: str, code: int) -> None:
    assert imagescan("diff", old, new, answers=INDEX).code == code


def test_the_threshold_decides() -> None:
    assert imagescan("diff", "sound", "broken", "--fail-on", "never").code == 0


def test_an_incomplete_side_may_be_allowed_and_is_named() -> None:
    done = imagescan("diff", "incomplete", "sound", "--allow-incomplete")
    assert done.code == 0
    assert "in the old image 1 thing could not be looked at (allowed)" in " ".join(done.stdout.split())


def test_a_side_that_cannot_be_read_is_named_and_nothing_is_judged() -> None:
    done = imagescan("diff", "gone", "sound", answers=INDEX)
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr == "imagescan: error: gone: no such image\n"


def test_reports_stand_for_their_images(tmp_path: Path) -> None:
    for image in ("sound", "broken"):
        imagescan(image, "-o", f"json={image}.json", directory=tmp_path)
    done = imagescan("diff", "sound.json", "broken.json", directory=tmp_path)
    assert done.code == 1
    assert done.options == [], "nothing is scanned"
    assert done.stdout == imagescan("diff", "sound", "broken").stdout
    assert imagescan("diff", "broken.json", "sound", directory=tmp_path).code == 0


def test_a_report_of_several_images_cannot_be_compared(tmp_path: Path) -> None:
    imagescan("sound", "broken", "-o", "json=two.json", directory=tmp_path)
    done = imagescan("diff", "two.json", "sound", directory=tmp_path)
    assert done.code == 2
    assert "two.json: has two reports for one platform (diff compares one image with one" in done.stderr
    (tmp_path / "none.json").write_text("[]")
    assert "none.json: has no report" in imagescan("diff", "none.json", "sound", directory=tmp_path).stderr


def test_a_damaged_report_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(' {"schema"')
    done = imagescan("diff", "r.json", "sound", directory=tmp_path)
    assert done.code == 2
    assert "r.json: the report is not valid JSON" in done.stderr
    assert done.stderr.count("\n") == 1


def test_json_is_one_object_with_each_platform() -> None:
    document = json.loads(imagescan("diff", "sound", "index", "-o", "json", answers=INDEX).stdout)
    assert document["schema"] == "imagescan.diff/1"
    assert document["verdict"] == {
        "passed": False,
        "exit_code": 1,
        "reasons": ["1 finding at or above error"],
    }
    assert [one["platform"] for one in document["platforms"]] == ["linux/amd64", "linux/arm64"]
    assert document["platforms"][1]["old"] is None


def test_a_platform_that_is_gone_is_told() -> None:
    done = imagescan("diff", "index", "broken", answers={**INDEX, "broken": (Scanned(BROKEN), Scanned(ARM))})
    assert "GONE" not in done.stdout
    done = imagescan("diff", "index", "sound", answers=INDEX)
    assert "linux/arm64: the new image has no such platform" in done.stdout


def test_waivers_hold_for_the_new_image(tmp_path: Path) -> None:
    (tmp_path / ".imagescan.yaml").write_text("waivers: [{rule: loader/*, reason: the chart mounts it}]\n")
    assert imagescan("diff", "sound", "broken", directory=tmp_path).code == 0
    assert imagescan("diff", "sound", "broken", "--fail-on=warning", directory=tmp_path).code == 1
