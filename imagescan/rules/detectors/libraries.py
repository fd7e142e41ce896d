"""Needed libraries that the loader cannot have, told apart by what the image holds instead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from fnmatch import fnmatchcase

from imagescan.elf.facts import ElfFacts
from imagescan.facts import ImageFacts, ObjectFacts
from imagescan.findings import Blame, Tier
from imagescan.layers.values import ImagePath
from imagescan.loader.candidates import matches_machine
from imagescan.loader.values import LinkMap, Outcome, Resolution
from imagescan.rules.blame import blame_absent, blame_present
from imagescan.rules.detectors.common import certainty_of, linked_subjects, trail_lines
from imagescan.rules.detectors.registry import Detector, Parameters, text, texts
from imagescan.rules.messages import library_missing
from imagescan.rules.observation import Observation
from imagescan.rules.template import phrase
from imagescan.startup.platforms import machine_name

VALUES = frozenset({"library", "requester", "reason", "places", "directory", "stopped_by", "machine"})
_OTHER_ABI = (Outcome.WRONG_CLASS, Outcome.WRONG_MACHINE)


class LibraryProblem(StrEnum):
    """Why a needed library cannot be had."""

    MISSING = "missing"  # no file of the image would do
    OFF_SEARCH_PATH = "off-search-path"  # one would do, but lies where the loader does not look
    UNUSABLE = "unusable"  # the loader stops at a file that it cannot use
    WRONG_ARCHITECTURE = "wrong-architecture"  # only files of another machine or class


def missing_libraries(facts: ImageFacts, parameters: Parameters) -> Iterable[Observation]:
    """Needed entries that nothing satisfies.

    Parameters: ``problem`` (missing, off-search-path, unusable, wrong-architecture) and
    ``injected``: name patterns of libraries that the container runtime brings.
    """
    wanted = LibraryProblem(text(parameters, "problem"))
    injected = texts(parameters, "injected")
    blamed: dict[tuple[str, ...], tuple[Blame, ...]] = {}
    for found, link_map in linked_subjects(facts):
        for resolution in link_map.missing:
            name = resolution.needed.rpartition("/")[2]
            if any(fnmatchcase(name, pattern) for pattern in injected):
                continue
            places = _places(facts, found.elf, name)
            if _problem(facts, found, resolution, places) is wanted:
                yield _observe(facts, (found, link_map, resolution), wanted, places, blamed)


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


def _observe(
    facts: ImageFacts,
    seen: tuple[ObjectFacts, LinkMap, Resolution],
    problem: LibraryProblem,
    places: tuple[ImagePath, ...],
    blamed: dict[tuple[str, ...], tuple[Blame, ...]],
) -> Observation:
    found, link_map, resolution = seen
    missing = resolution.missing
    stopped_by = missing.stopped_by if missing else ""
    cause = (problem.value, stopped_by or resolution.needed, machine_name(found.elf))
    if cause not in blamed:
        blamed[cause] = _blame(facts, resolution, stopped_by, places)
    requester = link_map.objects[resolution.requester].real
    certainty, condition = certainty_of(found)
    return Observation(
        cause=cause,
        object=found.path,
        tier=found.tier,
        certainty=certainty,
        items=(resolution.needed,),
        related=(requester,) if requester != found.path else (),
        values={
            "library": resolution.needed,
            "requester": requester,
            "reason": missing.message if missing else "",
            "places": phrase(places, 3),
            "directory": places[0].rpartition("/")[0] if places else "",
            "stopped_by": stopped_by or _foreign_candidate(resolution),
            "machine": machine_name(found.elf),
        },
        runtime_message=library_missing(link_map, resolution, is_program=found.tier is not Tier.PLUGIN),
        trail=trail_lines(resolution.trail),
        blame=blamed[cause],
        condition=condition,
    )


def _foreign_candidate(resolution: Resolution) -> str:
    return next((step.candidate for step in resolution.trail if step.outcome in _OTHER_ABI), "")


def _blame(
    facts: ImageFacts, resolution: Resolution, stopped_by: str, places: tuple[ImagePath, ...]
) -> tuple[Blame, ...]:
    present = stopped_by or _foreign_candidate(resolution) or (places[0] if places else "")
    if present:
        entry = facts.filesystem.resolve(present).entry
        return blame_present(facts, entry.path) if entry else ()
    return blame_absent(facts, _absent_candidates(facts, resolution))


def _absent_candidates(facts: ImageFacts, resolution: Resolution) -> Iterator[str]:
    """Where the library may have been: the places searched, then beside every library of the image."""
    yield from (step.candidate for step in resolution.trail if step.outcome is Outcome.ABSENT)
    name = resolution.needed.rpartition("/")[2]
    directories = {found.path.rpartition("/")[0] for found in facts.objects if found.tier is not Tier.DORMANT}
    yield from (f"{directory}/{name}" for directory in sorted(directories))


MISSING_LIBRARY = Detector("missing-library", missing_libraries, {"problem": str, "injected": tuple}, VALUES)
