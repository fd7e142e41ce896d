"""What was there before: a baseline that findings are held against, and the difference of two images.

Two ``ScanReport`` values (or more, for a baseline) enter; a report with its findings parted, or a
``Comparison``, leaves. Findings are the same when their fingerprints are; one that has become more
severe than it was is never taken for an old one.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from imagescan.dataclasses import dataclass, replace
from imagescan.findings import Finding, LayerSummary, Remark, RemarkKind, ScanReport, Severity
from imagescan.reference import canonical_platform


def pass_known(report: ScanReport, baseline: Sequence[ScanReport], where: str) -> ScanReport:
    """The report with every finding that the baseline has too moved to ``known_before``.

    Baseline reports of another platform do not count; what they waived does not either.

    Args:
        report: the report to part.
        baseline: what was found before.
        where: the baseline's file, for a remark when it has nothing for this platform.
    """
    platform = _platform(report)
    fitting = [one for one in baseline if _tells(one) and (not platform or _platform(one) in ("", platform))]
    if not fitting:
        message = f"the baseline has no report for {platform or 'any platform'}: every finding counts as new"
        remark = Remark(RemarkKind.BASELINE_WITHOUT_PLATFORM, message, where)
        return replace(report, remarks=(*report.remarks, remark))
    before = _severities(finding for one in fitting for finding in (*one.findings, *one.known_before))
    new = tuple(finding for finding in report.findings if not _is_known(finding, before))
    known = tuple(finding for finding in report.findings if _is_known(finding, before))
    return replace(report, findings=new, known_before=(*report.known_before, *known))


def _platform(report: ScanReport) -> str:
    return canonical_platform(report.image.platform)


def _tells(report: ScanReport) -> bool:
    """Whether it is more than the place of an image that could not be read."""
    return bool(report.image.platform or report.image.layers)


def _severities(findings: Iterable[Finding]) -> dict[str, Severity]:
    """The worst severity for each fingerprint."""
    worst: dict[str, Severity] = {}
    for finding in findings:
        known = worst.get(finding.fingerprint)
        if finding.fingerprint and (known is None or known.rank < finding.severity.rank):
            worst[finding.fingerprint] = finding.severity
    return worst


def _is_known(finding: Finding, before: dict[str, Severity]) -> bool:
    severity = before.get(finding.fingerprint)
    return severity is not None and finding.severity.rank <= severity.rank


@dataclass(frozen=True, slots=True)
class WorseFinding:
    """A finding that both images have, and that was less severe in the old one."""

    finding: Finding
    before: Severity


@dataclass(frozen=True, slots=True)
class Change:
    """A fact of the image that differs: ``name`` is platform, distribution, libc or
    startup_command; ``old`` and ``new`` are text, "" where there is none."""

    name: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """One platform of an old and a new image. ``old`` or ``new`` is None where only the other image
    has the platform. ``new_findings`` and ``worse`` count for the gate, as in the new report they
    would; ``mended`` were in the old image and are not in the new one. Layers are compared by diff
    ID: ``added`` of the new image, ``removed`` of the old one."""

    old: ScanReport | None
    new: ScanReport | None
    new_findings: tuple[Finding, ...]
    worse: tuple[WorseFinding, ...]
    mended: tuple[Finding, ...]
    unchanged: int
    shared_layers: int
    added_layers: tuple[LayerSummary, ...]
    removed_layers: tuple[LayerSummary, ...]
    changes: tuple[Change, ...] = ()

    @property
    def platform(self) -> str:
        """The new image's platform, the old one's where only that has it."""
        return self._one.image.platform

    @property
    def failing(self) -> ScanReport | None:
        """The new report with only what the old image had not: what the gate weighs."""
        if self.new is None:
            return None
        findings = (*self.new_findings, *(worse.finding for worse in self.worse))
        return replace(self.new, findings=findings)

    @property
    def _one(self) -> ScanReport:
        one = self.new or self.old
        assert one is not None, "a comparison has a side"
        return one


def compare(olds: Sequence[ScanReport], news: Sequence[ScanReport]) -> tuple[Comparison, ...]:
    """Compare platform by platform: those of the new image first, then those that it lost.

    A single report is compared with a single report whatever their platforms. Each sequence has a
    platform once.
    """
    if len(olds) == len(news) == 1:
        return (_compare_one(olds[0], news[0]),)
    old_by_platform = {_platform(report): report for report in olds}
    new_platforms = {_platform(report) for report in news}
    kept = [_compare_one(old_by_platform.get(_platform(report)), report) for report in news]
    lost = [_compare_one(report, None) for report in olds if _platform(report) not in new_platforms]
    return (*kept, *lost)


def _compare_one(old: ScanReport | None, new: ScanReport | None) -> Comparison:
    old_all, new_all = _everything(old), _everything(new)
    before, after = _severities(old_all), {finding.fingerprint for finding in new_all}
    candidates = (*new.findings, *new.known_before) if new else ()
    new_findings = tuple(one for one in candidates if one.fingerprint not in before)
    worse = tuple(
        WorseFinding(one, before[one.fingerprint])
        for one in candidates
        if one.fingerprint in before and not _is_known(one, before)
    )
    old_layers, new_layers = _layers(old), _layers(new)
    old_ids, new_ids = {one.diff_id for one in old_layers}, {one.diff_id for one in new_layers}
    return Comparison(
        old,
        new,
        new_findings,
        worse,
        mended=tuple(one for one in old_all if one.fingerprint not in after) if new else (),
        unchanged=len(before.keys() & after) - len(worse),
        shared_layers=sum(one.diff_id in old_ids for one in new_layers),
        added_layers=tuple(one for one in new_layers if one.diff_id not in old_ids),
        removed_layers=tuple(one for one in old_layers if one.diff_id not in new_ids) if new else (),
        changes=changes(old, new) if old and new else (),
    )


def _everything(report: ScanReport | None) -> tuple[Finding, ...]:
    """What an image has, whatever its user decided to live with."""
    if report is None:
        return ()
    return (*report.findings, *report.known_before, *(waived.finding for waived in report.waived))


def _layers(report: ScanReport | None) -> tuple[LayerSummary, ...]:
    return report.image.layers if report else ()


def changes(old: ScanReport, new: ScanReport) -> tuple[Change, ...]:
    """What differs between two images beside findings and layers."""
    pairs = (
        ("platform", _platform(old), _platform(new)),
        ("distribution", old.image.distribution, new.image.distribution),
        ("libc", ", ".join(old.image.libc), ", ".join(new.image.libc)),
        ("startup_command", shlex.join(old.startup_command), shlex.join(new.startup_command)),
    )
    return tuple(Change(name, before, after) for name, before, after in pairs if before != after)
