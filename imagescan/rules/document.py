"""One rule document: what to think of what a detector sees, and the proof that it does.

The text of a YAML file enters, a frozen ``RuleDocument`` leaves. Reading is strict: an unknown
key, a wrong type or an unknown placeholder is a ``RuleError`` with file, line and column.
``docs/rules/FORMAT.md`` describes the format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TypeVar

from imagescan.dataclasses import dataclass
from imagescan.errors import RuleError
from imagescan.findings import Certainty, Severity, Tier
from imagescan.patterns import pattern
from imagescan.rules.conditions import Condition
from imagescan.rules.detectors.registry import Detector, Parameters, ParameterValue
from imagescan.rules.template import places
from imagescan.rules.yaml_reader import Node, Parse, read_yaml

_ID = pattern(r"[a-z][a-z0-9-]*/[a-z][a-z0-9-]*")
_REQUIRED = frozenset({"id", "title", "detector", "severity", "message", "why", "fix", "examples"})
EXAMPLES = "examples"
_OPTIONAL = frozenset({"parameters", "when", "runtime_message", "references", "status", "aliases"})
DEFAULT_FIX = "default"
COMMON_VALUES = frozenset(
    {"object", "items", "count", "requesters", "requester_count", "distribution", "platform", "command"}
)
# What only a fix may name: imagescan.rules.remedies works it out.
REMEDIES = frozenset(
    {"bringer", "install", "copy", "search", "restore", "renamed", "instead"}
    | {"needs", "upgrade", "go", "reinstall"}
)
SENTENCE_END = "\n"  # between the sentences of a fix that is a list

_Choice = TypeVar("_Choice", bound=StrEnum)


class Status(StrEnum):
    """How settled a rule is."""

    STABLE = "stable"
    PREVIEW = "preview"
    DEPRECATED = "deprecated"


@dataclass(frozen=True, slots=True)
class Example:
    """One image in the notation of ``rules.examples``, and whether the rule must find something.

    ``expect`` maps fields of the finding to the text that they must contain.
    """

    name: str
    fails: bool
    image: Node
    expect: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RuleDocument:
    """One rule.

    ``severity`` has no entry where an observation is no finding. ``fix`` maps os-release IDs
    (debian, alpine, ...) and ``default`` to advice: sentences, each on a line, of which those count
    whose places are all known. ``source`` is the file that it came from.
    """

    id: str
    title: str
    detector: Detector
    parameters: Parameters
    severity: Mapping[tuple[Tier, Certainty], Severity]
    when: Condition | None
    message: str
    runtime_message: str
    why: str
    fix: Mapping[str, str]
    references: tuple[str, ...]
    status: Status
    aliases: tuple[str, ...]
    examples: tuple[Example, ...]
    source: str


def read_document(
    text: str,
    name: str,
    detectors: Mapping[str, Detector],
    *,
    with_examples: bool = True,
    parse: Parse = read_yaml,
) -> RuleDocument:
    """Read one rule document; ``name`` is its file's name for messages.

    Without examples, which are most of a document and its last key, it is read up to them only.

    Raises:
        RuleError: with the position of what is wrong.
    """
    root = parse(text, name, None if with_examples else EXAMPLES)
    required = _REQUIRED if with_examples else _REQUIRED - {EXAMPLES}
    fields = _fields(root, required, _OPTIONAL)
    detector = _detector(fields["detector"], detectors)
    rule = RuleDocument(
        id=_identifier(fields["id"]),
        title=fields["title"].text(),
        detector=detector,
        parameters=_parameters(fields.get("parameters"), root, detector),
        severity=_severity(fields["severity"]),
        when=Condition(fields["when"].text(), fields["when"].where) if "when" in fields else None,
        message=_template(fields["message"], detector),
        runtime_message=_template(fields["runtime_message"], detector) if "runtime_message" in fields else "",
        why=_prose(fields["why"]),
        fix=_fix(fields["fix"], detector),
        references=_optional(fields, "references", Node.texts, ()),
        status=_choice(fields["status"], Status) if "status" in fields else Status.STABLE,
        aliases=_optional(fields, "aliases", Node.texts, ()),
        examples=_examples(fields[EXAMPLES]) if with_examples else (),
        source=name,
    )
    if with_examples:
        _check_examples(rule, fields[EXAMPLES])
    return rule


_Value = TypeVar("_Value")


def _optional(
    fields: Mapping[str, Node], key: str, read: Callable[[Node], _Value], default: _Value
) -> _Value:
    return read(fields[key]) if key in fields else default


def _fields(node: Node, required: frozenset[str], optional: frozenset[str]) -> dict[str, Node]:
    fields = {}
    for key, value in node.pairs():
        if key not in required | optional:
            known = ", ".join(sorted(required | optional))
            raise value.error(f"unknown key {key!r}", f"use one of {known}")
        fields[key] = value
    for key in sorted(required - fields.keys()):
        raise node.error(f"the key {key!r} is missing")
    return fields


def _identifier(node: Node) -> str:
    if not _ID.fullmatch(node.text()):
        raise node.error(f"not a rule id: {node.text()!r}", "write family/problem-name in lower case")
    return node.text()


def _prose(node: Node) -> str:
    return " ".join(node.text().split())


def _detector(node: Node, detectors: Mapping[str, Detector]) -> Detector:
    detector = detectors.get(node.text())
    if detector is None:
        raise node.error(f"unknown detector {node.text()!r}", f"use one of {', '.join(sorted(detectors))}")
    return detector


def _parameters(node: Node | None, root: Node, detector: Detector) -> Parameters:
    values: dict[str, ParameterValue] = {}
    for key, value in node.pairs() if node else ():
        kind = detector.parameters.get(key)
        if kind is None:
            known = ", ".join(sorted(detector.parameters)) or "none"
            raise value.error(f"the detector {detector.name} has no parameter {key!r}", f"it has: {known}")
        readers: Mapping[type, Callable[[Node], ParameterValue]] = {
            str: Node.text,
            bool: Node.truth,
            int: Node.number,
            tuple: Node.texts,
        }
        values[key] = readers[kind](value)
    for key in sorted(detector.parameters.keys() - values.keys()):
        raise (node or root).error(f"the detector {detector.name} needs the parameter {key!r}")
    return MappingProxyType(values)


def _choice(node: Node, choices: type[_Choice]) -> _Choice:
    try:
        return choices(node.text())
    except ValueError:
        raise node.error(f"unknown value {node.text()!r}", f"use one of {', '.join(choices)}") from None


def _severity(node: Node) -> Mapping[tuple[Tier, Certainty], Severity]:
    """``tier: severity`` or ``tier: {certainty: severity}``; ``none`` means no finding."""
    table: dict[tuple[Tier, Certainty], Severity] = {}
    for tier_name, value in node.pairs():
        tier = _choice(Node(value.where, "scalar", tier_name), Tier)
        if value.shape == "mapping":
            entries = [
                (_choice(Node(one.where, "scalar", key), Certainty), one) for key, one in value.pairs()
            ]
        else:
            entries = [(certainty, value) for certainty in Certainty]
        for certainty, one in entries:
            if one.text() != "none":
                table[tier, certainty] = _choice(one, Severity)
    if not table:
        raise node.error("no tier has a severity")
    return MappingProxyType(table)


def _template(node: Node, detector: Detector, more: frozenset[str] = frozenset()) -> str:
    text = _prose(node)
    known = COMMON_VALUES | detector.values | more
    for name in sorted(places(text) - known):
        raise node.error(f"unknown placeholder {{{name}}}", f"use one of {', '.join(sorted(known))}")
    return text


def _fix(node: Node, detector: Detector) -> Mapping[str, str]:
    if node.shape != "mapping":
        return MappingProxyType({DEFAULT_FIX: _sentences(node, detector)})
    fixes = {key: _sentences(value, detector) for key, value in node.pairs()}
    if DEFAULT_FIX not in fixes:
        raise node.error(f"the key {DEFAULT_FIX!r} is missing")
    return MappingProxyType(fixes)


def _sentences(node: Node, detector: Detector) -> str:
    sentences = node.items() if node.shape == "list" else (node,)
    return SENTENCE_END.join(_template(one, detector, REMEDIES) for one in sentences)


def _examples(node: Node) -> tuple[Example, ...]:
    """``fail`` and ``pass``: lists of {name, image, expect}."""
    groups = _fields(node, frozenset({"fail", "pass"}), frozenset())
    examples = []
    for group, fails in (("fail", True), ("pass", False)):
        for item in groups[group].items():
            fields = _fields(item, frozenset({"name", "image"}), frozenset({"expect"}))
            pairs = fields["expect"].pairs() if "expect" in fields else ()
            expect = MappingProxyType({key: value.text() for key, value in pairs})
            examples.append(Example(fields["name"].text(), fails, fields["image"], expect))
    return tuple(examples)


def _check_examples(rule: RuleDocument, node: Node) -> None:
    outcomes = {example.fails for example in rule.examples}
    if outcomes != {True, False}:
        raise RuleError(
            "a rule needs an example that fails and one that passes",
            where=node.where,
            advice="add one under examples.fail and one under examples.pass",
        )
