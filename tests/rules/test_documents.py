"""Every rule document that comes with imagescan proves itself by its examples."""

from __future__ import annotations

import pytest

from imagescan.rules.catalogue import builtin_rules
from imagescan.rules.document import Example, RuleDocument
from imagescan.rules.examples.selftest import run_example

EXAMPLES = [(rule, example) for rule in builtin_rules() for example in rule.examples]


@pytest.mark.parametrize(
    ("rule", "example"), EXAMPLES, ids=[f"{rule.id}: {example.name}" for rule, example in EXAMPLES]
)
def test_example_holds(rule: RuleDocument, example: Example) -> None:
    assert run_example(rule, example).problem == ""
