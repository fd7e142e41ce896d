"""The list of loaded objects while a link map is being made.

Objects go in one by one, a frozen ``LinkMap`` comes out. Mirrors glibc's ``_dl_lookup_map`` and
the identity test of ``_dl_map_object_from_fd`` (elf/dl-load.c), and the list that
``_dl_map_object_deps`` (elf/dl-deps.c) and musl's ``load_deps`` (ldso/dynlink.c) grow.
"""

from __future__ import annotations

from typing import Protocol

from imagescan.dataclasses import dataclass, field
from imagescan.elf.facts import ElfFacts
from imagescan.filesystem.values import FileEntry
from imagescan.layers.values import ImagePath
from imagescan.loader.values import (
    How,
    LinkProblems,
    LoadedObject,
    Missing,
    MissingLibrary,
    OptionalLibrary,
    Resolution,
    SearchStep,
    WholeLinkMap,
)


class LoaderProcess(Protocol):
    """One program in the hands of its loader; each loader has its own."""

    def load(self) -> None:
        """Load everything that the program needs."""
        ...

    def run(self) -> WholeLinkMap:
        """Load everything that the program needs, and check it."""
        ...

    def dlopen(self, entry: FileEntry, elf: ElfFacts, *, now: bool) -> WholeLinkMap:
        """Open a plugin by its path in the running program."""
        ...

    def opening(self, entry: FileEntry, elf: ElfFacts, *, now: bool) -> tuple[ImagePath, LinkProblems]:
        """``dlopen`` without its objects and requests: the plugin's canonical path, and its problems."""
        ...

    def fork(self) -> LoaderProcess | None:
        """The same process once more: what happens in one is not seen in the other. None where the
        process can only be made anew."""
        ...

    def announced(self) -> tuple[OptionalLibrary, ...]:
        """Look for what the program announces to open; comes last."""
        ...


@dataclass(slots=True, eq=False)
class Mapped:
    """One loaded object in the making. ``loader`` is the object that asked for it first (glibc's
    ``l_loader``, musl's ``needed_by``); ``plan`` caches its search plan; ``short_name`` is
    musl's: set only when a search found the object."""

    path: str
    real: ImagePath
    inode: tuple[int, int]
    elf: ElfFacts
    requested: str
    loader: Mapped | None
    how: How
    plan: object | None = None
    short_name: str = ""


@dataclass(slots=True)
class Request:
    """One needed entry and its answer, before positions are known."""

    needed: str
    requester: Mapped
    found: Mapped | None
    how: How | None
    missing: Missing | None = None
    trail: tuple[SearchStep, ...] = ()


@dataclass(slots=True)
class Process:
    """The objects in load order, with the names and identities that later requests match."""

    objects: list[Mapped] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    names: dict[str, Mapped] = field(default_factory=dict)
    sonames: dict[str, Mapped] = field(default_factory=dict)
    inodes: dict[tuple[int, int], Mapped] = field(default_factory=dict)
    reordered: bool = False  # an object was put before an earlier one, so age and order differ
    failures: list[Request] = field(default_factory=list)  # those requests that nothing satisfies

    def copy(self) -> Process:
        """The same lists once more; the objects in them are shared."""
        return Process(
            [*self.objects],
            [*self.requests],
            {**self.names},
            {**self.sonames},
            {**self.inodes},
            self.reordered,
            [*self.failures],
        )

    def missing(self, first: int = 0) -> tuple[MissingLibrary, ...]:
        """The failed requests from one on."""
        position = {id(one): index for index, one in enumerate(self.objects)} if self.failures else {}
        return tuple(
            MissingLibrary(
                one.needed,
                position[id(one.requester)],
                one.requester.real,
                one.requester.path,
                one.missing,
                one.trail,
            )
            for one in self.failures[first:]
            if one.missing is not None
        )

    def note(self, request: Request) -> None:
        """Remember a request and its answer."""
        self.requests.append(request)
        if request.missing is not None:
            self.failures.append(request)

    def add(self, one: Mapped, *, has_identity: bool = True) -> Mapped:
        """Put an object at the end of the list and make it findable."""
        self.objects.append(one)
        if has_identity:
            self.inodes.setdefault(one.inode, one)
        return one

    def move(self, one: Mapped, *, before: Mapped) -> None:
        """Put an object that comes later in the list before another, as filters do."""
        if self.objects.index(one) > self.objects.index(before):
            self.objects.remove(one)
            self.objects.insert(self.objects.index(before), one)
            self.reordered = True

    def named(self, name: str) -> Mapped | None:
        """The first object in the list that was asked for by this name, or has it as soname; it
        then answers to it as a name from now on."""
        found = self.names.get(name)
        if self.reordered:
            found = next((one for one in self.objects if one is found or one.elf.soname == name), found)
        found = found or self.sonames.get(name)
        if found is not None:
            self.names[name] = found
        return found

    def finish(self) -> tuple[tuple[LoadedObject, ...], tuple[Resolution, ...], list[list[int]]]:
        """Freeze: objects, resolutions, and for each object the positions that it needs directly."""
        position = {id(one): index for index, one in enumerate(self.objects)}
        objects = tuple(
            LoadedObject(
                one.path,
                one.real,
                one.inode,
                one.elf,
                one.requested,
                position.get(id(one.loader), -1) if one.loader else -1,
                one.how,
            )
            for one in self.objects
        )
        needed: list[list[int]] = [[] for _ in objects]
        resolutions = []
        for request in self.requests:
            requester = position[id(request.requester)]
            found = position.get(id(request.found)) if request.found else None
            if found is not None:
                needed[requester].append(found)
            resolutions.append(
                Resolution(request.needed, requester, found, request.how, request.missing, request.trail)
            )
        return objects, tuple(resolutions), needed
