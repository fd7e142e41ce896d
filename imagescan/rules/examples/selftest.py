"""The proof of rule documents: every example must give what it says.

``RuleDocument`` values enter, ``ExampleOutcome`` values leave. ``imagescan rules test`` shows them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from imagescan.dataclasses import dataclass
from imagescan.errors import ImageScanError
from imagescan.findings import Finding
from imagescan.rules.document import Example, RuleDocument
from imagescan.rules.examples.image import example_facts
from imagescan.rules.examples.notation import read_image
from imagescan.rules.judge import judge_rule


@dataclass(frozen=True, slots=True)
class ExampleOutcome:
    """How one example came out; ``problem`` is "" when it holds."""

    rule: str
    example: str
    source: str
    problem: str = ""
    findings: tuple[Finding, ...] = ()


def test_rules(rules: Iterable[RuleDocument]) -> Iterator[ExampleOutcome]:
    """Run every example of every document through the rooms that every image goes through."""
    for rule in rules:
        for example in rule.examples:
            yield run_example(rule, example)


def run_example(rule: RuleDocument, example: Example) -> ExampleOutcome:
    """Run one example."""
    try:
        findings = judge_rule(example_facts(read_image(example.image)), rule)
    except ImageScanError as error:
        return ExampleOutcome(rule.id, example.name, rule.source, str(error))
    return ExampleOutcome(rule.id, example.name, rule.source, _problem(example, findings), findings)


def _problem(example: Example, findings: tuple[Finding, ...]) -> str:
    if example.fails and len(findings) != 1:
        return f"must give one finding, gives {len(findings)}"
    if not example.fails and findings:
        return f"must give no finding, gives: {findings[0].message}"
    for name, expected in example.expect.items():
        if not findings or not hasattr(findings[0], name):
            return f"expect names {name!r}, which a finding has not"
        value = getattr(findings[0], name)
        actual = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        if expected not in actual:
            return f"{name} must contain {expected!r}, is {actual!r}"
    return ""
