"""What detectors promise of their observations, on the examples of all rules."""

from __future__ import annotations

import pytest

from imagescan.findings import Tier
from imagescan.rules import judge
from imagescan.rules.catalogue import builtin_knowledge, builtin_rules
from imagescan.rules.document import RuleDocument
from imagescan.rules.examples.image import example_facts
from imagescan.rules.examples.notation import read_image

# These look at what starts the container, and see nothing where it goes well (``imagescan.restarting``).
OF_THE_START = ("failing-step", "refused-file", "unknown-user", "no-command", "carriage-return")


@pytest.mark.parametrize(
    "rule",
    [one for one in builtin_rules() if one.detector.name not in OF_THE_START],
    ids=lambda rule: rule.id,
)
def test_the_file_that_the_tier_is_of_is_named(rule: RuleDocument) -> None:
    seen = 0
    for example in rule.examples:
        facts = example_facts(read_image(example.image))
        known = judge._known(facts, builtin_knowledge(), rule.detector.asks)
        tiers = {one.path: one.tier for one in facts.objects} | {one.path: one.tier for one in facts.scripts}
        for one in rule.detector.detect(facts, {**rule.parameters, **known}):
            seen += 1
            named = {tiers.get(path) for path in (one.object, *one.related)}
            is_foreign = one.object in {found.path for found in facts.foreign}
            assert one.tier in named or is_foreign or one.tier is Tier.PLUGIN
    assert seen
