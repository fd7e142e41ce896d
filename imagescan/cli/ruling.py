"""``imagescan explain`` and ``imagescan rules``: show the rules in force, and prove them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagescan.cli.arguments import suggestion
from imagescan.cli.context import Context
from imagescan.errors import UsageError
from imagescan.findings import Severity
from imagescan.gate import ExitCode
from imagescan.reports.visible import visible

if TYPE_CHECKING:
    from imagescan.rules.document import RuleDocument


def list_rules(context: Context) -> ExitCode:
    """One line for each rule: id, the worst severity that it gives, title.

    Raises:
        RuleError: a rule document is wrong.
    """
    from imagescan.rules.catalogue import load_rules

    rules = load_rules(context.settings.rules)
    widest = max((len(rule.id) for rule in rules), default=0)
    rows = [f"{rule.id:<{widest}}  {_worst(rule):<7}  {visible(rule.title)}\n" for rule in rules]
    context.say("".join(rows))
    return ExitCode.PASSED


def explain(context: Context, name: str) -> ExitCode:
    """What a rule means, why it matters, and how to mend what it finds.

    Raises:
        UsageError: no such rule.
        RuleError: a rule document is wrong.
    """
    from imagescan.reports.rule_text import explanation
    from imagescan.rules.catalogue import find_rule, load_rules

    rules = load_rules(context.settings.rules)
    rule = find_rule(rules, name)
    if rule is None:
        known = [rule.id for rule in rules] + [alias for rule in rules for alias in rule.aliases]
        advice = suggestion(name, known, "imagescan rules list shows all")
        raise UsageError(f"no such rule: {name!r}", advice=advice)
    context.say(explanation(rule, context.terminal(context.stdout)))
    return ExitCode.PASSED


def test_rules(context: Context) -> ExitCode:
    """Prove each rule by its examples; FAILED when one does not hold.

    Raises:
        RuleError: a rule document is wrong.
    """
    from imagescan.rules.catalogue import load_rules
    from imagescan.rules.examples.selftest import test_rules as prove

    rules = load_rules(context.settings.rules)
    outcomes = tuple(prove(rules))
    failed = [outcome for outcome in outcomes if outcome.problem]
    for outcome in failed:
        place = f"{outcome.source}: {outcome.rule}: {outcome.example}"
        context.say(f"{visible(place)}: {visible(outcome.problem)}\n")
    context.say(f"{len(rules)} rules, {len(outcomes)} examples, {len(failed)} failed\n")
    return ExitCode.FAILED if failed else ExitCode.PASSED


def _worst(rule: RuleDocument) -> str:
    severities: set[Severity] = set(rule.severity.values())
    return max(severities, key=lambda severity: severity.rank).value if severities else "-"
