"""One rule for a person at a terminal: what it means, how bad it is where, and how to mend it.

An ``Explanation`` enters, text leaves.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from imagescan.reports.layout import STYLES, Terminal, hanging, indented, lines, render, safe
from imagescan.rules.explanation import Explanation, ShownExample

_LABEL_WIDTH = 10


def explanation_text(rule: Explanation, terminal: Terminal, *, verbose: bool = False) -> str:
    """The rule as text that ends with a line end; ``verbose`` adds the images of its examples."""
    heading = safe(rule.id, STYLES["object"])
    heading.append("  ").append_text(safe(rule.title, "default not bold"))
    parts: list[RenderableType] = [
        heading,
        "",
        indented(safe(rule.why), 2),
        "",
        hanging([*_rows(rule)], 2, _LABEL_WIDTH),
    ]
    if verbose:
        for example in rule.examples:
            parts += _example(example)
    return render(parts, terminal)


def _rows(rule: Explanation) -> Iterator[tuple[Text, Text]]:
    yield _row("finds", rule.message)
    for message in rule.runtime_messages:
        yield _row("says", message)
    for distribution, advice in rule.fixes:
        yield _row(f"on {distribution}" if distribution else "fix", advice)
    for tier, severity in rule.severities:
        yield _row(tier.value, severity)
    if rule.condition:
        yield _row("only when", rule.condition)
    if rule.aliases:
        yield _row("also", ", ".join(rule.aliases))
    for reference in rule.references:
        yield _row("see", reference)
    yield _row("status", rule.status.value)
    for example in rule.examples:
        yield _row("fails" if example.finding else "passes", example.name)


def _row(label: str, text: str) -> tuple[Text, Text]:
    return safe(label, STYLES["label"]), lines(text)


def _example(example: ShownExample) -> Iterator[RenderableType]:
    yield ""
    yield indented(_row("", f"{'fails' if example.finding else 'passes'}: {example.name}")[1], 2)
    yield indented(lines(example.image.rstrip("\n"), STYLES["label"]), 4)
