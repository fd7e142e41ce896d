"""The pages of ``docs/rules`` are what the rule documents give; what they show is true."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from imagescan.findings import Severity, Tier
from imagescan.reports import rule_page
from imagescan.reports.layout import Terminal
from imagescan.reports.rule_text import explanation_text
from imagescan.rules.catalogue import builtin_rules
from imagescan.rules.detectors import DETECTORS
from imagescan.rules.document import Example, RuleDocument, read_document
from imagescan.rules.examples.text import WIDTH, image_text
from imagescan.rules.explanation import Explanation, explain
from imagescan.rules.yaml_reader import Node, read_yaml
from tests.cli.scanner import imagescan
from tests.rules.test_reading import DOCUMENT

PAGES = Path(__file__).parents[2] / "docs" / "rules"
RULES = builtin_rules()
EXAMPLES = [(rule, example) for rule in RULES for example in rule.examples]


@cache
def explanations() -> tuple[Explanation, ...]:
    return tuple(explain(rule) for rule in RULES)


def explanation_of(old: str = "", new: str = "") -> Explanation:
    text = DOCUMENT.replace(old, new) if old else DOCUMENT
    return explain(read_document(text, "r.yaml", {detector.name: detector for detector in DETECTORS}))


def test_the_pages_are_those_of_the_documents() -> None:
    expected = {rule_page.page_name(rule): rule_page.page(rule) for rule in explanations()}
    expected[rule_page.INDEX] = rule_page.index(explanations())
    actual = {str(file.relative_to(PAGES)): file.read_text() for file in PAGES.rglob("*.md")}
    actual.pop("FORMAT.md")
    assert actual == expected, "run: imagescan rules docs"


def values(node: Node) -> object:
    if node.shape == "mapping":
        return {key: values(value) for key, value in node.pairs()}
    return [values(item) for item in node.items()] if node.shape == "list" else node.value


@pytest.mark.parametrize(
    ("rule", "example"), EXAMPLES, ids=[f"{rule.id}: {example.name}" for rule, example in EXAMPLES]
)
def test_an_example_reads_back_as_it_was_written(rule: RuleDocument, example: Example) -> None:
    assert values(read_yaml(image_text(example.image), rule.source)) == values(example.image)


@pytest.mark.parametrize(
    "text",
    [
        "{a: 'true', b: 'null', c: '1', d: '0755', e: '1:30', f: 'y', g: '', h: ' x', i: 'a: b', j: 'a #b'}",
        '{a: "\\u0085\\t\\e[0m\\r\\n", b: "[x]", c: "- d", d: "é", "e f": null, mode: 0755, n: [true, 12]}',
        "{a: ['%s', '%s'], b: [{c: '%s', d: {e: '%s'}}]}" % (("x" * 60,) * 4),
    ],
)
def test_any_text_reads_back_as_it_was_written(text: str) -> None:
    node = read_yaml(text, "t")
    shown = image_text(node)
    assert values(read_yaml(shown, "t")) == values(node)
    assert max(map(len, shown.splitlines())) <= WIDTH


def test_an_image_of_nothing_is_shown_as_that() -> None:
    assert image_text(read_yaml("{}", "t")) == "{}\n"


def test_what_is_found_is_shown_for_examples_that_fail_only() -> None:
    for rule, explanation in zip(RULES, explanations(), strict=True):
        assert [one.finding is not None for one in explanation.examples] == [
            example.fails for example in rule.examples
        ]


def test_every_rule_can_be_searched_by_a_message_that_users_meet() -> None:
    without = {rule.id for rule in explanations() if not rule.runtime_messages}
    # What others can do to a program is met without any message.
    assert {rule for rule in without if not rule.startswith("hijack/")} <= {"start/user-unknown"}


def test_a_severity_that_does_not_depend_on_certainty_is_one_word() -> None:
    assert explanation_of().severities == ((Tier.STARTUP, "error"),)
    graded = explanation_of("{startup: error}", "{startup: error, command: {certain: warning, latent: note}}")
    assert graded.severities[1] == (Tier.COMMAND, "warning when certain, note when latent")
    assert graded.worst is Severity.ERROR


def test_texts_of_a_document_are_not_markup() -> None:
    page = rule_page.page(explanation_of("because", "'a*b* <img> [x](y) `c` _d_ snake_case'"))
    assert r"a\*b\* \<img> \[x\](y) \`c\` \_d\_ snake_case" in page


def test_a_table_cell_keeps_its_bars() -> None:
    assert r"| a \| b |" in rule_page.index([explanation_of("title: T", "title: a | b")])


def test_a_code_block_cannot_be_closed_by_its_text() -> None:
    page = rule_page.page(explanation_of("user: app", "user: '```````'"))
    assert re.search(r"^````````yaml\n", page, re.MULTILINE)


def test_a_condition_is_told() -> None:
    explanation = explanation_of("why: because", "why: because\nwhen: object == '/etc/passwd'")
    assert explanation.condition == "object == '/etc/passwd'"
    assert "object == '/etc/passwd'" in rule_page.page(explanation)
    assert "only when" in explanation_text(explanation, Terminal(80))


def test_explain_says_what_the_page_says() -> None:
    for explanation in explanations():
        shown = " ".join(explanation_text(explanation, Terminal(10_000)).split())
        for text in (explanation.title, explanation.why, explanation.message):
            assert text in shown
        for message in explanation.runtime_messages:
            assert " ".join(message.replace("\r", "\\x0d").split()) in shown


def test_explain_shows_the_examples_images_when_verbose() -> None:
    assert "created_by" not in imagescan("explain", "loader/library-missing").stdout
    assert "created_by: RUN apt-get" in imagescan("explain", "-v", "loader/library-missing").stdout


def test_pages_are_written_where_the_user_wants_them(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "user.yaml").write_text(DOCUMENT)
    done = imagescan("rules", "docs", "--into", "pages", "--rules", "own", directory=tmp_path)
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout == f"{len(RULES) + 1} rules in {tmp_path}/pages\n"
    assert (tmp_path / "pages/test/user.md").read_text().startswith("# test/user\n")
    assert "[test/user](test/user.md)" in (tmp_path / "pages/README.md").read_text()


def test_without_a_wish_pages_go_to_docs_rules(tmp_path: Path) -> None:
    assert imagescan("rules", "docs", directory=tmp_path).code == 0
    assert (tmp_path / "docs/rules/loader/library-missing.md").exists()


def test_a_page_of_no_rule_is_remarked_on_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "loader").mkdir()
    (tmp_path / "loader/old.md").write_text("mine")
    done = imagescan("rules", "docs", "--into", str(tmp_path))
    assert done.stderr == f"imagescan: remark: {tmp_path}/loader/old.md: the page of no rule, remove it\n"
    assert (tmp_path / "loader/old.md").read_text() == "mine"


def test_a_page_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "loader").write_text("a file")
    done = imagescan("rules", "docs", "--into", str(tmp_path))
    assert done.code == 2
    assert f"{tmp_path}/loader: cannot make: File exists" in done.stderr
