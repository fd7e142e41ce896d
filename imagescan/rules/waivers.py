"""What the user has decided to live with: waivers keep findings from the gate until they expire.

Reports and waivers enter, the same reports with their findings parted leave. A finding is one
cause with all that suffers from it, so a waiver waives it only when it covers every path and
every name of it: a new program with an old problem is never waived by accident. Waivers come from
the user's configuration alone; nothing in an image can waive anything. ``field.md`` §4.5.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from fnmatch import fnmatchcase

from imagescan.dataclasses import dataclass, replace
from imagescan.errors import RuleError
from imagescan.findings import Finding, ImageSummary, Remark, RemarkKind, ScanReport, WaivedFinding
from imagescan.patterns import pattern
from imagescan.reference import canonical_platform
from imagescan.rules.document import RuleDocument

NAMES_IN_REMARK = 3  # what a waiver leaves uncovered, spelt out
_TRANSPORTS = ("docker", "podman", "registry", "oci", "oci-archive", "docker-archive", "dir")
_DOCKER_HUB = ("docker.io/", "docker.io/library/")
_ITEM_WITH_LIBRARY = pattern(r"(.*) \((.*)\)", re.DOTALL)  # "GLIBC_2.38 (libc.so.6)"


@dataclass(frozen=True, slots=True)
class Waiver:
    """One entry of ``waivers``. All conditions must hold; an empty one always holds.

    ``rules`` are ids, aliases or globs such as ``loader/*``; ``paths`` globs of paths in the image
    (``*`` within a directory, ``**`` across); ``sonames``, ``symbols`` and ``images`` globs;
    ``platforms`` in canonical form. ``expires`` is the last day on which it holds.
    ``where`` is its ``file:line:column``.
    """

    reason: str
    where: str
    rules: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    sonames: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    expires: date | None = None


def with_rule_ids(waivers: Iterable[Waiver], rules: Sequence[RuleDocument]) -> tuple[Waiver, ...]:
    """The waivers with aliases replaced by ids, ready for ``waive``.

    Raises:
        RuleError: a waiver names a rule that does not exist.
    """
    known: dict[str, str] = {}
    for rule in rules:
        known |= dict.fromkeys(rule.aliases, rule.id)
    known |= {rule.id: rule.id for rule in rules}
    return tuple(
        replace(waiver, rules=tuple(_rule_id(name, known, waiver.where) for name in waiver.rules))
        for waiver in waivers
    )


def _rule_id(name: str, known: Mapping[str, str], where: str) -> str:
    if name in known:
        return known[name]
    if any(fnmatchcase(identifier, name) for identifier in known.values()):
        return name
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1)
    advice = f"did you mean {near[0]}?" if near else "imagescan rules list shows all rules"
    raise RuleError(f"the waiver names no rule: {name[:100]!r}", where=where, advice=advice)


def waive(reports: Sequence[ScanReport], waivers: Sequence[Waiver], today: date) -> tuple[ScanReport, ...]:
    """Part the findings of all reports of one run; one report leaves for each that enters.

    A waiver that waives nothing in any of them is remarked on in every report that it could have
    been for; one that has expired, where it is missed or not.
    """
    in_force = [waiver for waiver in waivers if not _expired(waiver, today)]
    parted = [_waive_one(report, in_force) for report in reports]
    needed = {waiver.where for waiver in waivers for report in parted if _covered(waiver, report)}
    return tuple(
        replace(report, remarks=(*report.remarks, *_remarks(report, waivers, needed, today)))
        for report in parted
    )


def _expired(waiver: Waiver, today: date) -> bool:
    return waiver.expires is not None and waiver.expires < today


def _waive_one(report: ScanReport, waivers: Sequence[Waiver]) -> ScanReport:
    applying = [waiver for waiver in waivers if _is_for(waiver, report.image)]
    left: list[Finding] = []
    waived = list(report.waived)
    for finding in report.findings:
        waiver = next((one for one in applying if uncovered(one, finding) == ()), None)
        if waiver is None:
            left.append(finding)
        else:
            expires = waiver.expires.isoformat() if waiver.expires else ""
            waived.append(WaivedFinding(finding, waiver.reason, expires, waiver.where))
    return replace(report, findings=tuple(left), waived=tuple(waived))


def _covered(waiver: Waiver, report: ScanReport) -> int:
    """How many findings a waiver covers, whether another waiver has waived them already or not."""
    if not _is_for(waiver, report.image):
        return 0
    findings = (*report.findings, *(waived.finding for waived in report.waived))
    return sum(uncovered(waiver, finding) == () for finding in findings)


def _is_for(waiver: Waiver, image: ImageSummary) -> bool:
    if waiver.platforms and canonical_platform(image.platform) not in waiver.platforms:
        return False
    return not waiver.images or any(
        fnmatchcase(name, pattern) for name in _spellings(image.reference) for pattern in waiver.images
    )


def _spellings(reference: str) -> Iterator[str]:
    """The reference as shown, without its transport, and as Docker Hub's names are shortened."""
    yield reference
    transport, _, rest = reference.partition(":")
    name = rest if transport in _TRANSPORTS else reference
    yield name
    for prefix in _DOCKER_HUB:
        if name.startswith(prefix):
            yield name.removeprefix(prefix)


def uncovered(waiver: Waiver, finding: Finding) -> tuple[str, ...] | None:
    """What a waiver leaves of a finding: () when it covers all, None when it is about something
    else, otherwise the paths and names that it does not cover."""
    if waiver.rules and not any(fnmatchcase(finding.rule, pattern) for pattern in waiver.rules):
        return None
    left: list[str] = []
    paths = dict.fromkeys((finding.object, *finding.requesters))
    for names, patterns, matches in (
        (tuple(paths), waiver.paths, matches_path),
        (_sonames(finding), waiver.sonames, fnmatchcase),
        (_symbols(finding), waiver.symbols, _matches_symbol),
    ):
        if not patterns:
            continue
        rest = [name for name in names if not any(matches(name, pattern) for pattern in patterns)]
        if len(rest) == len(names):
            return None
        left += rest
    return tuple(left)


def _sonames(finding: Finding) -> tuple[str, ...]:
    """The libraries that a finding is about: needed names, or those that lack versions."""
    parted = [match[2] for item in finding.items if (match := _ITEM_WITH_LIBRARY.fullmatch(item))]
    return tuple(parted) or (finding.items if finding.rule.startswith("loader/") else ())


def _symbols(finding: Finding) -> tuple[str, ...]:
    """The symbols or versions that a finding is about, without the library that lacks them."""
    if not finding.rule.startswith("abi/"):
        return ()
    return tuple(
        match[1] if (match := _ITEM_WITH_LIBRARY.fullmatch(item)) else item for item in finding.items
    )


def _matches_symbol(name: str, pattern: str) -> bool:
    """``name`` may have a version (``name@VERSION``), which the pattern may leave out."""
    return fnmatchcase(name, pattern) or fnmatchcase(name.partition("@")[0], pattern)


def matches_path(path: str, pattern: str) -> bool:
    """Whether a path is what a glob says, component by component; ``**`` stands for any number of
    components. Linear in the path for each ``**``: only the last one is ever gone back to."""
    names, globs = path.split("/"), pattern.split("/")
    at_name = at_glob = 0
    resume: tuple[int, int] | None = None  # the glob after the last **, and where it was tried
    while at_name < len(names):
        if at_glob < len(globs) and globs[at_glob] == "**":
            at_glob += 1
            resume = (at_glob, at_name)
        elif at_glob < len(globs) and fnmatchcase(names[at_name], globs[at_glob]):
            at_name, at_glob = at_name + 1, at_glob + 1
        elif resume is not None:
            at_glob, at_name = resume[0], resume[1] + 1
            resume = (at_glob, at_name)
        else:
            return False
    return all(glob == "**" for glob in globs[at_glob:])


def _remarks(
    report: ScanReport, waivers: Sequence[Waiver], needed: set[str], today: date
) -> Iterator[Remark]:
    for waiver in waivers:
        if not _is_for(waiver, report.image):
            continue
        if _expired(waiver, today):
            returned = sum(uncovered(waiver, finding) == () for finding in report.findings)
            if returned or waiver.where not in needed:
                yield _expired_remark(waiver, returned)
        elif waiver.where not in needed and not report.incomplete:
            # Of an image that was not read to its end nobody can say that it does not need a waiver.
            yield _unused_remark(waiver, report)


def _expired_remark(waiver: Waiver, returned: int) -> Remark:
    back = f"{returned} finding{'s' * (returned != 1)} back"
    outcome = back if returned else "nothing needs it now, remove it"
    message = f"the waiver expired on {waiver.expires}: {outcome} ({waiver.reason})"
    return Remark(RemarkKind.WAIVER_EXPIRED, message, waiver.where)


def _unused_remark(waiver: Waiver, report: ScanReport) -> Remark:
    for finding in report.findings:
        left = uncovered(waiver, finding)
        if left:
            shown = ", ".join(left[:NAMES_IN_REMARK])
            more = f" and {len(left) - NAMES_IN_REMARK} more" if len(left) > NAMES_IN_REMARK else ""
            message = f"the waiver covers only a part of {finding.rule}, not {shown}{more} ({waiver.reason})"
            return Remark(RemarkKind.WAIVER_PARTIAL, message, waiver.where)
    message = f"the waiver matches nothing, remove it or mend it ({waiver.reason})"
    return Remark(RemarkKind.WAIVER_UNUSED, message, waiver.where)
