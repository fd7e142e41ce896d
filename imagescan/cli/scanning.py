"""``imagescan IMAGE...``: judge images and write the reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from imagescan import __version__
from imagescan.cli.context import Context, ScannedImage, width, write_file
from imagescan.cli.progress import ProgressLine
from imagescan.cli.settings import Output
from imagescan.errors import ImageScanError
from imagescan.findings import Counts, ImageSummary, Incomplete, ScanReport, Severity
from imagescan.gate import ExitCode, Verdict, judge, worst


@dataclass(frozen=True, slots=True)
class Judged:
    """One image's report and verdict; ``readable`` is false where the report only says why not."""

    report: ScanReport
    verdict: Verdict
    readable: bool = True


def run(context: Context, images: Sequence[str]) -> ExitCode:
    """Judge every image, also after one could not be read; returns the worst exit code."""
    judged: list[Judged] = []
    for image in images:
        try:
            results = scan_with_progress(context, image)
        except Exception as error:
            context.complain(error, image)
            judged.append(_unreadable(image, error))
        else:
            judged += [_judge(context, result.report) for result in results]
    for output in context.settings.outputs:
        text = _render(context, output, judged, as_list=is_list(context, images))
        if output.file is None:
            context.say(text)
        else:
            write_file(output.file, text)
    return worst(one.verdict.exit_code for one in judged)


def scan_with_progress(context: Context, image: str) -> tuple[ScannedImage, ...]:
    """Scan, with a progress line where somebody can see it.

    Raises:
        ImageScanError: as ``imagescan.scan`` does.
    """
    options = context.scan_options()
    settings = context.settings
    if settings.no_progress or settings.quiet or not context.stderr.isatty():
        return context.scan(image, options)
    progress = ProgressLine(context.stderr, width(context.environment, context.stderr))
    try:
        return context.scan(image, replace(options, on_progress=progress))
    finally:
        progress.clear()


def is_list(context: Context, images: Sequence[str]) -> bool:
    """Whether JSON is a list: by what was asked, never by how many answers there happen to be."""
    return len(images) > 1 or context.settings.platform == "all"


def _judge(context: Context, report: ScanReport) -> Judged:
    wish = context.settings.fail_on
    fail_on = None if wish == "never" else Severity(wish)
    return Judged(report, judge(report, fail_on, context.settings.allow_incomplete))


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
    detail = Detail.QUIET if settings.quiet else Detail.VERBOSE if settings.verbose else Detail.NORMAL
    terminal = context.terminal(context.stdout if output.file is None else None)
    # Standard error has said already why an image is unreadable; among several it keeps its place.
    shown = [one for one in judged if one.readable or len(judged) > 1]
    texts = [
        report_text(one.report, one.verdict, terminal, detail if one.readable else Detail.QUIET)
        for one in shown
    ]
    return ("" if settings.quiet else "\n").join(texts)
