"""``imagescan explain`` and ``imagescan rules``: show the rules in force, and prove them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagescan.cli.context import Context, write_file
from imagescan.cli.suggestion import suggestion
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
    from imagescan.reports.rule_text import explanation_text
    from imagescan.rules import explanation
    from imagescan.rules.catalogue import find_rule, load_rules

    rules = load_rules(context.settings.rules)
    rule = find_rule(rules, name)
    if rule is None:
        known = [rule.id for rule in rules] + [alias for rule in rules for alias in rule.aliases]
        advice = suggestion(name, known, "imagescan rules list shows all")
        raise UsageError(f"no such rule: {name!r}", advice=advice)
    shown = explanation.explain(rule)
    verbose = context.settings.verbose
    context.say(explanation_text(shown, context.terminal(context.stdout), verbose=verbose))
    return ExitCode.PASSED


def write_pages(context: Context) -> ExitCode:
    """Write a page for each rule, and the index; pages that belong to no rule are remarked on.

    Raises:
        UsageError: a page cannot be written.
        RuleError: a rule document is wrong.
    """
    from imagescan.reports import rule_page
    from imagescan.rules import explanation
    from imagescan.rules.catalogue import load_rules

    directory = context.settings.into or context.directory / "docs" / "rules"
    rules = [explanation.explain(rule) for rule in load_rules(context.settings.rules)]
    pages = {rule_page.page_name(rule): rule_page.page(rule) for rule in rules}
    for name, text in {rule_page.INDEX: rule_page.index(rules), **pages}.items():
        file = directory / name
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot make: {error.strerror or error}", where=str(file.parent)) from error
        write_file(file, text)
    for stale in sorted(directory.glob("*/*.md")):
        if str(stale.relative_to(directory)) not in pages:
            context.stderr.write(
                f"imagescan: remark: {visible(str(stale))}: the page of no rule, remove it\n"
            )
    context.say(f"{len(pages)} rules in {visible(str(directory))}\n")
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
