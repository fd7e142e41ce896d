"""What is loaded with each file of an image, as columns of numbers.

The walks of ``closures`` enter row by row, a frozen ``ClosureTable`` leaves. A whole link map is a graph
of objects; of an image's thousands of them all but a few have nothing to say except which files they
load, and that is what the columns hold. Load order as in glibc's ``_dl_map_object_deps``
(elf/dl-deps.c) and musl's ``load_deps`` (ldso/dynlink.c).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence

from imagescan.dataclasses import dataclass
from imagescan.layers.values import ImagePath
from imagescan.loader.values import NO_PROBLEMS, BriefLinkMap, LinkMaps, LinkProblems, LoaderIdentity


@dataclass(frozen=True, slots=True)
class ClosureTable:
    """The link maps of all ELF files of one image in one process environment, without their details.

    It depends on nothing but the merged tree and the ``ProcessEnvironment``, and holds no handle on
    either, so it can be stored. A file's number is its position in ``files``.

    Attributes:
        files: canonical path of every ELF file, sorted.
        loaders: the dynamic loaders that serve them. One is determined by its ``requested`` path and
            the tree (``identify_loader``).
        served_by: for each file the number of its loader, -1 without one. Array of type "i".
        starts: for each file where its row begins in ``loaded`` and ``asked``; one more for the end of
            the last row. Array of type "I". The row of a file that is never loaded (relocatable,
            core) is empty, of any other it begins with the file itself.
        loaded: numbers of the files loaded, in load order. Array of type "I".
        asked: beside each of them the number in ``names`` of the name by which it was asked for
            first. Array of type "I".
        names: those names: sonames, and paths where a path was asked for.
        problems: by file number, for those link maps that have any.
    """

    files: tuple[ImagePath, ...]
    loaders: tuple[LoaderIdentity, ...]
    served_by: array[int]
    starts: array[int]
    loaded: array[int]
    asked: array[int]
    names: tuple[str, ...]
    problems: Mapping[int, LinkProblems]

    def number(self, path: str) -> int | None:
        """The number of a file, None for one that is no ELF file of the image."""
        place = bisect_left(self.files, path)
        return place if place < len(self.files) and self.files[place] == path else None

    def __contains__(self, path: object) -> bool:
        """Whether a file has a link map."""
        number = self.number(path) if isinstance(path, str) else None
        return number is not None and self.starts[number] < self.starts[number + 1]

    def programs(self) -> Iterator[ImagePath]:
        """Every file that has a link map, by path."""
        for number, path in enumerate(self.files):
            if self.starts[number] < self.starts[number + 1]:
                yield path

    def objects(self, path: str) -> Sequence[ImagePath]:
        """The canonical paths of what is loaded with a file, in load order, itself first; empty for one
        without link map."""
        files = self.files
        return [files[one] for one in self._row(path, self.loaded)]

    def requested(self, path: str) -> Sequence[str]:
        """For each of ``objects`` the name that it was first asked by."""
        names = self.names
        return [names[one] for one in self._row(path, self.asked)]

    def reached(self, paths: Iterable[str]) -> set[ImagePath]:
        """All that is loaded with any of some files, and the loaders that serve them."""
        found: set[int] = set()
        served_by: set[int] = set()
        for path in paths:
            found.update(self._row(path, self.loaded))
            number = self.number(path)
            if number is not None:
                served_by.add(self.served_by[number])
        loaders = (self.loaders[one].path for one in served_by if one >= 0)
        return {*map(self.files.__getitem__, found), *(path for path in loaders if path is not None)}

    def problems_of(self, path: str) -> LinkProblems:
        """What there is to say of a file's link map."""
        number = self.number(path)
        return NO_PROBLEMS if number is None else self.problems.get(number, NO_PROBLEMS)

    def loader_of(self, path: str) -> LoaderIdentity | None:
        """The dynamic loader that serves a file."""
        number = self.number(path)
        served_by = -1 if number is None else self.served_by[number]
        return None if served_by < 0 else self.loaders[served_by]

    def _row(self, path: str, column: array[int]) -> Sequence[int]:
        number = self.number(path)
        if number is None:
            return ()
        return column[self.starts[number] : self.starts[number + 1]]


def brief_link_maps(closures: ClosureTable, simulation: LinkMaps) -> dict[ImagePath, BriefLinkMap]:
    """The link map of every file that has one, by path; whole ones are made again when asked for."""
    loaders = (*closures.loaders, None)  # the last for those that have none: number -1
    problems, starts = closures.problems, closures.starts
    maker = simulation.link_map
    return {
        path: BriefLinkMap(path, loaders[served_by], problems.get(number, NO_PROBLEMS), maker)
        for number, (path, served_by) in enumerate(zip(closures.files, closures.served_by, strict=True))
        if starts[number] < starts[number + 1]
    }
