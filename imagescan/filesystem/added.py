"""A file system with a few files more: what a running program would write into it.

A ``RootFilesystem`` and entries by path enter, a ``RootFilesystem`` leaves. The files are found by
their whole path alone; no directory lists them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from imagescan.filesystem.values import Credentials, FileEntry, PathEvent, PathResolution, RootFilesystem
from imagescan.layers.values import ImagePath


class WithFiles:
    """A ``RootFilesystem`` over another one; see there."""

    def __init__(self, below: RootFilesystem, files: Mapping[ImagePath, FileEntry]) -> None:
        self._below = below
        self._files = {str(path): entry for path, entry in files.items()}

    def resolve(
        self,
        path: str,
        *,
        directory: str = "/",
        follow: bool = True,
        who: Credentials | None = None,
    ) -> PathResolution:
        """The added file of exactly this path, else what is below."""
        found = self._files.get(path)
        if found is not None:
            return PathResolution(path, found)
        return self._below.resolve(path, directory=directory, follow=follow, who=who)

    def walk(self) -> Iterator[FileEntry]:
        """Entries of the file system below."""
        return self._below.walk()

    def contents(self) -> Iterator[FileEntry]:
        """Entries of the file system below."""
        return self._below.contents()

    def children(self, directory: str) -> tuple[str, ...]:
        """Names in the file system below."""
        return self._below.children(directory)

    def events(self, path: str) -> tuple[PathEvent, ...]:
        """What layers did below."""
        return self._below.events(path)

    def paths_ever(self, name: str) -> tuple[ImagePath, ...]:
        """Paths in the layers below."""
        return self._below.paths_ever(name)

    def look_for_libraries(self, names: Iterable[str]) -> None:
        """See ``RootFilesystem``."""
        self._below.look_for_libraries(names)

    @property
    def layer_count(self) -> int:
        """Layers below."""
        return self._below.layer_count
