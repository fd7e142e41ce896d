"""The link maps of all files of an image, each made as cheaply as it can be.

A ``Simulation`` and the image's ELF files enter, a ``ClosureTable`` leaves. Files of one glibc loader share
their answers (``SharedLinks``, ``SharedBinding``); what cannot be shared is simulated file by file.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Protocol

from imagescan.elf.facts import ElfFacts, ElfKind
from imagescan.errors import LimitExceeded
from imagescan.filesystem.values import FileEntry
from imagescan.layers.values import ImagePath
from imagescan.loader.closure_table import ClosureTable
from imagescan.loader.environment import ProcessEnvironment
from imagescan.loader.glibc_loader import GlibcLoader
from imagescan.loader.shared_binding import SharedBinding
from imagescan.loader.shared_links import SharedLinks, Walk
from imagescan.loader.shared_openings import SharedOpenings
from imagescan.loader.values import NO_PROBLEMS, LinkProblems, LoaderIdentity, WholeLinkMap

MAXIMUM_EDGES = 16_000_000  # needed entries of all closures of an image; the largest seen has 600,000
SIMULATED_EDGE = 8  # as many count for one where a file is simulated by itself


class Simulates(Protocol):
    """What ``Simulation`` does for single files."""

    def simulate(self, path: ImagePath) -> WholeLinkMap:
        """What loading one ELF file does."""
        ...

    def glibc_loader(self, elf: ElfFacts) -> GlibcLoader | None:
        """The glibc loader that would take a file; None for any other loader, or if it cannot start."""
        ...


class Closures:
    """Collects rows of a ``ClosureTable``."""

    def __init__(
        self, simulation: Simulates, entries: Iterable[FileEntry], process: ProcessEnvironment
    ) -> None:
        self._simulation = simulation
        self._process = process
        self._entries: dict[str, FileEntry] = {one.path: one for one in entries}
        self._files = tuple(one.path for one in sorted(self._entries.values(), key=lambda one: one.path))
        self._numbers: dict[str, int] = {path: number for number, path in enumerate(self._files)}
        self._rows: dict[int, tuple[array[int], array[int]]] = {}
        self._names: dict[str, int] = {}
        self._loaders: dict[str, tuple[int, LoaderIdentity]] = {}
        self._served_by = array("i", [-1]) * len(self._files)
        self._problems: dict[int, LinkProblems] = {}
        self._edges = 0
        self._openings: list[SharedOpenings] = []

    def table(self) -> tuple[ClosureTable, Sequence[SharedOpenings]]:
        """The link maps of all files, and for each loader what tells of plugins.

        Raises:
            LimitExceeded: together they have more than ``MAXIMUM_EDGES`` entries.
        """
        shared: dict[GlibcLoader, list[FileEntry]] = {}
        for path in self._files:
            entry = self._entries[path]
            loader = self._shared_loader(entry)
            if loader is not None:
                shared.setdefault(loader, []).append(entry)
            elif isinstance(entry.content, ElfFacts) and entry.content.kind is not ElfKind.OTHER:
                self._simulate(entry.path)
        for loader, entries in shared.items():
            self._share(loader, entries)
            loader.binder.close_files()
        return self._finish(), self._openings

    def _shared_loader(self, entry: FileEntry) -> GlibcLoader | None:
        elf = entry.content
        if not isinstance(elf, ElfFacts) or elf.kind is ElfKind.OTHER or elf.dlopen_notes:
            return None
        if elf.kind is ElfKind.PROGRAM and self._process.is_secure(entry):
            return None
        return self._simulation.glibc_loader(elf)

    def _share(self, loader: GlibcLoader, entries: Sequence[FileEntry]) -> None:
        links = SharedLinks(loader, self._entries)
        links.add(one.path for one in entries)
        walks: dict[ImagePath, Walk] = {}
        for entry in entries:
            walk = links.walk(entry.path, is_program=_is_program(entry))
            if walk is not None:
                walks[entry.path] = walk
                self._count(walk.edges)
        binding = SharedBinding(links, loader.binder)
        bind_now = bool(self._process.variable("LD_BIND_NOW"))
        self._openings.append(SharedOpenings(loader.identity, links, binding, bind_now=bind_now))
        for entry in entries:
            shared = walks.get(entry.path)
            if shared is None:
                self._simulate(entry.path)
                continue
            reals = [links.nodes[number].entry.path for number in shared.nodes]
            symbols = binding.missing(shared, bind_now=bind_now)
            problems = LinkProblems(missing_symbols=symbols) if symbols else NO_PROBLEMS
            self._put(entry.path, reals, shared.names, loader.identity, problems)

    def _simulate(self, path: ImagePath) -> None:
        found = self._simulation.simulate(path)
        self._count(SIMULATED_EDGE * len(found.resolutions))
        reals = [one.real for one in found.objects]
        self._put(path, reals, [one.requested for one in found.objects], found.loader, found.problems)

    def _count(self, edges: int) -> None:
        self._edges += edges
        if self._edges > MAXIMUM_EDGES:
            raise LimitExceeded(
                f"the image's files need each other in more than {MAXIMUM_EDGES} ways",
                advice="check where the image comes from",
            )

    def _put(
        self,
        path: str,
        reals: Sequence[str],
        names: Sequence[str],
        loader: LoaderIdentity | None,
        problems: LinkProblems,
    ) -> None:
        number = self._numbers[path]
        numbered = (self._names.setdefault(name, len(self._names)) for name in names)
        self._rows[number] = array("I", [self._numbers[real] for real in reals]), array("I", numbered)
        if loader is not None:
            known = self._loaders.setdefault(loader.requested, (len(self._loaders), loader))
            self._served_by[number] = known[0]
        if problems != NO_PROBLEMS:
            self._problems[number] = problems

    def _finish(self) -> ClosureTable:
        starts, loaded, asked = array("I", [0]), array("I"), array("I")
        for number in range(len(self._files)):
            row = self._rows.pop(number, None)
            if row is not None:
                loaded.extend(row[0])
                asked.extend(row[1])
            starts.append(len(loaded))
        return ClosureTable(
            files=self._files,
            loaders=tuple(loader for _, loader in self._loaders.values()),
            served_by=self._served_by,
            starts=starts,
            loaded=loaded,
            asked=asked,
            names=tuple(self._names),
            problems=self._problems,
        )


def _is_program(entry: FileEntry) -> bool:
    return isinstance(entry.content, ElfFacts) and entry.content.kind is ElfKind.PROGRAM


def closure_table(
    simulation: Simulates, entries: Iterable[FileEntry], process: ProcessEnvironment
) -> tuple[ClosureTable, Sequence[SharedOpenings]]:
    """The link maps of all ELF files among the entries of an image; and what tells of plugins in them.

    Raises:
        LimitExceeded: together they have more than ``MAXIMUM_EDGES`` entries.
    """
    return Closures(
        simulation, (one for one in entries if isinstance(one.content, ElfFacts)), process
    ).table()
