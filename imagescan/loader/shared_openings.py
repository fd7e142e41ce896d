"""Plugins in programs, where the closures of both tell what happens.

A program and a file that it opens enter; the problems of the opening leave, or None where only a simulation
can tell. They are those of ``GlibcProcess.opening``: the proof for closures (``shared_links``) speaks of
requests, whoever asks first, so it holds for the requests of a program with those of a file that is opened
later. What is new in the process is then the file's closure without the program's, in the same order.
"""

from __future__ import annotations

from imagescan.elf.facts import ElfType
from imagescan.layers.values import ImagePath
from imagescan.loader.shared_binding import SharedBinding
from imagescan.loader.shared_links import SharedLinks, Walk
from imagescan.loader.values import NO_PROBLEMS, LinkProblems, LoaderIdentity


class SharedOpenings:
    """What the programs of one glibc loader open.

    Args:
        loader: the loader's own file.
        links, binding: of the files that it serves.
        bind_now: whether every process binds all symbols at once (LD_BIND_NOW).
    """

    def __init__(
        self, loader: LoaderIdentity, links: SharedLinks, binding: SharedBinding, *, bind_now: bool
    ) -> None:
        self.loader = loader
        self._links, self._binding, self._bind_now = links, binding, bind_now
        self._programs: dict[ImagePath, frozenset[int] | None] = {}

    def problems(self, host: ImagePath, plugin: ImagePath, *, now: bool) -> LinkProblems | None:
        """What there is to say when a program opens a file by its canonical path."""
        program, walk = self._program(host), self._walk(plugin, is_program=False)
        if program is None or walk is None or host == plugin or self._links.has_twin(walk.nodes[0]):
            return None
        together = program.union(walk.nodes)
        if not self._links.is_each_once(together) or self._may_be_refused(walk.nodes[0], together - program):
            return None
        symbols = self._binding.missing(walk, program, bind_now=self._bind_now or now)
        return LinkProblems(missing_symbols=symbols) if symbols else NO_PROBLEMS

    def _program(self, path: ImagePath) -> frozenset[int] | None:
        """The nodes of a running program; None where they do not tell what its plugins get."""
        if path not in self._programs:
            walk = self._walk(path, is_program=True)
            nodes = frozenset(walk.nodes) if walk is not None else None
            self._programs[path] = nodes if nodes and not self._has_path_for_a_name(nodes) else None
        return self._programs[path]

    def _has_path_for_a_name(self, nodes: frozenset[int]) -> bool:
        """Whether an object may answer to the path by which a file is opened."""
        return any("/" in (self._links.nodes[number].elf.soname or "") for number in nodes)

    def _may_be_refused(self, plugin: int, new: frozenset[int]) -> bool:
        """Whether ``dlopen_faults`` may have anything to say."""
        nodes = self._links.nodes
        elf = nodes[plugin].elf
        if elf.refuses_dlopen or elf.is_pie or elf.type == ElfType.EXEC:
            return True
        return any(nodes[number].elf.executable_stack for number in new)

    def _walk(self, path: ImagePath, *, is_program: bool) -> Walk | None:
        return self._links.walk(path, is_program=is_program) if path in self._links else None
