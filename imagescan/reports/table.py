"""The report for a person at a terminal: the verdict first, then findings by severity and cause.

A ``ScanReport`` and its ``Verdict`` enter, text leaves. A healthy image gives two or three lines.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from enum import IntEnum
from itertools import groupby

from rich.console import RenderableType
from rich.text import Text

from imagescan.findings import (
    Blame,
    Finding,
    ImageSummary,
    Incomplete,
    Remark,
    ScanReport,
    Severity,
    TrailLine,
    WaivedFinding,
)
from imagescan.gate import ExitCode, Verdict
from imagescan.reports.layout import STYLES, Terminal, hanging, indented, lines, render, safe

FINDINGS_SHOWN = 20  # of one rule, unless verbose
NOTES_SHOWN = 3  # the same for notes: they matter less than the lines that they take
ITEMS_SHOWN = 6  # missing symbols, requesters and the like of one finding, unless verbose
INCOMPLETE_SHOWN = 5
REMARKS_SHOWN = 5
COMMAND_SHOWN = 100  # characters of a layer's instruction, unless verbose
_INDENT = 2
_LABEL_WIDTH = 9
_VERDICTS = {
    ExitCode.PASSED: ("PASSED", "passed"),
    ExitCode.FAILED: ("FAILED", "failed"),
    ExitCode.NOT_JUDGED: ("NOT JUDGED", "failed"),
}


class Detail(IntEnum):
    """How much to say: -q, nothing, -v."""

    QUIET = 0
    NORMAL = 1
    VERBOSE = 2


def report_text(
    report: ScanReport,
    verdict: Verdict,
    terminal: Terminal,
    detail: Detail = Detail.NORMAL,
    *,
    show_waived: bool = False,
) -> str:
    """The whole report as text that ends with a line end; ``show_waived`` lists waived findings."""
    parts: list[RenderableType] = [verdict_line(report.image, verdict)]
    if detail > Detail.QUIET:
        parts += _summary(report, verdict)
        parts += finding_groups(report.findings, detail)
        parts += _known_before(report.known_before, detail)
        parts += _waived(report.waived) if show_waived else ()
        parts += _incomplete(report.incomplete, detail)
        parts += remark_lines(report.remarks, detail)
    return render(parts, terminal)


def finding_groups(findings: tuple[Finding, ...], detail: Detail) -> Iterator[RenderableType]:
    """Findings under a heading for each severity and rule, in their order."""
    for (severity, rule), group in groupby(findings, key=lambda f: (f.severity, f.rule)):
        yield from _group(severity, rule, list(group), detail)


def verdict_line(image: ImageSummary, verdict: Verdict) -> Text:
    """The one line that says whether the image passed."""
    word, style = _VERDICTS[verdict.exit_code]
    # One line for each image, so that it can be searched for.
    line = Text(f"{word}  ", style=STYLES[style], no_wrap=True)
    line.append_text(safe(image.reference, STYLES["object"]))
    if image.platform:
        line.append("  ").append_text(safe(image.platform, "default not bold"))
    return line


def _summary(report: ScanReport, verdict: Verdict) -> Iterator[RenderableType]:
    image = report.image
    facts = [image.distribution, *image.libc, image.digest[:19]]
    known = "  ".join(fact for fact in facts if fact)
    if known:
        yield indented(safe(known, STYLES["label"]), _INDENT)
    if report.startup_command:
        yield indented(safe(f"starts {' '.join(report.startup_command)}", STYLES["label"]), _INDENT)
    if report.startup_open_ends:
        first, *rest = report.startup_open_ends
        text = f"not followed: {first}" + (f" (and {len(rest)} more)" if rest else "")
        yield indented(safe(text, STYLES["label"]), _INDENT)
    if report.overrides:
        given = " ".join(f"--{one.name} {shlex.quote(one.value)}" for one in report.overrides)
        yield indented(safe(f"as if started with {given}", STYLES["label"]), _INDENT)
    if image.history_note and any(finding.blame for finding in report.findings):
        yield indented(safe(f"layers: {image.history_note}", STYLES["label"]), _INDENT)
    yield indented(safe(_outcome(report, verdict)), _INDENT)


def _outcome(report: ScanReport, verdict: Verdict) -> str:
    counts = report.counts
    looked_at = f"{counted(counts.elf_files, 'ELF file')} and {counted(counts.scripts, 'script')} looked at"
    found = [
        counted(sum(f.severity is severity for f in report.findings), severity.value)
        for severity in Severity
        if any(f.severity is severity for f in report.findings)
    ]
    found += [f"{len(report.known_before):,} known before"] if report.known_before else []
    found += [f"{len(report.waived):,} waived"] if report.waived else []
    if found:
        outcome = f"{', '.join(found)}; {looked_at}"
    elif report.incomplete:
        outcome = f"nothing found so far; {looked_at}"
    else:
        outcome = f"nothing found; {looked_at}"
    reserve = [reason for reason in verdict.reasons if "looked at" in reason]
    return "; ".join([outcome, *reserve])


def _group(
    severity: Severity, rule: str, findings: list[Finding], detail: Detail
) -> Iterator[RenderableType]:
    yield ""
    title = safe(findings[0].title)
    title.append("  ").append_text(safe(rule, STYLES["label"]))
    label = Text(severity.value, style=STYLES[severity.value])
    yield hanging([(label, title)], 0, len(severity.value) + 1)
    brief = severity is Severity.NOTE and detail is not Detail.VERBOSE
    most = NOTES_SHOWN if brief else FINDINGS_SHOWN
    shown = findings if detail is Detail.VERBOSE else findings[:most]
    for finding in shown:
        yield from _brief(finding) if brief else _finding(finding, detail)
    yield from more(len(findings) - len(shown), "finding")


def _brief(finding: Finding) -> Iterator[RenderableType]:
    if finding.object in finding.message:
        yield indented(safe(finding.message), _INDENT)
        return
    text = safe(finding.object, STYLES["object"])
    yield indented(text.append("  ").append_text(safe(finding.message, "default not bold")), _INDENT)


def _finding(finding: Finding, detail: Detail) -> Iterator[RenderableType]:
    yield indented(safe(finding.object, STYLES["object"]), _INDENT)
    rows = [("", lines(finding.message))]
    if finding.runtime_message:
        rows.append(("says", lines(finding.runtime_message, "italic")))
    if finding.condition:
        rows.append(("when", safe(finding.condition)))
    if len(finding.items) > 1 or any(item not in finding.message for item in finding.items):
        rows.append(("missing", _listed(finding.items, ", ", detail)))
    others = tuple(path for path in finding.requesters if path not in (finding.object, *finding.items))
    if others:
        rows.append(("needed by", _listed(others, ", ", detail)))
    if finding.owner:
        rows.append(("package", safe(finding.owner)))
    rows += [("layer", _blame(blame, detail)) for blame in finding.blame]
    if finding.fix:
        rows.append(("fix", lines(finding.fix)))
    if detail is Detail.VERBOSE:
        rows += _explanation(finding)
    labelled = [(Text(label, style=STYLES["label"]), text) for label, text in rows]
    width = max(_LABEL_WIDTH, *(len(label) for label, _ in rows))
    yield indented(labelled[0][1], _INDENT + 2)
    if labelled[1:]:
        yield hanging(labelled[1:], _INDENT + 2, width)


def _explanation(finding: Finding) -> list[tuple[str, Text]]:
    rows = [("search" if not position else "", _step(step)) for position, step in enumerate(finding.trail)]
    grade = f"{finding.tier.value}, {finding.certainty.value}"
    rows.append(("grade", safe(grade)))
    if finding.why:
        rows.append(("why", lines(finding.why)))
    rows += [("see", safe(reference)) for reference in finding.references]
    if finding.fingerprint:
        rows.append(("id", safe(finding.fingerprint)))
    return rows


def _step(step: TrailLine) -> Text:
    reason = f" ({step.detail})" if step.detail else ""
    text = safe(step.candidate or step.source)
    return text.append_text(safe(f"  {step.outcome}{reason}  [{step.source}]", STYLES["label"]))


def _blame(blame: Blame, detail: Detail) -> Text:
    # What sets a variable makes no layer: it stands above one.
    place = f"above {blame.layer_index}" if blame.action == "set" else f"{blame.layer_index}"
    text = safe(f"{place} {blame.action} {blame.path}")
    command = blame.created_by
    if detail is not Detail.VERBOSE and len(command) > COMMAND_SHOWN:
        command = f"{command[:COMMAND_SHOWN]} ..."
    if command:
        text.append(": ").append_text(safe(command, STYLES["label"]))
    if detail is Detail.VERBOSE and blame.layer_digest:
        text.append_text(safe(f"  {blame.layer_digest}", STYLES["label"]))
    return text


def _incomplete(entries: tuple[Incomplete, ...], detail: Detail) -> Iterator[RenderableType]:
    if not entries:
        return
    yield ""
    yield Text("could not be looked at", style=STYLES["warning"])
    shown = entries if detail is Detail.VERBOSE else entries[:INCOMPLETE_SHOWN]
    for entry in shown:
        layer = "" if entry.layer_index is None else f" (layer {entry.layer_index})"
        text = safe(entry.path or "the image", STYLES["object"])
        yield indented(text.append_text(safe(f"  {entry.reason}{layer}", "default not bold")), _INDENT)
    yield from more(len(entries) - len(shown), "entry", "entries")


def _known_before(findings: tuple[Finding, ...], detail: Detail) -> Iterator[RenderableType]:
    if findings and detail is Detail.VERBOSE:
        yield ""
        yield Text("known before", style=STYLES["label"])
        for finding in findings:
            yield indented(one_line(finding), _INDENT)


def _waived(waived: tuple[WaivedFinding, ...]) -> Iterator[RenderableType]:
    if not waived:
        return
    yield ""
    yield Text("waived", style=STYLES["label"])
    for one in waived:
        yield indented(one_line(one.finding), _INDENT)
        until = f", until {one.expires}" if one.expires else ""
        reason = safe(one.reason).append_text(safe(f"  {one.where}{until}", STYLES["label"]))
        yield hanging([(safe("because", STYLES["label"]), reason)], 2 * _INDENT, _LABEL_WIDTH)


def one_line(finding: Finding) -> Text:
    """A finding that needs no attention: its severity, rule and message."""
    text = safe(finding.severity.value, STYLES[finding.severity.value])
    text.append_text(safe(f"  {finding.rule}  ", "default not bold"))
    if finding.object not in finding.message:
        text.append_text(safe(finding.object, "default bold")).append("  ")
    return text.append_text(safe(finding.message, "default not bold"))


def remark_lines(remarks: tuple[Remark, ...], detail: Detail) -> Iterator[RenderableType]:
    """Remarks under a heading, if there are any."""
    if not remarks:
        return
    yield ""
    yield Text("remarks", style=STYLES["warning"])
    shown = remarks if detail is Detail.VERBOSE else remarks[:REMARKS_SHOWN]
    for remark in shown:
        text = safe(remark.where, STYLES["object"])
        yield indented(text.append_text(safe(f"  {remark.message}", "default not bold")), _INDENT)
    yield from more(len(remarks) - len(shown), "remark")


def _listed(items: tuple[str, ...], separator: str, detail: Detail) -> Text:
    shown = items if detail is Detail.VERBOSE else items[:ITEMS_SHOWN]
    text = Text(separator).join([safe(item) for item in shown])
    hidden = len(items) - len(shown)
    return text.append(f" and {hidden:,} more", STYLES["label"]) if hidden else text


def more(hidden: int, noun: str, plural: str = "") -> Iterator[RenderableType]:
    """A line that says how many are not shown, if any."""
    if hidden > 0:
        text = f"and {counted(hidden, noun, plural)} more (-v shows all)"
        yield indented(Text(text, style=STYLES["label"]), _INDENT)


def counted(count: int, noun: str, plural: str = "") -> str:
    """``1 finding``, ``2 findings``."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
