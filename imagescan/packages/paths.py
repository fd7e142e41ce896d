"""Whose each path is, by what package databases list.

Packages with their paths enter, and the files that list them; a table of owners leaves. dpkg's lists are
long and few of their paths are ever asked for, so they are read when one is, and only the paths that an
image's files may be asked by are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Protocol

from imagescan.dataclasses import dataclass
from imagescan.packages.dpkg import Diversion
from imagescan.packages.values import (
    MAXIMUM_PATH_CHARACTERS,
    MAXIMUM_PATHS,
    DamagedDatabase,
    DatabaseFile,
    Package,
)


@dataclass(frozen=True, slots=True)
class PathList:
    """The paths of one package in a file that is read when they are asked for; ``read`` makes lines of it."""

    file: DatabaseFile
    read: Callable[[bytes], list[str]]

    @property
    def lines(self) -> list[str]:
        """The absolute paths, and perhaps other lines."""
        return self.read(self.file.data)

    @property
    def paths(self) -> list[str]:
        """The absolute paths."""
        return [line for line in self.lines if line.startswith("/") and line != "/."]


def fits(lists: Iterable[PathList]) -> bool:
    """Whether all lists together stay within the limits, whatever is in them."""
    sizes = [one.file.size for one in lists]
    shortest = 2  # characters of a path with the end of its line
    return sum(sizes) <= MAXIMUM_PATH_CHARACTERS and sum(sizes) // shortest + len(sizes) <= MAXIMUM_PATHS


class PathTable:
    """Owners of paths, and the packages that brought libraries, within the limits."""

    def __init__(self) -> None:
        self.owners: dict[str, Package] = {}
        self.libraries: dict[str, tuple[Package, ...]] = {}
        self._characters = 0
        self._shared: dict[str, list[Package]] = {}

    def table(self, path: str | None = None) -> PathTable:
        """See ``Owners``."""
        return self

    def add(self, paths: Iterable[str], package: Package) -> None:
        """Say whose some paths are.

        Raises:
            DamagedDatabase: more than ``MAXIMUM_PATHS``, or ``MAXIMUM_PATH_CHARACTERS`` together.
        """
        if isinstance(paths, list) and self._has_room(paths):
            self._add_all(paths, package)
            return
        for path in paths:
            self._add(path, package)

    def add_some(self, lines: Sequence[str], wanted: frozenset[str], package: Package) -> None:
        """``add`` for the lines of a list, where no limit is near; only wanted paths get an owner."""
        self._own(list(filter(wanted.__contains__, lines)), package)
        for path in lines:
            if ".so" in path and path[0] == "/":
                self._add_library(path, package)

    def _has_room(self, paths: Sequence[str]) -> bool:
        """Whether so many paths more stay within the limits."""
        return (
            len(self.owners) + len(paths) <= MAXIMUM_PATHS
            and self._characters + sum(map(len, paths)) <= MAXIMUM_PATH_CHARACTERS
        )

    def _add_all(self, paths: Sequence[str], package: Package) -> None:
        """``_add`` for each path, where no limit is near; a dictionary does it in a loop of its own."""
        self._characters += sum(map(len, paths))
        self._own(paths, package)
        for path in paths:
            if ".so" in path:
                self._add_library(path, package)

    def _own(self, paths: Sequence[str], package: Package) -> None:
        for path in filter(self.owners.__contains__, paths):
            self._shared.setdefault(path, [self.owners[path]]).append(package)
        self.owners.update(dict.fromkeys(paths, package))

    def _add(self, path: str, package: Package) -> None:
        self._characters += len(path)
        if len(self.owners) >= MAXIMUM_PATHS or self._characters > MAXIMUM_PATH_CHARACTERS:
            raise DamagedDatabase("more files than a package database may have")
        before = self.owners.get(path)
        if before is not None:
            self._shared.setdefault(path, [before]).append(package)
        self.owners[path] = package
        if ".so" in path:
            self._add_library(path, package)

    def _add_library(self, path: str, package: Package) -> None:
        name = path.rpartition("/")[2]
        self.libraries[name] = (*self.libraries.get(name, ())[-8:], package)

    def divert(self, diversion: Diversion) -> None:
        """At the diverted path lies the diverting package's file; where it was moved to, the others'."""
        owners = self._shared.get(diversion.path) or [
            one for one in (self.owners.get(diversion.path),) if one is not None
        ]
        by = {one.name == diversion.package: one for one in owners}
        if False in by:
            self.owners[diversion.moved_to] = by[False]
        if True in by:
            self.owners[diversion.path] = by[True]
        else:
            self.owners.pop(diversion.path, None)


class Owners(Protocol):
    """Who knows whose paths are."""

    def table(self, path: str | None = None) -> PathTable:
        """A table that has the owners of a path in all its spellings, and every library."""
        ...


class LateOwners:
    """The owners of what some lists say, read when somebody asks.

    Args:
        lists: the files in the order of their database.
        diversions: what was diverted.
        likely: the paths that may be asked for, in every spelling; others cost a reading of their own.
    """

    def __init__(
        self,
        lists: Sequence[tuple[Package, PathList]],
        diversions: Sequence[Diversion],
        likely: Callable[[], Iterable[str]],
    ) -> None:
        self._lists, self._diversions, self._likely = lists, diversions, likely

    def table(self, path: str | None = None) -> PathTable:
        """See ``Owners``."""
        return self._few if path is None or path in self._wanted else self._every

    @cached_property
    def _wanted(self) -> frozenset[str]:
        return frozenset(self._likely()).union(one.path for one in self._diversions) - {"/."}

    @cached_property
    def _few(self) -> PathTable:
        table = PathTable()
        for package, paths in self._lists:
            table.add_some(paths.lines, self._wanted, package)
        return self._diverted(table)

    @cached_property
    def _every(self) -> PathTable:
        table = PathTable()
        for package, paths in self._lists:
            table.add(paths.paths, package)
        return self._diverted(table)

    def _diverted(self, table: PathTable) -> PathTable:
        for diversion in self._diversions:
            table.divert(diversion)
        return table
