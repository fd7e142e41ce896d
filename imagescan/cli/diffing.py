"""``imagescan diff OLD NEW``: what a new image breaks or mends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imagescan.cli.allowances import read_allowances, read_report_file
from imagescan.cli.context import Context, write_file
from imagescan.cli.scanning import detail_of, scan_with_progress, verdict_of
from imagescan.cli.settings import Output
from imagescan.dataclasses import replace
from imagescan.errors import UsageError
from imagescan.gate import ExitCode, Verdict, worst
from imagescan.reference import canonical_platform

if TYPE_CHECKING:
    from imagescan.comparison import Comparison
    from imagescan.findings import ScanReport

_SNIFFED = 64  # bytes of a file that tell a JSON document from an archive


def diff(context: Context, old: str, new: str) -> ExitCode:
    """Compare two images, or JSON reports of them; the gate weighs what is new or worse.

    Raises:
        ImageScanError: the waivers or a report file are wrong, or one side has a platform twice.
    """
    from imagescan.comparison import compare

    allowances = read_allowances(context, with_baseline=False)
    sides = []
    for image in (old, new):
        try:
            sides.append(_reports(context, image))
        except Exception as error:
            context.complain(error, image)
    if len(sides) < 2:
        return ExitCode.NOT_JUDGED
    comparisons = compare(sides[0], allowances.part(sides[1]))
    verdicts = [_verdict(context, comparison) for comparison in comparisons]
    if not any(output.format == "table" and output.file is None for output in context.settings.outputs):
        context.remark(remark for one in comparisons if one.new for remark in one.new.remarks)
    for output in context.settings.outputs:
        text = _render(context, output, comparisons, verdicts)
        if output.file is None:
            context.say(text)
        else:
            write_file(output.file, text)
    return worst(verdict.exit_code for verdict in verdicts)


def _reports(context: Context, image: str) -> tuple[ScanReport, ...]:
    if _is_report(context, image):
        reports = read_report_file(context.directory / image)
    else:
        reports = tuple(result.report for result in scan_with_progress(context, image))
    platforms = [canonical_platform(report.image.platform) for report in reports]
    if not reports or len(set(platforms)) < len(platforms):
        problem = "has two reports for one platform" if reports else "has no report"
        raise UsageError(problem, where=image, advice="diff compares one image with one image")
    return reports


def _is_report(context: Context, image: str) -> bool:
    """Whether the word names a file that begins as JSON does; no image archive begins so."""
    file = context.directory / image
    try:
        if not file.is_file():
            return False
        with file.open("rb") as stream:
            return stream.read(_SNIFFED).lstrip()[:1] in (b"{", b"[")
    except (OSError, ValueError):  # not readable, or no file name at all
        return False


def _verdict(context: Context, comparison: Comparison) -> Verdict:
    """The gate's answer to what the old image had not. What could not be looked at in the old image
    leaves open what is new, as what could not be looked at in the new one does."""
    failing, old = comparison.failing, comparison.old
    if failing is None:
        return Verdict(True, ExitCode.PASSED)
    verdict = verdict_of(context, failing)
    if old is None or not old.incomplete:
        return verdict
    reasons = verdict_of(context, replace(old, findings=())).reasons
    reasons = (*verdict.reasons, *(f"in the old image {reason}" for reason in reasons))
    if context.settings.allow_incomplete:
        return replace(verdict, reasons=reasons)
    return Verdict(False, ExitCode.NOT_JUDGED, reasons)


def _render(
    context: Context, output: Output, comparisons: Sequence[Comparison], verdicts: Sequence[Verdict]
) -> str:
    if output.format == "json":
        from imagescan.reports.diff_json import render

        reasons = tuple(reason for verdict in verdicts for reason in verdict.reasons)
        passed = all(verdict.passed for verdict in verdicts)
        return render(comparisons, Verdict(passed, worst(one.exit_code for one in verdicts), reasons))
    from imagescan.reports.diff_text import diff_text

    terminal = context.terminal(context.stdout if output.file is None else None)
    detail = detail_of(context)
    texts = [
        diff_text(comparison, verdict, terminal, detail)
        for comparison, verdict in zip(comparisons, verdicts, strict=True)
    ]
    return ("" if context.settings.quiet else "\n").join(texts)
