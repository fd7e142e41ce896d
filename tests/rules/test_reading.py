"""Rule documents are read strictly, and every error says where."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from imagescan.errors import RuleError
from imagescan.findings import Certainty, Severity, Tier
from imagescan.rules.catalogue import builtin_rules, find_rule, load_rules, read_folder
from imagescan.rules.detectors import DETECTORS
from imagescan.rules.document import COMMON_VALUES, RuleDocument, read_document
from imagescan.rules.yaml_reader import MAXIMUM_DOCUMENT, read_yaml

BY_NAME = {detector.name: detector for detector in DETECTORS}

DOCUMENT = """\
id: test/user
title: T
detector: unknown-user
severity: {startup: error}
message: "{user} is unknown"
why: because
fix: {default: make it, alpine: "adduser {user}"}
examples:
  fail:
    - {name: f, image: {user: app}}
  pass:
    - {name: p, image: {}}
"""


def read(text: str) -> RuleDocument:
    return read_document(text, "r.yaml", BY_NAME)


def test_a_whole_document() -> None:
    rule = read(DOCUMENT)
    assert rule.id == "test/user"
    assert rule.severity == {(Tier.STARTUP, certainty): Severity.ERROR for certainty in Certainty}
    assert [example.fails for example in rule.examples] == [True, False]


@pytest.mark.parametrize(
    ("old", "new", "where", "message"),
    [
        ("title: T", "title: T\ntitel: x", "r.yaml:3:8", "unknown key 'titel'"),
        ("title: T", "title: T\ntitle: U", "r.yaml:3:1", "is here twice"),
        ("title: T\n", "", "r.yaml:1:1", "'title' is missing"),
        ("title: T", "title: [T]", "r.yaml:2:8", "expected text"),
        ("title: T", "title: 5", "r.yaml:2:8", "expected text, found int"),
        ("title: T", "title: 1.5", "r.yaml:2:8", "put it in quotation marks"),
        ("title: T", "title: !!python/object:os.system x", "r.yaml:2:8", "quotation marks"),
        ("title: T", "title: &a T\naliases: [*a]", "r.yaml:3:11", "aliases are not allowed"),
        ("id: test/user", "id: Test", "r.yaml:1:5", "not a rule id"),
        ("unknown-user", "os-system", "r.yaml:3:11", "unknown detector"),
        ("{startup: error}", "{started: error}", "r.yaml:4:", "unknown value 'started'"),
        ("{startup: error}", "{startup: fatal}", "r.yaml:4:", "unknown value 'fatal'"),
        ("{startup: error}", "{startup: none}", "r.yaml:4:", "no tier has a severity"),
        ("{user} is", "{usr} is", "r.yaml:5:", "unknown placeholder {usr}"),
        ("default: make it, ", "", "r.yaml:7:", "'default' is missing"),
        ("title: T", "title: T\nparameters: {x: y}", "r.yaml:3:", "has no parameter 'x'"),
        ("    - {name: p, image: {}}\n", "    []\n", "r.yaml:9:3", "one that passes"),
        ("title: T", "title: 'T", "r.yaml:", "not valid YAML"),
    ],
)
def test_an_error_names_its_place(old: str, new: str, where: str, message: str) -> None:
    assert old in DOCUMENT
    with pytest.raises(RuleError) as caught:
        read(DOCUMENT.replace(old, new))
    assert str(caught.value).startswith(where)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_detector_that_needs_a_parameter_says_so() -> None:
    with pytest.raises(RuleError, match="needs the parameter 'binding'"):
        read(DOCUMENT.replace("unknown-user", "missing-symbol"))


@pytest.mark.parametrize(
    "text", ["", "# nothing", "[" * 250_000, "x: " + "y" * MAXIMUM_DOCUMENT, "a: b\n---\nc: d"]
)
def test_no_text_gives_anything_but_a_rule_error(text: str) -> None:
    with pytest.raises(RuleError):
        read(text)


def test_modes_may_be_octal() -> None:
    ((_, node),) = read_yaml("mode: 0755", "t").pairs()
    assert node.number() == 0o755


def test_a_folder_adds_and_overrides_rules(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "new.yaml").write_text(DOCUMENT)
    (tmp_path / "user.yml").write_text(DOCUMENT.replace("test/user", "start/user-unknown"))
    (tmp_path / "README.md").write_text("not a rule")
    rules = load_rules([tmp_path])
    assert len(rules) == len(builtin_rules()) + 1
    overridden = find_rule(rules, "start/user-unknown")
    assert overridden is not None and overridden.why == "because"
    assert [rule.id for rule in rules] == sorted(rule.id for rule in rules)


def test_two_documents_of_one_folder_must_not_clash(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(DOCUMENT)
    (tmp_path / "b.yaml").write_text(DOCUMENT)
    with pytest.raises(RuleError, match=r"b.yaml.*already in a.yaml"):
        read_folder(tmp_path)


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match="no such folder of rules"):
        load_rules([tmp_path / "none"])


def test_a_file_that_is_not_text_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(RuleError, match="not UTF-8"):
        load_rules([tmp_path])


def test_the_built_in_rules_are_complete() -> None:
    rules = builtin_rules()
    names = [name for rule in rules for name in (rule.id, *rule.aliases)]
    assert len(names) == len(set(names))
    assert {rule.detector.name for rule in rules} == set(BY_NAME), "every detector has a rule"
    for rule in rules:
        assert rule.source == f"{rule.id}.yaml"
        assert rule.references, rule.id
        assert all(line.startswith("https://") for line in rule.references), rule.id
        assert len(rule.why) > 100, rule.id


def test_aliases_find_their_rule() -> None:
    rule = find_rule(builtin_rules(), "platform/exec-format-error")
    assert rule is not None and rule.id == "platform/wrong-architecture"
    assert find_rule(builtin_rules(), "no/such") is None


def test_detectors_do_not_shadow_common_values() -> None:
    for detector in DETECTORS:
        assert not detector.values & COMMON_VALUES, detector.name


def test_rules_to_judge_by_are_the_same_without_their_examples() -> None:
    short = builtin_rules(with_examples=False)
    assert [replace(rule, examples=()) for rule in builtin_rules()] == list(short)
    assert not any(rule.examples for rule in short)


def test_the_examples_of_each_built_in_rule_come_last() -> None:
    for rule in builtin_rules():
        text = (Path(__file__).parents[2] / "rules" / rule.source).read_text()
        assert re.findall(r"^(\w+):", text, re.MULTILINE)[-1] == "examples"
