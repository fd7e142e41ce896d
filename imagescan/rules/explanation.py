"""All that can be said of one rule: what its page and ``imagescan explain`` show.

A ``RuleDocument`` enters, an ``Explanation`` leaves: the document's own words, and what its
examples give when they are judged, so that the messages are those that users meet.
"""

from __future__ import annotations

from collections.abc import Mapping

from imagescan.dataclasses import dataclass
from imagescan.findings import Certainty, Finding, Severity, Tier
from imagescan.patterns import pattern
from imagescan.rules.document import DEFAULT_FIX, REMEDIES, SENTENCE_END, RuleDocument, Status
from imagescan.rules.examples.selftest import run_example
from imagescan.rules.examples.text import image_text
from imagescan.rules.template import places

_PLACE = pattern(r"\{([a-z_]+)\}")
_ALWAYS_KNOWN = frozenset({"bringer"})
_MORE_IN_FINDINGS = "A finding adds what is known of its image: packages, commands, releases."


@dataclass(frozen=True, slots=True)
class ShownExample:
    """One example: its image as YAML, and the finding that it gives (None where it gives none)."""

    name: str
    image: str
    finding: Finding | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """One rule in words. Places that a finding fills in stand as ``<name>``.

    ``fixes`` are pairs of an os-release ID and advice, the general one first with "" as ID.
    ``severities`` are pairs of a tier and a phrase such as ``error`` or ``warning when
    conditional``, which hold where ``condition``, a CEL expression, is true ("" for always).
    ``runtime_messages`` are what a user would search for, from the examples.
    """

    id: str
    title: str
    message: str
    why: str
    fixes: tuple[tuple[str, str], ...]
    severities: tuple[tuple[Tier, str], ...]
    worst: Severity
    condition: str
    runtime_messages: tuple[str, ...]
    examples: tuple[ShownExample, ...]
    references: tuple[str, ...]
    aliases: tuple[str, ...]
    status: Status


def explain(rule: RuleDocument) -> Explanation:
    """Put a rule in words; judges its examples."""
    examples = tuple(
        ShownExample(example.name, image_text(example.image), next(iter(outcome.findings), None))
        for example in rule.examples
        for outcome in (run_example(rule, example),)
    )
    messages = dict.fromkeys(one.finding.runtime_message for one in examples if one.finding)
    fixes = sorted(rule.fix.items(), key=lambda item: item[0] != DEFAULT_FIX)
    return Explanation(
        id=rule.id,
        title=rule.title,
        message=_readable(rule.message),
        why=rule.why,
        fixes=tuple((name if name != DEFAULT_FIX else "", _advice(text)) for name, text in fixes),
        severities=tuple((tier, text) for tier in Tier if (text := _graded(rule.severity, tier))),
        worst=max(rule.severity.values(), key=lambda severity: severity.rank),
        condition=" ".join(rule.when.expression.split()) if rule.when else "",
        runtime_messages=tuple(message for message in messages if message),
        examples=examples,
        references=rule.references,
        aliases=rule.aliases,
        status=rule.status,
    )


def _advice(fix: str) -> str:
    """What holds for every image; sentences that only some findings can fill are summed up."""
    sentences = fix.split(SENTENCE_END)
    general = [one for one in sentences if not places(one) & (REMEDIES - _ALWAYS_KNOWN)]
    text = _readable(" ".join(general)).replace("<bringer>", "the package that has it")
    return text if len(general) == len(sentences) else f"{text} {_MORE_IN_FINDINGS}"


def _readable(template: str) -> str:
    return _PLACE.sub(r"<\1>", " ".join(template.split()))


def _graded(severity: Mapping[tuple[Tier, Certainty], Severity], tier: Tier) -> str:
    """The severity in a tier: one word where it does not depend on the certainty."""
    graded = [
        (certainty, severity[tier, certainty]) for certainty in Certainty if (tier, certainty) in severity
    ]
    if len(graded) == len(Certainty) and len({one for _, one in graded}) == 1:
        return graded[0][1].value
    return ", ".join(f"{one.value} when {certainty.value}" for certainty, one in graded)
