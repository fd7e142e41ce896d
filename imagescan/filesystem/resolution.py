"""A path and who asks for it enter; the entry that it leads to, or the kernel's error, leaves.

Follows path_resolution(7) and fs/namei.c (link_path_walk, step_into, pick_link) with the image's
root as ``/``, as in a container: absolute symlinks start again there, and ``..`` cannot leave it.
"""

from __future__ import annotations

from imagescan.dataclasses import dataclass, field
from imagescan.filesystem.overlay import Directory, Overlay
from imagescan.filesystem.values import (
    MAXIMUM_SYMLINKS,
    Credentials,
    FileEntry,
    Hop,
    PathError,
    PathResolution,
)
from imagescan.layers.values import EntryKind

NAME_MAX = 255  # include/uapi/linux/limits.h, bytes of one component
PATH_MAX = 4096  # bytes of a path with its terminating NUL

_SEARCH = 1
_MUST_BE_DIRECTORY = ""  # stands for a trailing slash among the components


@dataclass(slots=True)
class _Walk:
    """Where a walk is, and what it met until now."""

    directory: Directory
    pending: list[str]  # components that are left, the next one last
    hops: list[Hop] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DirectoryResolution:
    """Where the directory part of a path leads; either ``directory`` or ``error`` is set."""

    directory: Directory | None
    hops: tuple[Hop, ...]
    error: PathError | None = None
    stopped_at: str = ""


def components(path: str) -> list[str]:
    """The components of a path in reverse, with "" for a trailing slash."""
    parts = [part for part in path.split("/") if part]
    if path.endswith("/") and parts:
        parts.append(_MUST_BE_DIRECTORY)
    parts.reverse()
    return parts


def resolve(
    overlay: Overlay,
    requested: str,
    start: Directory,
    pending: list[str],
    *,
    follow: bool,
    who: Credentials | None,
    hops: tuple[Hop, ...] = (),
) -> PathResolution:
    """Walk the components in ``pending`` from ``start``; ``hops`` were followed on the way there."""
    walk = _Walk(start, pending, list(hops))
    entry = start.entry
    while walk.pending:
        name = walk.pending.pop()
        if entry.kind is not EntryKind.DIRECTORY:
            return _failed(requested, walk, PathError.ENOTDIR, entry.path)
        if name == _MUST_BE_DIRECTORY:
            continue
        if who is not None and not entry.permits(who, _SEARCH):
            return _failed(requested, walk, PathError.EACCES, entry.path)
        if name == ".":
            continue
        if name == "..":
            walk.directory = walk.directory.parent or walk.directory
            entry = walk.directory.entry
            continue
        path = f"{walk.directory.path}/{name}"
        if len(name) > NAME_MAX // 4 and len(name.encode("utf-8", "surrogateescape")) > NAME_MAX:
            return _failed(requested, walk, PathError.ENAMETOOLONG, path)
        found = overlay.look_up(walk.directory, name)
        if found is None:
            return _failed(requested, walk, PathError.ENOENT, path)
        if found[0].kind is EntryKind.SYMLINK and (walk.pending or follow):
            if len(walk.hops) >= MAXIMUM_SYMLINKS:
                return _failed(requested, walk, PathError.ELOOP, path)
            entry = _follow(overlay, walk, found[0])
            continue
        entry = found[0]
        walk.directory = found[1] or walk.directory
    return PathResolution(requested, entry, tuple(walk.hops))


def _follow(overlay: Overlay, walk: _Walk, link: FileEntry) -> FileEntry:
    """Put a symlink's target before what is left; the directory that the walk goes on from."""
    walk.hops.append(Hop(link.path, link.target, link.layer))
    walk.pending += components(link.target)
    if link.target.startswith("/"):
        walk.directory = overlay.root
    return walk.directory.entry


def _failed(requested: str, walk: _Walk, error: PathError, stopped_at: str) -> PathResolution:
    return PathResolution(requested, None, tuple(walk.hops), error, stopped_at)
