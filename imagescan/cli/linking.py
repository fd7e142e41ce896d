"""``imagescan tree`` and ``imagescan why``: show the link map."""

from __future__ import annotations

from imagescan.cli.context import Context, ScannedImage, write_file
from imagescan.cli.scanning import is_list, scan_with_progress
from imagescan.cli.settings import Output
from imagescan.cli.suggestion import suggestion
from imagescan.dataclasses import replace
from imagescan.errors import NotFound, UsageError
from imagescan.findings import Blame
from imagescan.gate import ExitCode
from imagescan.links import LinkReport, ObjectLinks


def tree(context: Context, image: str, program: str | None) -> ExitCode:
    """Show the link map of one program, or of the whole image.

    Raises:
        ImageScanError: the image cannot be read, or has no such program.
    """
    reports = [scanned.links for scanned in scan_with_progress(context, image)]
    if program is not None:
        reports = [_only(report, program) for report in reports]
    for output in context.settings.outputs:
        text = _render_tree(context, output, reports, image, whole=program is None)
        if output.file is None:
            context.say(text)
        else:
            write_file(output.file, text)
    return ExitCode.PASSED


def _only(report: LinkReport, program: str) -> LinkReport:
    from imagescan.reports.tree import matching

    objects = matching(report, program)
    if not objects:
        paths = [links.path for links in report.objects]
        advice = suggestion(program, paths, "imagescan tree IMAGE shows all programs")
        raise NotFound(f"no ELF file {program!r}", where=report.image.reference, advice=advice)
    return replace(report, objects=objects)


def _render_tree(
    context: Context, output: Output, reports: list[LinkReport], image: str, *, whole: bool
) -> str:
    settings = context.settings
    if output.format == "json":
        from imagescan.reports.links import render

        as_list = is_list(context, [image])
        return render(reports, closure=settings.closure, trail=settings.trail, as_list=as_list)
    from imagescan.reports.tree import tree_text

    terminal = context.terminal(context.stdout if output.file is None else None)
    deep = settings.closure or not whole
    trail = settings.trail or settings.verbose
    texts = [
        tree_text(report, _programs(report) if whole else report.objects, terminal, deep=deep, trail=trail)
        for report in reports
    ]
    return "\n".join(texts)


def _programs(report: LinkReport) -> tuple[ObjectLinks, ...]:
    return tuple(links for links in report.objects if links.kind != "library")


def why(context: Context, image: str, name: str) -> ExitCode:
    """Show who needs an object, where it was looked for, and what the layers did to it.

    Raises:
        ImageScanError: the image cannot be read, nothing in it has to do with the name, or the wish is
            for JSON.
    """
    from imagescan.reports.tree import why_text

    if any(output.format != "table" for output in context.settings.outputs):
        raise UsageError("why has no JSON", advice="use imagescan tree IMAGE -o json --trail")
    terminal, settings = context.terminal(context.stdout), context.settings
    trail = settings.trail or settings.verbose
    scans = scan_with_progress(context, image)
    histories = [_histories(scanned, name) for scanned in scans]
    if not any(found or _is_known(scanned, name) for scanned, found in zip(scans, histories, strict=True)):
        advice = "give a soname or a path; imagescan tree IMAGE shows what there is"
        raise NotFound(f"nothing in the image has or needs {name!r}", where=image, advice=advice)
    texts = [
        why_text(scanned.links, name, found, terminal, trail=trail)
        for scanned, found in zip(scans, histories, strict=True)
    ]
    context.say("\n".join(texts))
    return ExitCode.PASSED


def _is_known(scanned: ScannedImage, name: str) -> bool:
    from imagescan.reports.tree import matching, requests

    return bool(matching(scanned.links, name)) or next(requests(scanned.links, name), None) is not None


def _histories(scanned: ScannedImage, name: str) -> dict[str, tuple[Blame, ...]]:
    """What the layers did to each path that has to do with ``name``: itself, what answered to it,
    and every place where it was looked for; of what is preloaded also the file that says so."""
    from imagescan.reports.tree import PRELOADED, matching, requests

    paths = [name] if name.startswith("/") else []
    paths += [links.path for links in matching(scanned.links, name)]
    for asker, answer, steps in requests(scanned.links, name):
        paths += ["/etc/ld.so.preload"] if asker.endswith(f"({PRELOADED})") else []
        paths += [answer] if answer else []
        paths += [step.candidate for step in steps if step.candidate.startswith("/")]
    histories = {path: scanned.history(path) for path in dict.fromkeys(paths)}
    return {path: events for path, events in histories.items() if events}
