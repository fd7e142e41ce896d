"""Needed libraries that the loader cannot have, told apart by what the image holds instead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from fnmatch import fnmatchcase

from imagescan.elf.facts import ElfFacts
from imagescan.facts import ImageFacts, ObjectFacts
from imagescan.findings import Blame, Certainty, Tier
from imagescan.layers.values import ImagePath
from imagescan.loader.candidates import matches_machine
from imagescan.loader.values import LinkMap, Outcome, Resolution
from imagescan.rules.blame import blame_absent, blame_present
from imagescan.rules.detectors.common import certainty_of, linked_subjects, trail_lines
from imagescan.rules.detectors.registry import Detector, Parameters, table, text
from imagescan.rules.messages import library_missing
from imagescan.rules.observation import Observation
from imagescan.rules.template import phrase
from imagescan.startup.platforms import machine_name

VALUES = frozenset(
    {"library", "requester", "reason", "places", "directory", "stopped_by", "machine", "runtime"}
)
MAXIMUM_BLAMED = 500  # causes whose layer is looked for; one file may need 65,000 libraries

_OTHER_ABI = (Outcome.WRONG_CLASS, Outcome.WRONG_MACHINE)


class LibraryProblem(StrEnum):
    """Why a needed library cannot be had."""

    MISSING = "missing"  # no file of the image would do
    OFF_SEARCH_PATH = "off-search-path"  # one would do, but lies where the loader does not look
    UNUSABLE = "unusable"  # the loader stops at a file that it cannot use
    WRONG_ARCHITECTURE = "wrong-architecture"  # only files of another machine or class
    INJECTED = "injected"  # a container runtime brings it


def missing_libraries(facts: ImageFacts, parameters: Parameters) -> Iterable[Observation]:
    """Needed entries that nothing satisfies.

    Parameters: ``problem`` (missing, off-search-path, unusable, wrong-architecture, injected). What a
    container runtime brings has no other problem than that it is not there before.
    """
    wanted = LibraryProblem(text(parameters, "problem"))
    injected = table(parameters, "injected")
    blamed: dict[tuple[str, ...], tuple[Blame, ...]] = {}
    directories: tuple[str, ...] | None = None
    for found, link_map in linked_subjects(facts):
        for resolution in link_map.missing:
            name = resolution.needed.rpartition("/")[2]
            runtime = next((by for pattern, by in injected.items() if fnmatchcase(name, pattern)), "")
            if runtime:
                if wanted is LibraryProblem.INJECTED:
                    yield _observe_injected(_Seen(found, link_map, resolution, wanted, ()), runtime)
                continue
            places = _places(facts, found.elf, name)
            if _problem(facts, found, resolution, places) is wanted:
                seen = _Seen(found, link_map, resolution, wanted, places)
                if seen.cause not in blamed:
                    directories = _directories(facts) if directories is None else directories
                    within = len(blamed) < MAXIMUM_BLAMED
                    blamed[seen.cause] = _blame(facts, seen, directories) if within else ()
                yield _observe(seen, blamed[seen.cause])


@dataclass(frozen=True, slots=True)
class _Seen:
    """One needed entry of one subject that nothing satisfies."""

    found: ObjectFacts
    link_map: LinkMap
    resolution: Resolution
    problem: LibraryProblem
    places: tuple[ImagePath, ...]

    @property
    def stopped_by(self) -> str:
        """The file that ended the search, or a candidate for another machine, or ""."""
        missing = self.resolution.missing
        if missing is not None and missing.stopped_by:
            return missing.stopped_by
        steps = self.resolution.trail
        return next((step.candidate for step in steps if step.outcome in _OTHER_ABI), "")

    @property
    def cause(self) -> tuple[str, ...]:
        """Problem, name (or the file that ends the search) and machine."""
        missing = self.resolution.missing
        name = missing.stopped_by if missing and missing.stopped_by else self.resolution.needed
        return self.problem.value, name, machine_name(self.found.elf)


def _places(facts: ImageFacts, elf: ElfFacts, name: str) -> tuple[ImagePath, ...]:
    """Files of the image that would satisfy this object, had they been found."""
    fitting = []
    for path in facts.places.get(name, ()):
        entry = facts.filesystem.resolve(path).entry
        content = entry.content if entry else None
        if (
            isinstance(content, ElfFacts)
            and content.elf_class == elf.elf_class
            and matches_machine(elf, content)
        ):
            fitting.append(path)
    return tuple(fitting)


def _problem(
    facts: ImageFacts, found: ObjectFacts, resolution: Resolution, places: tuple[ImagePath, ...]
) -> LibraryProblem:
    missing = resolution.missing
    if missing is not None and missing.stopped_by:
        entry = facts.filesystem.resolve(missing.stopped_by).entry
        content = entry.content if entry else None
        foreign = isinstance(content, ElfFacts) and (
            content.elf_class != found.elf.elf_class or not matches_machine(found.elf, content)
        )
        return LibraryProblem.WRONG_ARCHITECTURE if foreign else LibraryProblem.UNUSABLE
    if places:
        return LibraryProblem.OFF_SEARCH_PATH
    if any(step.outcome in _OTHER_ABI for step in resolution.trail):
        return LibraryProblem.WRONG_ARCHITECTURE
    return LibraryProblem.MISSING


def _observe(seen: _Seen, blame: tuple[Blame, ...]) -> Observation:
    found, link_map, resolution, places = seen.found, seen.link_map, seen.resolution, seen.places
    requester = link_map.objects[resolution.requester].real
    certainty, condition = certainty_of(found)
    return Observation(
        cause=seen.cause,
        object=found.path,
        tier=found.tier,
        certainty=certainty,
        items=(resolution.needed,),
        related=(requester,) if requester != found.path else (),
        values={
            "library": resolution.needed,
            "requester": requester,
            "reason": resolution.missing.message if resolution.missing else "",
            "places": phrase(places, 3),
            "directory": places[0].rpartition("/")[0] if places else "",
            "stopped_by": seen.stopped_by,
            "machine": machine_name(found.elf),
            "runtime": "",
        },
        runtime_message=library_missing(link_map, resolution, is_program=found.tier is not Tier.PLUGIN),
        trail=trail_lines(resolution.trail),
        blame=blame,
        condition=condition,
    )


def _observe_injected(seen: _Seen, runtime: str) -> Observation:
    """One cause for all libraries of one runtime."""
    usual = _observe(seen, ())
    return replace(
        usual,
        cause=(LibraryProblem.INJECTED.value, runtime),
        certainty=Certainty.CONDITIONAL,
        condition=f"unless injected by {runtime}",
        values={**usual.values, "runtime": runtime},
    )


def _blame(facts: ImageFacts, seen: _Seen, directories: tuple[str, ...]) -> tuple[Blame, ...]:
    present = seen.stopped_by or (seen.places[0] if seen.places else "")
    if present:
        entry = facts.filesystem.resolve(present).entry
        return blame_present(facts, entry.path) if entry else ()
    return blame_absent(facts, _absent_candidates(seen.resolution, directories))


def _absent_candidates(resolution: Resolution, directories: tuple[str, ...]) -> Iterator[str]:
    """Where the library may have been: the places searched, then beside every library of the image."""
    yield from (step.candidate for step in resolution.trail if step.outcome is Outcome.ABSENT)
    name = resolution.needed.rpartition("/")[2]
    yield from (f"{directory}/{name}" for directory in directories)


def _directories(facts: ImageFacts) -> tuple[str, ...]:
    """The directories that hold objects, sorted."""
    awake = (found.path for found in facts.objects if found.tier is not Tier.DORMANT)
    return tuple(sorted({path.rpartition("/")[0] for path in awake}))


MISSING_LIBRARY = Detector("missing-library", missing_libraries, {"problem": str}, VALUES, injected=True)
