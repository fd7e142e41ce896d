"""Needed libraries that the loader cannot have, told apart by what the image holds instead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from fnmatch import fnmatchcase
from itertools import islice

from imagescan.dataclasses import dataclass, replace
from imagescan.elf.facts import ElfFacts
from imagescan.facts import ImageFacts, ObjectFacts
from imagescan.findings import Blame, Certainty, Tier
from imagescan.layers.values import ImagePath
from imagescan.loader.candidates import matches_machine
from imagescan.loader.values import How, LinkMap, MissingLibrary, Outcome
from imagescan.patterns import pattern
from imagescan.plugins.platforms import machine_name
from imagescan.rules.blame import blame_absent, blame_environment, blame_lost_link, blame_present
from imagescan.rules.detectors.common import (
    certainty_of,
    missing_trail,
    troubled_subjects,
    wants_another_libc,
)
from imagescan.rules.detectors.optional import OptionalPackage, optional_package
from imagescan.rules.detectors.registry import Detector, Parameters, package_table, table, text
from imagescan.rules.messages import library_missing
from imagescan.rules.observation import Observation
from imagescan.rules.template import phrase

VALUES = frozenset(
    {"library", "requester", "reason", "places", "directory", "stopped_by", "machine", "runtime"}
    | {"optional", "package", "relation"}
)
MAXIMUM_BLAMED = 500  # causes whose layer is looked for; one file may need 65,000 libraries
MAXIMUM_DIRECTORIES = 20  # searched directories above which a lost link is looked for
DEFAULT_CACHE = "/etc/ld.so.cache"

_OTHER_ABI = (Outcome.WRONG_CLASS, Outcome.WRONG_MACHINE)


class LibraryProblem(StrEnum):
    """Why a needed library cannot be had."""

    MISSING = "missing"  # no file of the image would do
    OFF_SEARCH_PATH = "off-search-path"  # one would do, but lies where the loader does not look
    UNUSABLE = "unusable"  # the loader stops at a file that it cannot use
    WRONG_ARCHITECTURE = "wrong-architecture"  # only files of another machine or class
    KERNEL_TOO_OLD = "kernel-too-old"  # one would do, but asks for a newer kernel
    INJECTED = "injected"  # a container runtime brings it
    OPTIONAL = "optional"  # the plugin's package does not depend on the package that has it


_PLAIN_START = pattern(r"[^*?\[]*")  # of what fnmatch(3) matches
_LEFT_OUT = (LibraryProblem.MISSING, LibraryProblem.OPTIONAL)


def missing_libraries(facts: ImageFacts, parameters: Parameters) -> Iterable[Observation]:
    """Needed entries that nothing satisfies.

    Parameters: ``problem`` (missing, off-search-path, unusable, wrong-architecture, injected, optional).
    What a container runtime brings has no other problem than that it is not there before.
    """
    wanted = LibraryProblem(text(parameters, "problem"))
    injected = [
        (_PLAIN_START.match(one)[0], one, by)  # type: ignore[index]
        for one, by in table(parameters, "injected").items()
    ]
    packages = package_table(parameters, "packages")
    blamed: dict[tuple[str, ...], tuple[Blame, ...]] = {}
    for found, link_map in troubled_subjects(facts, lambda _, linked: linked.missing):
        for library in link_map.missing:
            if wants_another_libc(link_map, library):
                continue  # told by the rule for mixed builds
            name = library.needed.rpartition("/")[2]
            runtime = next(
                (by for start, glob, by in injected if name.startswith(start) and fnmatchcase(name, glob)),
                "",
            )
            if runtime:
                if wanted is LibraryProblem.INJECTED:
                    yield _observe_injected(facts, _Seen(found, link_map, library, wanted, ()), runtime)
                continue
            places = _places(facts, found.elf, name)
            problem = _problem(facts, found, library, places)
            optional = None
            if problem is LibraryProblem.MISSING and found.tier is Tier.PLUGIN and wanted in _LEFT_OUT:
                optional = optional_package(facts, packages, library.requester, name)
                problem = LibraryProblem.OPTIONAL if optional else problem
            if problem is wanted:
                seen = _Seen(found, link_map, library, wanted, places, optional)
                if seen.cause not in blamed:
                    within = len(blamed) < MAXIMUM_BLAMED
                    blamed[seen.cause] = _blame(facts, seen) if within else ()
                yield _observe(seen, blamed[seen.cause])


@dataclass(frozen=True, slots=True)
class _Seen:
    """One needed entry of one subject that nothing satisfies. ``optional`` names the package that would
    bring it."""

    found: ObjectFacts
    link_map: LinkMap
    library: MissingLibrary
    problem: LibraryProblem
    places: tuple[ImagePath, ...]
    optional: OptionalPackage | None = None

    @property
    def stopped_by(self) -> str:
        """The file that ended the search, or a candidate for another machine, or ""."""
        steps = self.library.trail
        other = (step.candidate for step in steps if step.outcome in _OTHER_ABI)
        return self.library.missing.stopped_by or next(other, "")

    @property
    def cause(self) -> tuple[str, ...]:
        """Problem, name (or the file that ends the search) and machine."""
        name = self.library.missing.stopped_by or self.library.needed
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
    facts: ImageFacts, found: ObjectFacts, library: MissingLibrary, places: tuple[ImagePath, ...]
) -> LibraryProblem:
    if library.missing.stopped_by:
        entry = facts.filesystem.resolve(library.missing.stopped_by).entry
        content = entry.content if entry else None
        foreign = isinstance(content, ElfFacts) and (
            content.elf_class != found.elf.elf_class or not matches_machine(found.elf, content)
        )
        return LibraryProblem.WRONG_ARCHITECTURE if foreign else LibraryProblem.UNUSABLE
    if any(step.outcome is Outcome.KERNEL_TOO_OLD for step in library.trail):
        return LibraryProblem.KERNEL_TOO_OLD
    if places:
        return LibraryProblem.OFF_SEARCH_PATH
    if any(step.outcome in _OTHER_ABI for step in library.trail):
        return LibraryProblem.WRONG_ARCHITECTURE
    return LibraryProblem.MISSING


def _observe(seen: _Seen, blame: tuple[Blame, ...]) -> Observation:
    found, library, places = seen.found, seen.library, seen.places
    requester = library.requester
    certainty, condition = certainty_of(found)
    return Observation(
        cause=seen.cause,
        object=found.path,
        tier=found.tier,
        certainty=certainty,
        items=(library.needed,),
        related=(requester,) if requester != found.path else (),
        values={
            "library": library.needed,
            "requester": requester,
            "reason": library.missing.message,
            "places": phrase(places, 3),
            "directory": places[0].rpartition("/")[0] if places else "",
            "stopped_by": seen.stopped_by,
            "machine": machine_name(found.elf),
            "runtime": "",
            "optional": seen.optional.name if seen.optional else "",
            "package": seen.optional.owner if seen.optional else "",
            "relation": seen.optional.relation if seen.optional else "",
        },
        runtime_message=library_missing(seen.link_map, library, is_program=found.tier is not Tier.PLUGIN),
        trail=missing_trail(library),
        blame=blame,
        condition=condition,
    )


def _observe_injected(facts: ImageFacts, seen: _Seen, runtime: str) -> Observation:
    """One cause for all libraries of one runtime."""
    usual = _observe(seen, blame_present(facts, seen.library.requester))
    return replace(
        usual,
        cause=(LibraryProblem.INJECTED.value, runtime),
        certainty=Certainty.CONDITIONAL,
        condition=f"unless injected by {runtime}",
        values={**usual.values, "runtime": runtime},
    )


def _blame(facts: ImageFacts, seen: _Seen) -> tuple[Blame, ...]:
    """Who brought the file that is in the way or out of reach; who removed the library, or the link that
    led to it; else who brought what asks for it."""
    present = seen.stopped_by or (seen.places[0] if seen.places else "")
    blame = [*blame_present(facts, present)] if present else [*blame_absent(facts, _absent(seen.library))]
    if not seen.stopped_by:
        blame += _lost_links(facts, seen.library)
    if seen.places:
        blame += _lost_cache(facts, seen.link_map)
    if any(
        step.source is How.LIBRARY_PATH and step.candidate == seen.stopped_by for step in seen.library.trail
    ):
        blame += blame_environment(facts, "LD_LIBRARY_PATH")
    return tuple(dict.fromkeys(blame)) or blame_present(facts, seen.library.requester)


def _absent(library: MissingLibrary) -> Iterator[str]:
    """Where the library may have been: the places searched, else anywhere by its name."""
    yield from (step.candidate for step in library.trail if step.outcome is Outcome.ABSENT)
    yield library.needed.rpartition("/")[2]


def _lost_links(facts: ImageFacts, library: MissingLibrary) -> Iterator[Blame]:
    """The layers that broke a link above a searched directory."""
    searched = dict.fromkeys(step.candidate.rpartition("/")[0] for step in library.trail)
    for directory in islice(searched, MAXIMUM_DIRECTORIES):
        if directory.startswith("/"):
            yield from blame_lost_link(facts, f"{directory}/")


def _lost_cache(facts: ImageFacts, link_map: LinkMap) -> tuple[Blame, ...]:
    """Who removed the loader's cache."""
    strings = link_map.loader.elf.loader_strings if link_map.loader and link_map.loader.elf else None
    cache = (strings.cache_path if strings else "") or DEFAULT_CACHE
    events = facts.filesystem.events(cache)
    return blame_absent(facts, [cache]) if events and events[-1].entry is None else ()


MISSING_LIBRARY = Detector(
    "missing-library", missing_libraries, {"problem": str}, VALUES, asks=frozenset({"injected", "packages"})
)
