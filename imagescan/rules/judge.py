"""Observations become findings: one cause, one finding.

``ImageFacts`` and ``RuleDocument`` values enter, ``Finding`` values leave, worst first.
``product.md``, Grading and Findings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from imagescan.facts import ImageFacts
from imagescan.findings import Certainty, Finding
from imagescan.rules.catalogue import builtin_knowledge
from imagescan.rules.detectors.common import TIER_ORDER
from imagescan.rules.detectors.registry import ParameterValue
from imagescan.rules.document import DEFAULT_FIX, REMEDIES, SENTENCE_END, RuleDocument
from imagescan.rules.knowledge import Knowledge, LateTable
from imagescan.rules.observation import Observation
from imagescan.rules.remedies import owners_text, remedies
from imagescan.rules.template import fill, fill_known, phrase, places

ITEMS_IN_TEXT = 4  # names spelt out in a message; the finding's own lists are always whole
FINGERPRINT_DIGITS = 32
_CERTAINTY_ORDER = (Certainty.CERTAIN, Certainty.CONDITIONAL, Certainty.LATENT)


def judge(
    facts: ImageFacts,
    rules: Iterable[RuleDocument],
    knowledge: Knowledge | None = None,
    observed: set[str] | None = None,
) -> tuple[Finding, ...]:
    """Every finding of every rule, worst first, then by tier, rule and object.

    ``knowledge`` is what advice is made of; None for what comes with imagescan. To ``observed`` are added
    the paths of everything that was seen, reported or not.

    Raises:
        RuleError: a rule's condition fails on an observation.
    """
    findings = [finding for rule in rules for finding in judge_rule(facts, rule, knowledge, observed)]
    return tuple(
        sorted(
            findings,
            key=lambda one: (-one.severity.rank, TIER_ORDER.index(one.tier), one.rule, one.object, one.items),
        )
    )


def judge_rule(
    facts: ImageFacts,
    rule: RuleDocument,
    knowledge: Knowledge | None = None,
    observed: set[str] | None = None,
) -> tuple[Finding, ...]:
    """The findings of one rule; see ``judge``.

    Raises:
        RuleError: its condition fails on an observation.
    """
    known = builtin_knowledge() if knowledge is None else knowledge
    parameters = {**rule.parameters, **_known(facts, known, rule.detector.asks)}
    causes: dict[tuple[str, ...], list[Observation]] = {}
    for observation in rule.detector.detect(facts, parameters):
        if observed is not None:
            observed.update((observation.object, *observation.related))
        reported = (observation.tier, observation.certainty) in rule.severity
        if reported and (rule.when is None or rule.when.holds(observation)):
            causes.setdefault(observation.cause, []).append(observation)
    return tuple(_finding(facts, rule, observations, known) for observations in causes.values())


def _known(facts: ImageFacts, knowledge: Knowledge, asked: frozenset[str]) -> dict[str, ParameterValue]:
    """What a detector asks for besides its document's parameters."""
    values: dict[str, ParameterValue] = {}
    if "injected" in asked:
        values["injected"] = knowledge.injected
    if "packages" in asked:
        system = (facts.distribution or ("",))[0]
        architecture = facts.platform.architecture
        release = system, facts.distribution_version, architecture
        values["packages"] = LateTable(lambda: knowledge.library_packages(*release))
    return values


def _rank(rule: RuleDocument, observation: Observation) -> tuple[int, int, int]:
    severity = rule.severity[observation.tier, observation.certainty]
    return (
        -severity.rank,
        TIER_ORDER.index(observation.tier),
        _CERTAINTY_ORDER.index(observation.certainty),
    )


def _finding(
    facts: ImageFacts, rule: RuleDocument, observations: Sequence[Observation], knowledge: Knowledge
) -> Finding:
    ordered = sorted(observations, key=lambda one: _rank(rule, one))
    worst = ordered[0]
    objects = dict.fromkeys(one.object for one in ordered)
    related = dict.fromkeys(path for one in ordered for path in one.related)
    requesters = tuple(dict.fromkeys((*objects, *related)))
    items = tuple(dict.fromkeys(item for one in ordered for item in one.items))
    values = _values(facts, worst, items, requesters)
    return Finding(
        rule=rule.id,
        title=rule.title,
        severity=rule.severity[worst.tier, worst.certainty],
        tier=worst.tier,
        certainty=worst.certainty,
        object=worst.object,
        message=fill(rule.message, values),
        runtime_message=fill(rule.runtime_message, values) or _first_message(ordered),
        items=items,
        requesters=requesters,
        trail=worst.trail,
        blame=worst.blame,
        owner=owners_text(facts, worst),
        condition=worst.condition,
        why=rule.why,
        fix=_fix(facts, rule, (worst, items), values, knowledge),
        references=rule.references,
        fingerprint=fingerprint(rule.id, worst.cause),
    )


def _first_message(ordered: Sequence[Observation]) -> str:
    """What the worst object's loader says; where it comes to no word, the next one's of the same cause."""
    return next((one.runtime_message for one in ordered if one.runtime_message), "")


def _values(
    facts: ImageFacts, worst: Observation, items: tuple[str, ...], requesters: tuple[str, ...]
) -> Mapping[str, str]:
    return {
        "object": worst.object,
        "items": phrase(items, ITEMS_IN_TEXT),
        "count": str(len(items)),
        "requesters": phrase(requesters, ITEMS_IN_TEXT - 1),
        "requester_count": str(len(requesters)),
        "distribution": facts.distribution_name or "the image's distribution",
        "platform": str(facts.platform),
        "command": " ".join(facts.startup.arguments),
        **worst.values,
    }


def _fix(
    facts: ImageFacts,
    rule: RuleDocument,
    seen: tuple[Observation, tuple[str, ...]],
    values: Mapping[str, str],
    knowledge: Knowledge,
) -> str:
    """The fix in the distribution's own words, where the document has them."""
    family = next((name for name in facts.distribution if name in rule.fix), DEFAULT_FIX)
    text = rule.fix[family]
    asked = places(text) & REMEDIES
    known = remedies(facts, knowledge, *seen, asked) if asked else {}
    sentences = text.split(SENTENCE_END)
    if len(sentences) == 1:
        return fill(text, {**known, **values})
    return fill_known(sentences, {**known, **values})


def fingerprint(rule: str, cause: tuple[str, ...]) -> str:
    """32 hex digits that stay the same when an image is built again: the rule and the cause's names."""
    text = "\0".join((rule, *cause)).encode("utf-8", "surrogateescape")
    return hashlib.sha256(text).hexdigest()[:FINGERPRINT_DIGITS]
