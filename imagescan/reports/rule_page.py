"""Rules as Markdown (CommonMark with tables): one page for each, and an index of all.

``Explanation`` values enter, text leaves. Every text of a rule document is escaped, so that it
reads on the page as it does in the document.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from imagescan.findings import Tier
from imagescan.patterns import pattern
from imagescan.reports.visible import visible
from imagescan.rules.explanation import Explanation, ShownExample

INDEX = "README.md"
_SPECIAL = pattern(r"[\\`*<\[\]]|(?<!\w)_|_(?!\w)")
_BACKTICKS = pattern(r"`+")
_TIERS = {
    Tier.STARTUP: "`startup`: on the way from ENTRYPOINT and CMD, or HEALTHCHECK, to a running program",
    Tier.COMMAND: "`command`: another program that a user or script could start",
    Tier.PLUGIN: "`plugin`: a shared object that is loaded by its name only (dlopen)",
    Tier.DORMANT: "`dormant`: not meant to run here",
}


def page_name(rule: Explanation) -> str:
    """The page's file below the directory of all pages."""
    return f"{rule.id}.md"


def page(rule: Explanation) -> str:
    """One rule's page."""
    blocks = [
        f"# {rule.id}",
        f"**{_escaped(rule.title)}**",
        f"> {_escaped(rule.message)}",
        "## Why",
        _escaped(rule.why),
        "## How to mend it",
        *(_escaped(text) for name, text in rule.fixes if not name),
        "\n".join(f"- On `{name}`: {_escaped(text)}" for name, text in rule.fixes if name),
        "## How severe it is",
        _table(("What it concerns", "Severity"), [(_TIERS[tier], text) for tier, text in rule.severities]),
        f"Only when this is true:\n\n{_fenced(visible(rule.condition), 'text')}" if rule.condition else "",
        *_messages(rule.runtime_messages),
        "## Examples",
        *(block for example in rule.examples for block in _example(example)),
        "## See also",
        "\n".join(f"- <{reference}>" for reference in rule.references),
        *_standing(rule),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def index(rules: Sequence[Explanation]) -> str:
    """The page that leads to all others, by family."""
    blocks = [
        "# Rules",
        "What imagescan looks for. `imagescan explain RULE` shows the same at a terminal, and a waiver in "
        "`.imagescan.yaml` keeps a finding from the gate. These pages are written by `imagescan rules docs` "
        "from the rule documents.",
    ]
    for family, members in groupby(rules, key=lambda rule: rule.id.partition("/")[0]):
        rows = [
            (f"[{rule.id}]({page_name(rule)})", rule.worst.value, _escaped(rule.title)) for rule in members
        ]
        blocks += [f"## {family}", _table(("Rule", "At worst", "What it says"), rows)]
    return "\n\n".join(blocks) + "\n"


def _messages(messages: tuple[str, ...]) -> Iterator[str]:
    if messages:
        yield "## What you may see at run time"
        yield _fenced("\n".join(_lines(messages)), "text")


def _example(example: ShownExample) -> Iterator[str]:
    yield f"### {'Found' if example.finding else 'Not found'}: {_escaped(example.name)}"
    yield _fenced(example.image.rstrip("\n"), "yaml")
    if example.finding:
        yield f"{example.finding.severity.value.capitalize()}: {_escaped(visible(example.finding.message))}"


def _standing(rule: Explanation) -> Iterator[str]:
    if rule.aliases:
        yield f"Also known as {', '.join(f'`{alias}`' for alias in rule.aliases)}."
    yield f"Status: {rule.status.value}."


def _lines(messages: Iterable[str]) -> Iterator[str]:
    for message in messages:
        yield from (visible(line) for line in message.split("\n"))


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda match: f"\\{match[0]}", " ".join(text.split()))


def _fenced(text: str, language: str) -> str:
    """A code block, its fence longer than any run of backticks in it."""
    longest = max((len(run) for run in _BACKTICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
