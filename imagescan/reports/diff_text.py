"""The difference of two images for a person at a terminal.

A ``Comparison`` and its ``Verdict`` enter, text leaves: the verdict, what differs between the
images, then what the new one breaks, and what it mends.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from imagescan.comparison import Comparison
from imagescan.findings import LayerSummary
from imagescan.gate import Verdict
from imagescan.reports.layout import STYLES, Terminal, hanging, indented, render, safe
from imagescan.reports.table import (
    COMMAND_SHOWN,
    FINDINGS_SHOWN,
    Detail,
    finding_groups,
    more,
    one_line,
    remark_lines,
    verdict_line,
)

LAYERS_SHOWN = 8  # added or removed ones, unless verbose
_INDENT = 2
_LABEL_WIDTH = 8
_LABELS = {"platform": "platform", "distribution": "system", "libc": "libc", "startup_command": "starts"}


def diff_text(comparison: Comparison, verdict: Verdict, terminal: Terminal, detail: Detail) -> str:
    """One platform's difference as text that ends with a line end."""
    if comparison.new is None:
        return render([*_lost(comparison)], terminal)
    parts: list[RenderableType] = [verdict_line(comparison.new.image, verdict)]
    if detail > Detail.QUIET:
        parts.append(hanging([*_facts(comparison, detail)], _INDENT, _LABEL_WIDTH))
        parts.append(indented(safe(_outcome(comparison, verdict)), _INDENT))
        parts += _broken(comparison, detail)
        parts += _mended(comparison, detail)
        parts += remark_lines(comparison.new.remarks, detail)
    return render(parts, terminal)


def _lost(comparison: Comparison) -> Iterator[RenderableType]:
    assert comparison.old is not None, "a comparison has a side"
    line = Text("GONE  ", style=STYLES["warning"], no_wrap=True)
    line.append_text(safe(comparison.old.image.reference, STYLES["object"]))
    platform = f"  {comparison.platform}: the new image has no such platform"
    yield line.append_text(safe(platform, "default not bold"))


def _facts(comparison: Comparison, detail: Detail) -> Iterator[tuple[Text, Text]]:
    if comparison.old is None:
        yield _label("against"), safe("nothing: the old image has no such platform")
    else:
        yield _label("against"), safe(comparison.old.image.reference)
    for change in comparison.changes:
        arrow = f"{change.old or 'nothing'} -> {change.new or 'nothing'}"
        yield _label(_LABELS[change.name]), safe(arrow)
    added, removed = comparison.added_layers, comparison.removed_layers
    counts = f"{comparison.shared_layers} shared, {len(added)} added, {len(removed)} removed"
    yield _label("layers"), safe(counts)
    yield from _layers("added", added, detail)
    yield from _layers("removed", removed, detail)


def _layers(word: str, layers: tuple[LayerSummary, ...], detail: Detail) -> Iterator[tuple[Text, Text]]:
    shown = layers if detail is Detail.VERBOSE else layers[:LAYERS_SHOWN]
    for layer in shown:
        command = layer.created_by or layer.diff_id
        if detail is not Detail.VERBOSE and len(command) > COMMAND_SHOWN:
            command = f"{command[:COMMAND_SHOWN]} ..."
        yield _label(word), safe(f"{layer.index} {command}")
    if len(layers) > len(shown):
        yield _label(word), safe(f"and {len(layers) - len(shown)} more (-v shows all)", STYLES["label"])


def _label(text: str) -> Text:
    return safe(text, STYLES["label"])


def _outcome(comparison: Comparison, verdict: Verdict) -> str:
    counts = (
        (len(comparison.new_findings), "new"),
        (len(comparison.worse), "worse"),
        (len(comparison.mended), "mended"),
        (comparison.unchanged, "unchanged"),
    )
    found = ", ".join(f"{count:,} {word}" for count, word in counts if count)
    reserve = [reason for reason in verdict.reasons if "looked at" in reason]
    return "; ".join([found or "no findings in either", *reserve])


def _broken(comparison: Comparison, detail: Detail) -> Iterator[RenderableType]:
    yield from _section("new", bool(comparison.new_findings))
    yield from finding_groups(comparison.new_findings, detail)
    for before in dict.fromkeys(worse.before for worse in comparison.worse):
        yield from _section(f"worse, was {before.value}", True)
        findings = tuple(worse.finding for worse in comparison.worse if worse.before is before)
        yield from finding_groups(findings, detail)


def _mended(comparison: Comparison, detail: Detail) -> Iterator[RenderableType]:
    yield from _section("mended", bool(comparison.mended))
    shown = comparison.mended if detail is Detail.VERBOSE else comparison.mended[:FINDINGS_SHOWN]
    for finding in shown:
        yield indented(one_line(finding), _INDENT)
    yield from more(len(comparison.mended) - len(shown), "finding")


def _section(title: str, is_there: bool) -> Iterator[RenderableType]:
    if is_there:
        yield ""
        yield Text(f"{title}:", style="bold")
