"""``imagescan IMAGE...``: judge images and write the reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imagescan import __version__
from imagescan.cli.allowances import read_allowances
from imagescan.cli.context import Context, ScannedImage, width, write_file
from imagescan.cli.settings import Output
from imagescan.dataclasses import dataclass, replace
from imagescan.errors import ImageScanError
from imagescan.findings import Counts, ImageSummary, Incomplete, ScanReport, Severity
from imagescan.gate import ExitCode, Verdict, judge, worst

if TYPE_CHECKING:
    from imagescan.cache.outputs import Evidence
    from imagescan.reports.table import Detail


@dataclass(frozen=True, slots=True)
class Judged:
    """One image's report and verdict; ``readable`` is false where the report only says why not."""

    report: ScanReport
    verdict: Verdict
    readable: bool = True


def run(context: Context, images: Sequence[str]) -> ExitCode:
    """Judge every image, also after one could not be read; returns the worst exit code.

    Raises:
        ImageScanError: the waivers or the baseline are wrong.
    """
    allowances = read_allowances(context)
    reports: list[ScanReport | Judged] = []
    evidence: list[Evidence | None] = []
    for image in images:
        try:
            results = scan_with_progress(context, image)
            reports += [result.report for result in results]
            if context.recording is not None:
                evidence += [result.evidence for result in results]
        except Exception as error:
            context.complain(error, image)
            reports.append(_unreadable(image, error))
            evidence.append(None)
    parted = iter(allowances.part([report for report in reports if isinstance(report, ScanReport)]))
    judged = [one if isinstance(one, Judged) else _judge(context, next(parted)) for one in reports]
    if not any(output.format == "table" and output.file is None for output in context.settings.outputs):
        context.remark(remark for one in judged for remark in one.report.remarks)
    for output in context.settings.outputs:
        text = _render(context, output, judged, as_list=is_list(context, images))
        if output.file is None:
            context.say(text)
        else:
            write_file(output.file, text)
    code = worst(one.verdict.exit_code for one in judged)
    if context.recording is not None:
        context.recording.keep(context, evidence, code)
    return code


def scan_with_progress(context: Context, image: str) -> tuple[ScannedImage, ...]:
    """Scan, with a progress line where somebody can see it.

    Raises:
        ImageScanError: as ``imagescan.scan`` does.
    """
    options = context.scan_options()
    settings = context.settings
    if settings.no_progress or settings.quiet or not context.stderr.isatty():
        return context.scan(image, options)
    from imagescan.cli.progress import ProgressLine

    stream = context.stderr if context.recording is None else context.recording.unrecorded
    progress = ProgressLine(stream, width(context.environment, stream))
    try:
        return context.scan(
            image, replace(options, on_progress=progress, on_message=progress.above(context.note))
        )
    finally:
        progress.clear()


def is_list(context: Context, images: Sequence[str]) -> bool:
    """Whether JSON is a list: by what was asked, never by how many answers there happen to be."""
    return len(images) > 1 or context.settings.platform == "all"


def verdict_of(context: Context, report: ScanReport) -> Verdict:
    """The gate's answer at the user's threshold."""
    wish = context.settings.fail_on
    fail_on = None if wish == "never" else Severity(wish)
    return judge(report, fail_on, context.settings.allow_incomplete)


def _judge(context: Context, report: ScanReport) -> Judged:
    return Judged(report, verdict_of(context, report))


def _unreadable(image: str, error: Exception) -> Judged:
    """A report that only says why there is none, so that no image is missing from a document."""
    reason = str(error) if isinstance(error, ImageScanError) else f"{type(error).__name__}: {error}"
    report = ScanReport(
        image=ImageSummary(image, "", "", "", "", (), ()),
        findings=(),
        incomplete=(Incomplete("", reason),),
        counts=Counts(0, 0, 0, 0, 0, ()),
        startup_command=(),
        tool_version=__version__,
    )
    return Judged(report, Verdict(False, ExitCode.NOT_JUDGED, (reason,)), readable=False)


def _render(context: Context, output: Output, judged: Sequence[Judged], *, as_list: bool) -> str:
    if output.format == "json":
        from imagescan.reports.json_report import render

        return render([(one.report, one.verdict) for one in judged], as_list=as_list)
    from imagescan.reports.table import Detail, report_text

    settings = context.settings
    detail = detail_of(context)
    terminal = context.terminal(context.stdout if output.file is None else None)
    # Standard error has said already why an image is unreadable; among several it keeps its place.
    shown = [one for one in judged if one.readable or len(judged) > 1]
    texts = [
        report_text(
            one.report,
            one.verdict,
            terminal,
            detail if one.readable else Detail.QUIET,
            show_waived=settings.show_waived,
        )
        for one in shown
    ]
    return ("" if settings.quiet else "\n").join(texts)


def detail_of(context: Context) -> Detail:
    """How much the user wishes to read."""
    from imagescan.reports.table import Detail

    if context.settings.quiet:
        return Detail.QUIET
    return Detail.VERBOSE if context.settings.verbose else Detail.NORMAL
