"""One rule for a person at a terminal: what it means, how bad it is where, and how to mend it.

A ``RuleDocument`` enters, text leaves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from imagescan.findings import Tier
from imagescan.reports.layout import STYLES, Terminal, hanging, indented, render, safe
from imagescan.rules.document import DEFAULT_FIX, RuleDocument

_LABEL_WIDTH = 10
_PLACE = re.compile(r"\{(\w+)\}")


def explanation(rule: RuleDocument, terminal: Terminal) -> str:
    """The rule as text that ends with a line end."""
    heading = safe(rule.id, STYLES["object"])
    heading.append("  ").append_text(safe(rule.title, "default not bold"))
    parts: list[RenderableType] = [
        heading,
        "",
        indented(safe(rule.why), 2),
        "",
        hanging([*_rows(rule)], 2, _LABEL_WIDTH),
    ]
    return render(parts, terminal)


def _rows(rule: RuleDocument) -> Iterator[tuple[Text, Text]]:
    if rule.runtime_message:
        yield _row("says", rule.runtime_message)
    for distribution, advice in sorted(rule.fix.items(), key=lambda item: item[0] != DEFAULT_FIX):
        yield _row("fix" if distribution == DEFAULT_FIX else f"on {distribution}", advice)
    for tier in Tier:
        graded = [(certainty, severity) for (of, certainty), severity in rule.severity.items() if of is tier]
        if graded:
            text = ", ".join(f"{severity.value} when {certainty.value}" for certainty, severity in graded)
            yield _row(tier.value, text)
    if rule.aliases:
        yield _row("also", ", ".join(rule.aliases))
    for reference in rule.references:
        yield _row("see", reference)
    yield _row("status", rule.status.value)


def _row(label: str, text: str) -> tuple[Text, Text]:
    # What a template leaves open reads as a word to be filled in.
    return safe(label, STYLES["label"]), safe(_PLACE.sub(r"<\1>", " ".join(text.split())))
