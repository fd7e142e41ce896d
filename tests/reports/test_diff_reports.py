"""The difference of two images, as shown and as written."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from imagescan.comparison import compare
from imagescan.findings import LayerSummary, ScanReport, Severity
from imagescan.gate import ExitCode, Verdict, judge
from imagescan.reports import diff_json
from imagescan.reports.diff_text import LAYERS_SHOWN, diff_text
from imagescan.reports.layout import Terminal
from imagescan.reports.table import Detail
from tests.reports.examples import BROKEN, HOSTILE, IMAGE, LIBRARY_MISSING, NOTE, PARTED, SOUND
from tests.reports.golden import assert_golden
from tests.reports.test_terminal_reports import CONTROL

OLD = replace(
    SOUND,
    image=replace(IMAGE, reference="registry.example.com/team/shop:1.3", libc=("glibc 2.31",)),
    findings=(replace(LIBRARY_MISSING, severity=Severity.WARNING), replace(NOTE, fingerprint="f" * 32)),
)
NEW = replace(
    BROKEN,
    image=replace(
        IMAGE, layers=(*IMAGE.layers, LayerSummary(2, "", "sha256:" + "b2" * 32, None, "RUN apt-get purge"))
    ),
    remarks=PARTED.remarks,
)
ARM = replace(SOUND, image=replace(IMAGE, platform="linux/arm64"))
VALIDATOR = Draft202012Validator(
    json.loads((Path(__file__).parents[2] / "docs" / "diff.schema.json").read_text())
)


def text_of(olds: Sequence[ScanReport], news: Sequence[ScanReport], width: int = 80, detail: int = 1) -> str:
    return "\n".join(
        diff_text(one, judge(one.failing or SOUND, Severity.ERROR), Terminal(width), Detail(detail))
        for one in compare(olds, news)
    )


@pytest.mark.parametrize("width", [80, 160])
def test_the_difference_is_as_it_was_agreed(width: int) -> None:
    assert_golden(f"diff-{width}.txt", text_of([OLD, ARM], [NEW], width))


def test_the_document_is_as_it_was_agreed() -> None:
    comparisons = compare([OLD, ARM], [NEW])
    assert_golden("diff.json", diff_json.render(comparisons, Verdict(False, ExitCode.FAILED, ("reason",))))


@pytest.mark.parametrize(
    ("olds", "news"),
    [([OLD, ARM], [NEW]), ([SOUND], [SOUND, ARM]), ([HOSTILE], [BROKEN]), ([SOUND], [HOSTILE])],
)
def test_every_difference_is_valid_by_its_schema(olds: list[ScanReport], news: list[ScanReport]) -> None:
    Draft202012Validator.check_schema(VALIDATOR.schema)
    document = json.loads(diff_json.render(compare(olds, news), judge(SOUND, None)))
    VALIDATOR.validate(document)
    document["platforms"][0]["surprise"] = 1
    assert not VALIDATOR.is_valid(document)


@pytest.mark.parametrize("detail", Detail)
def test_text_of_an_image_never_steers_the_terminal(detail: Detail) -> None:
    for olds, news in (([SOUND], [HOSTILE]), ([HOSTILE], [SOUND]), ([HOSTILE, ARM], [ARM])):
        assert not CONTROL.search(text_of(olds, news, 80, detail))


def test_quiet_says_only_the_verdict() -> None:
    assert text_of([OLD], [NEW], detail=0) == "FAILED  registry.example.com/team/shop:1.4  linux/amd64\n"


def test_nothing_in_either_is_said_so() -> None:
    assert "no findings in either" in text_of([SOUND], [SOUND])


def test_many_layers_are_counted_unless_verbose() -> None:
    layers = tuple(LayerSummary(number, "", f"sha256:{number}", 1, f"RUN {number}") for number in range(40))
    new = replace(SOUND, image=replace(IMAGE, layers=layers))
    assert f"and {40 - LAYERS_SHOWN} more (-v shows all)" in text_of([SOUND], [new])
    assert "39 RUN 39" in text_of([SOUND], [new], detail=2)
