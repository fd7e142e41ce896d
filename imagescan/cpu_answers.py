"""Two answers where the CPU decides: on the least machine of a platform, and on the best.

The findings of both simulations enter, one list leaves in which each finding that only one of
them has names its condition. glibc searches ``glibc-hwcaps`` directories by the CPU's level
(``loader.md`` section 4.8), so a library that lies only there, or a broken one, breaks some
machines and not others.
"""

from __future__ import annotations

from imagescan.dataclasses import replace
from imagescan.filesystem.values import RootFilesystem
from imagescan.findings import Certainty, Finding, Severity
from imagescan.loader.platforms import cpu_levels

_MILDER = {Severity.ERROR: Severity.WARNING, Severity.WARNING: Severity.NOTE, Severity.NOTE: Severity.NOTE}


def levels_in_use(filesystem: RootFilesystem) -> tuple[str, ...]:
    """The CPU levels that the image has libraries for, and all below the highest, best first."""
    places = set(filesystem.paths_ever("glibc-hwcaps"))
    if not places:  # as in most images
        return ()
    directories = {entry.path.rpartition("/")[0] for entry in filesystem.contents()}
    named = {
        name
        for place in places.intersection(
            f"{one.partition('/glibc-hwcaps')[0]}/glibc-hwcaps" for one in directories
        )
        for name in filesystem.children(place)
    }
    ladders = (cpu_levels(name) or () for name in named)
    return max(ladders, key=len, default=())


def both_answers(
    least: tuple[Finding, ...], best: tuple[Finding, ...], levels: tuple[str, ...]
) -> tuple[Finding, ...]:
    """The findings of both machines; what only one of them has is conditional and milder."""
    everywhere = {one.fingerprint for one in least} & {one.fingerprint for one in best}
    lowest = levels[-1]
    merged = [
        one if one.fingerprint in everywhere else _conditional(one, f"on a CPU below {levels[0]}")
        for one in least
    ]
    merged += [
        _conditional(one, f"on a CPU of level {lowest} or above")
        for one in best
        if one.fingerprint not in everywhere
    ]
    return tuple(sorted(merged, key=lambda one: -one.severity.rank))


def _conditional(one: Finding, condition: str) -> Finding:
    if one.certainty is not Certainty.CERTAIN:
        return one
    return replace(one, certainty=Certainty.CONDITIONAL, condition=condition, severity=_MILDER[one.severity])
