"""From the loader room's link maps to the plain values that ``tree`` and ``why`` show.

``LinkMap`` values enter, a ``LinkReport`` leaves: one object per ELF file, asked as if it were
the program. Follows the shape ``imagescan.links/1`` (``docs/links.schema.json``).
"""

from __future__ import annotations

from collections.abc import Iterable

from imagescan.elf.facts import ElfFacts, ElfKind
from imagescan.filesystem.values import FileEntry
from imagescan.findings import ImageSummary, TrailLine
from imagescan.links import (
    ClosureObject,
    LinkReport,
    MissingLink,
    MissingSymbolLink,
    MissingVersionLink,
    NeededLink,
    ObjectLinks,
)
from imagescan.loader.simulate import Simulation
from imagescan.loader.values import How, LinkMap, LoaderIdentity, LoaderKind, Resolution


def link_report(image: ImageSummary, entries: Iterable[FileEntry], simulation: Simulation) -> LinkReport:
    """Every ELF file of an image with what its loader would do, ordered by path."""
    objects = []
    for entry in entries:
        elf = entry.content
        if isinstance(elf, ElfFacts) and elf.kind != ElfKind.OTHER:
            objects.append(object_links(elf, simulation.link_map(entry.path)))
    return LinkReport(image, tuple(sorted(objects, key=lambda one: one.path)))


def object_links(elf: ElfFacts, link_map: LinkMap) -> ObjectLinks:
    """One link map as plain values; ``needed`` are the file's own entries, the rest its closure's."""
    loader = link_map.loader
    own = [one for one in link_map.resolutions if one.requester == 0]
    if not own:
        own = [Resolution(name, 0, None, None) for name in elf.needed]
    return ObjectLinks(
        path=link_map.program,
        kind=elf.kind.value,
        libc=loader.kind.value if loader and loader.kind != LoaderKind.OTHER else None,
        loader=loader.requested if loader else None,
        needed=tuple(_needed(link_map, one) for one in own),
        versions_missing=tuple(
            MissingVersionLink(one.version, one.library, one.needed_by)
            for one in link_map.missing_versions
            if not one.weak
        ),
        symbols_missing=tuple(
            MissingSymbolLink(one.symbol, one.version, one.needed_by, one.binding.value)
            for one in link_map.missing_symbols
        ),
        closure=tuple(
            ClosureObject(
                one.path,
                one.real,
                one.how.value,
                link_map.objects[requester].path if requester >= 0 else None,
                asked_for,
            )
            for one, (requester, asked_for) in zip(link_map.objects, _first_requests(link_map), strict=True)
        ),
        missing=tuple(
            MissingLink(one.needed, link_map.objects[one.requester].path, one.missing.message, _trail(one))
            for one in link_map.resolutions
            if one.missing
        ),
        fault=_fault(loader, link_map),
    )


def _first_requests(link_map: LinkMap) -> list[tuple[int, str]]:
    """For each object who asked for it first (-1: nobody) and by which name. The loader itself has
    no such mark of its own: it is there before anybody asks."""
    answers: dict[int, tuple[int, str]] = {}
    for one in link_map.resolutions:
        if one.found is not None:
            answers.setdefault(one.found, (one.requester, one.needed))
    return [
        (one.requester, one.requested)
        if one.requester >= 0 or one.how is not How.LOADER
        else answers.get(position, (-1, one.requested))
        for position, one in enumerate(link_map.objects)
    ]


def _needed(link_map: LinkMap, one: Resolution) -> NeededLink:
    found = link_map.objects[one.found] if one.found is not None else None
    return NeededLink(
        soname=one.needed,
        path=found.path if found else None,
        real=found.real if found else None,
        how=one.how.value if one.how else None,
        trail=_trail(one),
    )


def _trail(one: Resolution) -> tuple[TrailLine, ...]:
    return tuple(
        TrailLine(
            f"{step.source.value} of {step.owner}" if step.owner else step.source.value,
            step.candidate or step.directory,
            step.outcome.value,
            step.detail,
        )
        for step in one.trail
    )


def _fault(loader: LoaderIdentity | None, link_map: LinkMap) -> str:
    if link_map.interpreter_fault is not None and loader is not None:
        errno, text = link_map.interpreter_fault
        return f"{loader.requested}: {text} ({errno})"
    return ""
