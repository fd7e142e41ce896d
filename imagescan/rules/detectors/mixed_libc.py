"""Objects built for one C library in a process that runs with another.

Link maps enter, observations leave. The two libraries share the names of most functions and little of
what these do with memory, locales, threads and structures (``loader.md`` section 8); gcompat's stub,
which is there to mix them, is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from imagescan.facts import ImageFacts, ObjectFacts
from imagescan.findings import Certainty, Tier
from imagescan.layers.values import ImagePath
from imagescan.loader.missing_symbols import Binding
from imagescan.loader.values import LinkMap, LoadedObject, LoaderKind, MissingLibrary
from imagescan.plugins.dormant import libc_of
from imagescan.rules.blame import blame_present
from imagescan.rules.detectors.common import (
    built_for_another_libc,
    certainty_of,
    found_trail,
    linked_subjects,
    missing_trail,
    reaching,
    runs_with,
    wants_another_libc,
    whole,
)
from imagescan.rules.detectors.registry import Detector, Parameters
from imagescan.rules.messages import library_missing, symbol_missing
from imagescan.rules.observation import Observation

VALUES = frozenset({"built_for", "runs_with", "program", "library"})
_WHEN_CALLED = "when the two libraries disagree about what a call means"


def mixed_builds(facts: ImageFacts, parameters: Parameters) -> Iterable[Observation]:
    """Objects of a link map that were linked against another libc than the program; one cause is one of
    them. Certain where the loader misses what they ask for, else latent."""
    candidates = _candidates(facts)
    for found, linked in linked_subjects(facts, lambda found, _: found.path in candidates):
        if _by_gcompat(linked):
            continue
        link_map = whole(linked)
        for one in link_map.objects[1:]:
            if built_for_another_libc(link_map, one):
                yield _observe(facts, found, link_map, one)


def _candidates(facts: ImageFacts) -> frozenset[ImagePath]:
    """The objects that may have both kinds in their link maps; none where all are of one libc."""
    libraries: dict[LoaderKind, list[ImagePath]] = {}
    for found in facts.objects:
        libc = libc_of(found.elf) if found.elf.loader_strings is None else None
        if libc is not None and found.tier is not Tier.DORMANT:
            libraries.setdefault(libc, []).append(found.path)
    if len(libraries) < 2:
        return frozenset()
    rarest = min(libraries.values(), key=len)
    return reaching(facts, rarest)


def _by_gcompat(link_map: LinkMap) -> bool:
    strings = link_map.loader.elf.loader_strings if link_map.loader and link_map.loader.elf else None
    return strings is not None and strings.is_gcompat_stub


def _observe(facts: ImageFacts, found: ObjectFacts, link_map: LinkMap, one: LoadedObject) -> Observation:
    missing = next(_missing(link_map, one), None)
    message = _message(found, link_map, one, missing)
    certainty, condition = certainty_of(found) if message else (Certainty.LATENT, _WHEN_CALLED)
    built_for, program = libc_of(one.elf), runs_with(link_map)
    trail = found_trail(link_map, one.path)
    return Observation(
        cause=(one.real,),
        object=one.real,
        tier=found.tier,
        certainty=certainty,
        items=(missing.needed,) if missing else (),
        related=(found.path,) if found.path != one.real else (),
        values={
            "built_for": built_for.value if built_for else "",
            "runs_with": program.value if program else "",
            "program": found.path,
            "library": one.real,
        },
        runtime_message=message,
        trail=(*trail, *missing_trail(missing)) if missing else trail,
        blame=blame_present(facts, one.real),
        condition=condition,
    )


def _missing(link_map: LinkMap, one: LoadedObject) -> Iterator[MissingLibrary]:
    """Requests of the object for its own libc that nothing satisfies."""
    for answer in link_map.missing:
        if link_map.objects[answer.position] is one and wants_another_libc(link_map, answer):
            yield answer


def _message(found: ObjectFacts, link_map: LinkMap, one: LoadedObject, missing: MissingLibrary | None) -> str:
    """What the loader says at once; "" where it says nothing."""
    if missing is not None:
        return library_missing(link_map, missing, is_program=found.tier is not Tier.PLUGIN)
    for symbol in link_map.missing_symbols:
        if symbol.needed_by == one.path and symbol.binding is Binding.IMMEDIATE:
            return symbol_missing(link_map, symbol)
    return ""


MIXED_LIBC = Detector("mixed-libc", mixed_builds, values=VALUES)
