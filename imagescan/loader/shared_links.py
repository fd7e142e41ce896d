"""Link maps of many programs at once, where what one object needs is answered alike in all of them.

One glibc loader and the image's files enter; for each file the list of what is loaded with it leaves, or
None where only its own simulation can tell. Mirrors nothing by itself: every answer is one that
``_GlibcProcess`` gave for an object alone, and ``SharedLinks.walk`` says when those answers, put together,
are what ``_dl_map_object_deps`` (elf/dl-deps.c) would come to.

Why they are. In a process each request is answered by an object that has the name already (the name it
was asked by, or its soname), else by the search of the requester. The search of a requester without
DT_RPATH around it depends on the requester alone. So let f(n) be the file that answers the name n. If in
a closure (1) everybody who asks for n by himself gets the same f(n), (2) no file but f(n) has n for a
soname, and (3) no file is there twice, then by induction over the requests every answer is f(n), whoever
asked first. Objects for which more could matter are *quirks*: what they need contains a path or a token,
they have DT_RPATH, filters, or anything to complain of. A closure with a quirk, or in which (1) to (3)
could fail, is simulated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from imagescan.dataclasses import dataclass
from imagescan.elf.facts import ElfFacts
from imagescan.filesystem.values import FileEntry
from imagescan.layers.values import ImagePath
from imagescan.loader.glibc_loader import GlibcLoader
from imagescan.loader.process import Mapped

_Asking = tuple[tuple[str, ...], str | None, str, bool]


@dataclass(slots=True, eq=False)
class Node:
    """One file as it is loaded: opened by some path, where that matters.

    ``needs`` are the numbers of the nodes that answer its needed entries, ``paths`` beside them the paths
    opened; all of them, or those before the first whose answer is not the same for everybody. ``guesses``
    are what would answer an object that has none of these, if nothing else were loaded.
    """

    number: int
    path: str
    entry: FileEntry
    elf: ElfFacts
    needs: tuple[int, ...] = ()
    paths: tuple[str, ...] = ()
    guesses: tuple[int, ...] = ()

    @property
    def real(self) -> ImagePath:
        """The file's canonical path."""
        return self.entry.path

    @property
    def inode(self) -> tuple[int, int]:
        """The file's identity."""
        return self.entry.inode


@dataclass(frozen=True, slots=True)
class Walk:
    """What is loaded with one file, in load order, itself first: numbers of nodes, and the names by
    which they were asked for first. ``edges`` counts the needed entries."""

    nodes: list[int]
    names: list[str]
    edges: int


