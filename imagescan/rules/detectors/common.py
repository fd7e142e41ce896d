"""What several detectors ask: which objects are judged, and why one cannot start at all.

One root cause is told once: an object that has a ``StartProblem`` is the business
of the rule for that problem, and every later check passes it over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum

from imagescan.elf.facts import ElfKind
from imagescan.facts import ImageFacts, ObjectFacts
from imagescan.findings import Certainty, Tier, TrailLine
from imagescan.layers.values import ImagePath
from imagescan.loader.values import (
    NO_PROBLEMS,
    BriefLinkMap,
    LinkMap,
    LoadedObject,
    LoaderKind,
    MissingLibrary,
    Outcome,
    SearchStep,
)
from imagescan.patterns import pattern
from imagescan.plugins.dormant import libc_of
from imagescan.plugins.platforms import runs_on
from imagescan.startup.tiers import is_executable

TIER_ORDER = (Tier.STARTUP, Tier.COMMAND, Tier.PLUGIN, Tier.DORMANT)
IF_LOADED = "if a program of this image loads it"

_BUNDLE = pattern(r"(.*/(?:site-packages|dist-packages|node_modules)/(?:@[^/]+/)?[^/]+?)(?:\.libs)?/")


class StartProblem(StrEnum):
    """Why an object fails before any of its libraries matters."""

    WRONG_ARCHITECTURE = "wrong-architecture"
    GLIBC_ON_MUSL = "glibc-on-musl"
    MUSL_ON_GLIBC = "musl-on-glibc"
    INTERPRETER_MISSING = "missing"
    INTERPRETER_UNUSABLE = "unusable"


def subjects(facts: ImageFacts) -> tuple[ObjectFacts, ...]:
    """The objects whose own link map is judged: programs that can be started, and plugins, those in
    archives that a program would extract included.

    A library that some program loads is judged as part of that program; a damaged file is reported as
    incomplete instead.
    """
    return facts.view(_subjects)


def _subjects(facts: ImageFacts) -> tuple[ObjectFacts, ...]:
    started = {*facts.startup.paths, *(facts.healthcheck.paths if facts.healthcheck else ())}

    def judged(found: ObjectFacts) -> bool:
        can_start = found.tier in (Tier.STARTUP, Tier.COMMAND) and _is_program(found)
        return can_start or found.tier is Tier.PLUGIN or found.path in started

    own = (found for found in facts.objects if not found.elf.damage and judged(found))
    return (*own, *(found for found in facts.archived if not found.elf.damage))


def _is_program(found: ObjectFacts) -> bool:
    return found.elf.kind in (ElfKind.PROGRAM, ElfKind.STATIC) and is_executable(found.entry)


def linked_subjects(
    facts: ImageFacts, concerned: Callable[[ObjectFacts, LinkMap], object] | None = None
) -> Iterator[tuple[ObjectFacts, LinkMap]]:
    """Subjects that get as far as their dynamic loader.

    Args:
        concerned: a cheap question that tells of most subjects that they are of no interest.
    """
    return _passing(facts.view(_linked), concerned)


def troubled_subjects(
    facts: ImageFacts, concerned: Callable[[ObjectFacts, LinkMap], object]
) -> Iterator[tuple[ObjectFacts, LinkMap]]:
    """Those ``linked_subjects`` whose link maps have any problem: few, where all others are many."""
    return _passing(facts.view(_troubled), concerned)


def _passing(
    linked: Iterable[tuple[ObjectFacts, LinkMap]],
    concerned: Callable[[ObjectFacts, LinkMap], object] | None,
) -> Iterator[tuple[ObjectFacts, LinkMap]]:
    return (one for one in linked if concerned is None or concerned(*one))


def _linked(facts: ImageFacts) -> Sequence[tuple[ObjectFacts, LinkMap]]:
    problems = facts.view(_start_problems)
    found = ((one, one.in_use) for one in subjects(facts) if one.path not in problems)
    return [(one, link_map) for one, link_map in found if link_map is not None]


def _troubled(facts: ImageFacts) -> Sequence[tuple[ObjectFacts, LinkMap]]:
    return [(one, link_map) for one, link_map in facts.view(_linked) if link_map.problems != NO_PROBLEMS]


def whole(link_map: LinkMap) -> LinkMap:
    """The link map with its objects at hand, to be asked for once where several are looked at."""
    return link_map.remake() if isinstance(link_map, BriefLinkMap) else link_map


def reaching(facts: ImageFacts, targets: Iterable[ImagePath]) -> frozenset[ImagePath]:
    """The objects whose link maps may hold one of these: themselves, and what needs them by name, at any
    distance, whatever the number behind ``.so``. A cheap upper bound, so that only few link maps must be
    looked at."""
    pending = [facts.by_path[path] for path in targets if path in facts.by_path]
    if not pending:
        return frozenset()
    asking: dict[str, list[ObjectFacts]] = {}
    for found in facts.objects:
        for name in (*found.elf.needed, *found.elf.filters, *found.elf.auxiliaries):
            asking.setdefault(_stem(name), []).append(found)
    reached = {found.path for found in pending}
    while pending:
        found = pending.pop()
        for name in {_stem(found.path), _stem(found.elf.soname or "")}:
            for one in asking.pop(name, ()):
                if one.path not in reached:
                    reached.add(one.path)
                    pending.append(one)
    return frozenset(reached)


def _stem(name: str) -> str:
    return name.rpartition("/")[2].partition(".so")[0]


def unstarted(facts: ImageFacts, problem: StartProblem) -> list[ObjectFacts]:
    """The subjects that fail before their libraries matter, for this reason."""
    problems = facts.view(_start_problems)
    return [found for found in subjects(facts) if problems.get(found.path) is problem] if problems else []


def _start_problems(facts: ImageFacts) -> Mapping[ImagePath, StartProblem]:
    problems = ((found.path, _start_problem(facts, found)) for found in subjects(facts))
    return {path: problem for path, problem in problems if problem is not None}


def _start_problem(facts: ImageFacts, found: ObjectFacts) -> StartProblem | None:
    if not runs_on(found.elf, facts.platform):
        return StartProblem.WRONG_ARCHITECTURE
    libc = libc_of(found.elf)
    foreign = libc is not None and bool(facts.libcs) and libc not in facts.libcs
    mismatch = StartProblem.GLIBC_ON_MUSL if libc is LoaderKind.GLIBC else StartProblem.MUSL_ON_GLIBC
    link_map = found.link_map
    fault = link_map.interpreter_fault if link_map else None
    if fault is not None:
        if fault[0] not in ("ENOENT", "ENOTDIR"):
            return StartProblem.INTERPRETER_UNUSABLE
        return mismatch if foreign else StartProblem.INTERPRETER_MISSING
    if found.tier is Tier.PLUGIN:
        return mismatch if foreign and not _taken_by_other_libc(found) else None
    if libc is LoaderKind.GLIBC and link_map is not None and _served_by_musl_in_vain(link_map):
        return StartProblem.GLIBC_ON_MUSL
    return None


def _taken_by_other_libc(found: ObjectFacts) -> bool:
    """A plugin that its host opens all the same: musl stands for libc.so.6, libm.so.6 and so on. A Python
    built for musl does not even try a module that calls itself one for glibc."""
    opened = found.opened is not None and not found.opened.link_map.obstacles
    return opened and not found.path.endswith("-linux-gnu.so")


def _served_by_musl_in_vain(link_map: LinkMap) -> bool:
    """A glibc program whose interpreter path leads to musl (or gcompat), and which fails there."""
    if link_map.loader is None or link_map.loader.kind is not LoaderKind.MUSL:
        return False
    return link_map.missing_symbols.immediate > 0


def certainty_of(found: ObjectFacts) -> tuple[Certainty, str]:
    """Certain for what is started; for a plugin it depends on whether anything loads it."""
    if found.opened is not None:
        return Certainty.CONDITIONAL, f"when {found.opened.host} opens it"
    if found.tier is Tier.PLUGIN:
        return Certainty.CONDITIONAL, IF_LOADED
    return Certainty.CERTAIN, ""


def trail_lines(steps: tuple[SearchStep, ...]) -> tuple[TrailLine, ...]:
    """The loader's search as a finding shows it."""
    return tuple(
        TrailLine(
            f"{step.source.value} of {step.owner}" if step.owner else step.source.value,
            step.candidate or step.directory,
            step.outcome.value,
            step.detail,
        )
        for step in steps
    )


