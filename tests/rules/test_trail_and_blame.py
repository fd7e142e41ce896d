"""Every finding about loading says where was looked, in order, and which layer it is from."""

from __future__ import annotations

import pytest

from imagescan.rules.catalogue import builtin_rules
from imagescan.rules.document import Example, RuleDocument
from imagescan.rules.examples.selftest import run_example

FAMILIES = ("loader", "abi", "hijack", "platform")

# Where nothing was looked for: what is wrong is in the file itself, which the blame names.
WITHOUT_TRAIL = {
    "platform/foreign-format": "the file's own format is wrong",
    "platform/wrong-architecture": "the kernel looks at the file alone",
    "platform/same-binary-in-two-platforms": "the kernel looks at the file alone",
}
FAILING = [
    (rule, example)
    for rule in builtin_rules()
    for example in rule.examples
    if example.fails and rule.id.startswith(FAMILIES)
]


@pytest.mark.parametrize(
    ("rule", "example"), FAILING, ids=[f"{rule.id}: {example.name}" for rule, example in FAILING]
)
def test_the_finding_has_trail_and_blame(rule: RuleDocument, example: Example) -> None:
    (finding,) = run_example(rule, example).findings
    assert finding.trail or rule.id in WITHOUT_TRAIL
    assert all(line.source and line.outcome for line in finding.trail)
    assert finding.blame
    for blame in finding.blame:
        assert blame.layer_index >= 0
        assert blame.path
        assert blame.action in ("added", "replaced", "removed", "hid", "set")
        assert bool(blame.layer_digest) == (blame.action != "set")


def test_exceptions_are_rules_that_exist() -> None:
    assert set(WITHOUT_TRAIL) <= {rule.id for rule, _ in FAILING}
