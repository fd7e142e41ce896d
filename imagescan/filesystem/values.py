"""What the file system view hands on: entries of the merged tree and how a path was resolved.

Follows path_resolution(7), overlayfs (Documentation/filesystems/overlayfs.rst) and the OCI
image specification (layer.md). Paths here start with a slash and are ``ImagePath``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum, StrEnum
from typing import Protocol

from imagescan.dataclasses import dataclass
from imagescan.layers.values import EntryKind, ImagePath

MAXIMUM_SYMLINKS = 40  # include/linux/namei.h MAXSYMLINKS


class PathError(Enum):
    """Why a path does not lead to an entry, as the kernel would say (errno)."""

    ENOENT = "No such file or directory"
    ENOTDIR = "Not a directory"
    EACCES = "Permission denied"
    ELOOP = "Too many levels of symbolic links"
    ENAMETOOLONG = "File name too long"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who asks: a user and its groups. ``uid`` 0 passes every check of read and search."""

    uid: int = 0
    gids: tuple[int, ...] = (0,)


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One entry of the merged tree.

    ``path`` is canonical (no symlink in it). ``inode`` is equal for all names of one hard-link
    group, also across layers. ``layer`` is the index of the layer that brought it (for a
    directory: the topmost layer that names it). ``content`` is an ``ElfFacts``, a ``Script``,
    ... or None.
    """

    path: ImagePath
    kind: EntryKind
    mode: int
    uid: int
    gid: int
    size: int
    inode: tuple[int, int]
    layer: int
    target: str = ""
    capability: bytes | None = None
    content: object | None = None

    def permits(self, who: Credentials, wanted: int) -> bool:
        """Whether ``who`` has the rwx bits ``wanted`` (4, 2, 1) on this entry.

        Mirrors fs/namei.c generic_permission; root needs one x bit to execute a file.
        """
        if who.uid == 0:
            return not (wanted & 1) or self.kind == EntryKind.DIRECTORY or bool(self.mode & 0o111)
        shift = 6 if who.uid == self.uid else 3 if self.gid in who.gids else 0
        return (self.mode >> shift) & wanted == wanted


@dataclass(frozen=True, slots=True)
class Hop:
    """One symlink followed: where it was and what it said."""

    link: ImagePath
    target: str
    layer: int


@dataclass(frozen=True, slots=True)
class PathResolution:
    """How one path was looked up.

    Either ``entry`` or ``error`` is set. ``stopped_at`` is the canonical path of the component
    where an error arose (the missing name, the dangling link's target, the directory that may
    not be searched), else "".
    """

    requested: str
    entry: FileEntry | None
    hops: tuple[Hop, ...] = ()
    error: PathError | None = None
    stopped_at: str = ""


class LayerAction(StrEnum):
    """What one layer did at one path."""

    ADDED = "added"
    REPLACED = "replaced"
    REMOVED = "removed"
    HID = "hid"  # a parent was made opaque, removed, or replaced by a non-directory


@dataclass(frozen=True, slots=True)
class PathEvent:
    """One step in a path's life, bottom layer first. ``entry`` is what was there after it."""

    layer: int
    action: LayerAction
    entry: FileEntry | None


class RootFilesystem(Protocol):
    """The file system as a container would see it. Read only; nothing leads out of it."""

    def resolve(
        self,
        path: str,
        *,
        directory: str = "/",
        follow: bool = True,
        who: Credentials | None = None,
    ) -> PathResolution:
        """Look a path up as the kernel would with the image's root as ``/``.

        A relative path starts at ``directory``. ``follow`` says whether a symlink in the last
        component is followed. With ``who``, directories must be searchable by it (EACCES).
        Mirrors fs/namei.c link_path_walk.
        """
        ...

    def walk(self) -> Iterator[FileEntry]:
        """Every entry of the merged tree except the root, parents first, siblings by name."""
        ...

    def contents(self) -> Iterator[FileEntry]:
        """The entries of ``walk`` that carry content, by path, without going through all of them."""
        ...

    def children(self, directory: str) -> tuple[str, ...]:
        """Sorted names in a directory given by its canonical path; empty when there is none."""
        ...

    def events(self, path: str) -> tuple[PathEvent, ...]:
        """What each layer did at a canonical path: for blame. Empty when it never existed."""
        ...

    def paths_ever(self, name: str) -> tuple[ImagePath, ...]:
        """Every path with this last component that any layer has, the lowest layer's first, whether it
        was removed or hidden since or not: for blame."""
        ...

    def look_for_libraries(self, names: Iterable[str]) -> None:
        """Be ready to be asked for ``paths_ever`` of many names: together they cost little more than one."""
        ...

    @property
    def layer_count(self) -> int:
        """How many layers were merged."""
        ...
