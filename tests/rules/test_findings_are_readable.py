"""What every rule's example finds, as users read it: in the table at two widths, and as JSON."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from imagescan.findings import Finding, Severity
from imagescan.gate import judge
from imagescan.reports.json_reader import read_reports
from imagescan.reports.json_report import render
from imagescan.reports.layout import Terminal
from imagescan.reports.table import Detail, report_text
from imagescan.rules.catalogue import builtin_rules
from imagescan.rules.examples.selftest import run_example
from tests.reports.examples import SOUND

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "report.schema.json").read_text())
FOUND = [
    finding
    for rule in builtin_rules()
    for example in rule.examples
    if example.fails
    for finding in run_example(rule, example).findings
]
REPORT = replace(SOUND, findings=tuple(FOUND))


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("detail", [Detail.NORMAL, Detail.VERBOSE])
def test_no_line_of_the_table_is_wider_than_the_terminal(width: int, detail: Detail) -> None:
    text = report_text(REPORT, judge(REPORT, Severity.ERROR), Terminal(width), detail)
    assert all(len(line) <= width for line in text.splitlines()[1:])
    assert len(text.splitlines()) > len(FOUND)


@pytest.mark.parametrize("finding", FOUND, ids=lambda one: f"{one.rule} {one.object}")
def test_the_texts_are_whole_sentences_without_open_places(finding: Finding) -> None:
    for text in (finding.message, finding.fix):
        assert not re.search(r"(?<!\$)\{[a-z_]+\}", text), "a place that was not filled"
        assert "  " not in text, "an empty place"
        assert not re.search(r"[,;:] ?[,;]|[,;:] ?\.( |$)|(?<!\.)\.\.$", text), "punctuation that meets"
        assert text.rstrip().endswith((".", ")", "..."))


def test_json_is_valid_and_read_back_the_same() -> None:
    text = render([(REPORT, judge(REPORT, Severity.ERROR))], as_list=False)
    Draft202012Validator(SCHEMA).validate(json.loads(text))
    assert read_reports(text.encode(), "report")[0].findings == REPORT.findings