def missing_trail(library: MissingLibrary) -> tuple[TrailLine, ...]:
    """Where a request that nothing satisfied was looked for; the request itself where nothing was."""
    if library.trail:
        return trail_lines(library.trail)
    return (TrailLine("needed", library.needed, Outcome.NOT_USED.value, library.missing.message),)


def loaded_object(link_map: LinkMap, opened: str) -> LoadedObject | None:
    """The object of a link map that was opened by this path."""
    return next((one for one in link_map.objects if one.path == opened), None)


def found_trail(link_map: LinkMap, opened: str) -> tuple[TrailLine, ...]:
    """The search that found a loaded object; one line where it was found without any."""
    for position, one in enumerate(link_map.objects):
        if one.path == opened:
            trails = (answer.trail for answer in link_map.resolutions if answer.found == position)
            steps = next(filter(None, trails), ())
            return trail_lines(steps) or (TrailLine(one.how.value, one.path, Outcome.FOUND.value),)
    return ()


def real_path(link_map: LinkMap, opened: str) -> str:
    """The canonical path of a loaded object, by the path that it was opened by."""
    found = loaded_object(link_map, opened)
    return found.real if found else opened


def is_libc_itself(link_map: LinkMap, one: LoadedObject) -> bool:
    """Whether an object is the dynamic loader or the C library, and so built for no libc."""
    loader = link_map.loader.path if link_map.loader else None
    return one.real == loader or one.elf.loader_strings is not None


def runs_with(link_map: LinkMap) -> LoaderKind | None:
    """The libc that a program was built for; for one that does not say, that of its loader."""
    program = libc_of(link_map.objects[0].elf) if link_map.objects else None
    return program or (link_map.loader.kind if link_map.loader else None)


def built_for_another_libc(link_map: LinkMap, one: LoadedObject) -> bool:
    """Whether an object was linked against another libc than the program that it is loaded into."""
    libc = None if is_libc_itself(link_map, one) else libc_of(one.elf)
    return libc is not None and libc is not runs_with(link_map)


def wants_another_libc(link_map: LinkMap, library: MissingLibrary) -> bool:
    """Whether a request is one for the libc (or loader) of an object that was built for another one."""
    name = library.needed
    musl = name == "libc.so" or name.startswith("libc.musl-")
    if not musl and not name.startswith("ld-linux"):
        return False
    link_map = whole(link_map)
    return musl is (runs_with(link_map) is LoaderKind.GLIBC) and built_for_another_libc(
        link_map, link_map.objects[library.position]
    )


def bundle_of(path: str) -> str:
    """The package directory that a plugin belongs to (a wheel, a node module), else its directory."""
    match = _BUNDLE.match(path)
    return match[1] if match else path.rpartition("/")[0] or "/"