class SharedLinks:
    """The answers of one glibc loader for the objects of one image, and the closures made of them."""

    def __init__(self, loader: GlibcLoader, entries: Mapping[str, FileEntry]) -> None:
        self._loader = loader
        self._entries = entries
        self._numbers: dict[tuple[str, str], int] = {}
        self.nodes: list[Node] = []
        self._quirks: set[int] = set()
        self._answered: dict[_Asking, Node] = {}
        self._twins: frozenset[int] = frozenset()
        self._interpreter = self._add_interpreter()
        self._preloads = self._add_preloads()

    def add(self, paths: Iterable[str]) -> None:
        """Answer the needed entries of files, and of all that they bring in, each by itself. Comes once."""
        for path in paths:
            self._number(path, path)
        position = 0
        while position < len(self.nodes):
            if position != self._interpreter:
                self._answer(self.nodes[position])
            position += 1
        self._loader.forget_searches()
        self._find_conflicts()
        by_inode = Counter(one.inode for one in self.nodes)
        self._twins = frozenset(one.number for one in self.nodes if by_inode[one.inode] > 1)
        self._needed = frozenset(number for one in self.nodes for number in one.needs).union(
            self._preloads or ()
        )

    def walk(self, path: str, *, is_program: bool) -> Walk | None:
        """Breadth-first from one file that was added; None where its own simulation has to tell."""
        first = self._numbers[self._key(path, path)]
        if self._preloads is None or (is_program and first in self._needed):
            return None  # a program's inode is unknown to the loader, so it would be loaded again
        walk = self._walk(first, self._preloads)
        if not self._quirks.isdisjoint(walk.nodes):
            return None
        return walk if self.is_each_once(walk.nodes) else None

    def __contains__(self, path: str) -> bool:
        """Whether a file was added."""
        return path in self._entries and self._key(path, path) in self._numbers

    def has_twin(self, number: int) -> bool:
        """Whether the file of a node is that of another one, too."""
        return number in self._twins

    def is_each_once(self, numbers: Collection[int]) -> bool:
        """Whether no file is there twice among some nodes."""
        if self._twins.isdisjoint(numbers):
            return True
        return len({self.nodes[number].inode for number in numbers}) == len(numbers)

    def closure(self, number: int) -> frozenset[int] | None:
        """What every closure holds that holds this node; None where that is not sure."""
        nodes = self._walk(number, ()).nodes
        return frozenset(nodes) if self._quirks.isdisjoint(nodes) else None

    def opened(self, walk: Walk, number: int) -> str:
        """The path by which a node of a walk was opened."""
        if walk.nodes[0] == number:
            return self.nodes[number].entry.path
        if number in (self._preloads or ()):
            return self.nodes[number].path
        for requester in walk.nodes:
            one = self.nodes[requester]
            if number in one.needs:
                return one.paths[one.needs.index(number)]
        raise KeyError(number)

    def _walk(self, first: int, preloads: Sequence[int]) -> Walk:
        nodes, all_nodes = [first], self.nodes
        names: list[str] = [all_nodes[first].entry.path]
        for number in preloads:
            if number not in nodes:
                nodes.append(number)
                names.append(all_nodes[number].path)
        seen, interpreter = set(nodes), all_nodes[self._interpreter]
        edges = 0
        for number in nodes:
            one = all_nodes[number]
            edges += len(one.needs)
            for place, needed in enumerate(one.needs):
                if needed not in seen:
                    seen.add(needed)
                    nodes.append(needed)
                    # The loader is there before anybody asks, by the name that the kernel was told.
                    names.append(interpreter.path if needed == self._interpreter else one.elf.needed[place])
        return Walk(nodes, names, edges)

    def _key(self, real: str, path: str) -> tuple[str, str]:
        """Files are the same object by whatever path they are opened, unless they ask for their origin."""
        runpath = self._entries[real].content.runpath if real in self._entries else None  # type: ignore[attr-defined]
        return real, path.rpartition("/")[0] if runpath and "$" in runpath else ""

    def _number(self, real: str, path: str) -> int:
        key = self._key(real, path)
        number = self._numbers.get(key)
        if number is None:
            entry = self._entries[real]
            assert isinstance(entry.content, ElfFacts), "only ELF files are loaded"
            number = self._numbers[key] = len(self.nodes)
            self.nodes.append(Node(number, path, entry, entry.content))
        return number

    def _add_interpreter(self) -> int:
        """The loader itself: it answers to its soname and is not known by its inode."""
        identity = self._loader.identity
        entry = identity.resolution.entry
        assert entry is not None and identity.elf is not None, "a missing loader loads nothing"
        self.nodes.append(Node(0, identity.requested, entry, identity.elf))
        if identity.elf.needed or identity.elf.filters or identity.elf.auxiliaries:
            self._quirks.add(0)
        return 0

    def _add_preloads(self) -> tuple[int, ...] | None:
        """What is loaded before anything else; None where that may differ from program to program."""
        found = self._loader.common_preloads()
        if found is None:
            return None
        return tuple(dict.fromkeys(self._number(entry.path, path) for path, entry in found))

    def _answer(self, one: Node) -> None:
        asking = self._asking(one)
        alike = None if asking is None else self._answered.get(asking)
        if alike is None or not self._answer_like(one, alike):
            self._answer_alone(one)
            if asking is not None and one.number not in self._quirks and not self._is_among(one, one.needs):
                self._answered.setdefault(asking, one)

    def _asking(self, one: Node) -> _Asking | None:
        """All that the answers to an object's needed entries depend on; None where it may be the object
        itself. Objects in which it is the same search the same places for the same names."""
        elf = one.elf
        if self._preloads is None or elf.rpath or elf.filters or elf.auxiliaries or elf.soname in elf.needed:
            return None
        _, origin = self._key(one.real, one.path)
        return elf.needed, elf.runpath, origin, elf.no_default_libraries

    def _answer_like(self, one: Node, other: Node) -> bool:
        """Give an object the answers of another one that asks in the same way, if it is none of them."""
        if self._is_among(one, other.needs):
            return False
        answers = zip(one.elf.needed, other.needs, strict=True)
        providers = {name: self.nodes[number] for name, number in answers}
        if self._loader.complains_of(one, providers.get):
            self._quirks.add(one.number)
        one.needs, one.paths = other.needs, other.paths
        return True

    def _is_among(self, one: Node, numbers: Iterable[int]) -> bool:
        return any(self.nodes[number].inode == one.inode for number in numbers)

    def _answer_alone(self, one: Node) -> None:
        requests, hold = self._loader.start(one.entry, one.elf, is_program=False, path=one.path).alone()
        if not hold:
            self._quirks.add(one.number)
            children = (self._child(request.found) for request in requests if request.found is not None)
            one.guesses = tuple(number for number in children if number is not None)
            return
        needs: list[int] = []
        paths: list[str] = []
        for request, name in zip(requests, one.elf.needed, strict=True):
            found = request.found
            assert found is not None and request.needed == name, "an object alone has all that it needs"
            number = self._child(found)
            if number is None:
                self._quirks.add(one.number)
                break
            usual = self.nodes[number].path  # each path is kept once
            needs.append(number)
            paths.append(usual if usual == found.path else found.path)
        one.needs, one.paths = tuple(needs), tuple(paths)

    def _child(self, found: Mapped) -> int | None:
        """The node for what answers; None where it is not the same for everybody."""
        interpreter = self.nodes[self._interpreter]
        if found.elf is interpreter.elf and found.path == interpreter.path:
            return self._interpreter
        if found.inode == interpreter.inode or not found.path.startswith("/"):
            return None
        return self._number(found.real, found.path)

    def _find_conflicts(self) -> None:
        """Make quirks of those objects because of which (1) or (2) of this module's head could fail."""
        answers: dict[str, Counter[tuple[int, int]]] = {}
        nodes = self.nodes
        for one in nodes:
            for name, number in zip(one.elf.needed, one.needs, strict=False):
                answers.setdefault(name, Counter())[nodes[number].inode] += 1
        usual = {name: counted.most_common(1)[0][0] for name, counted in answers.items()}
        disputed = {name for name, counted in answers.items() if len(counted) > 1}
        interpreter = nodes[self._interpreter]
        for one in nodes:
            soname = one.elf.soname
            if one is not interpreter and soname is not None and soname == interpreter.elf.soname:
                self._quirks.add(one.number)
            if soname is not None and usual.get(soname, one.inode) != one.inode:
                self._quirks.add(one.number)
            for name, number in zip(one.elf.needed, one.needs, strict=False):
                if name in disputed and nodes[number].inode != usual[name]:
                    self._quirks.add(one.number)
