"""The merged tree as later rooms ask for it: ``RootFilesystem`` over an ``Overlay``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from imagescan.filesystem.overlay import Directory, Overlay
from imagescan.filesystem.resolution import PATH_MAX, DirectoryResolution, components, resolve
from imagescan.filesystem.values import (
    Credentials,
    FileEntry,
    LayerAction,
    PathError,
    PathEvent,
    PathResolution,
)
from imagescan.layers.values import ImagePath


class MergedFilesystem:
    """A ``RootFilesystem``. Look-ups are remembered, so one view serves one scan."""

    def __init__(self, overlay: Overlay) -> None:
        self._overlay = overlay
        self._resolved: dict[str, DirectoryResolution] = {}
        self._contents: tuple[FileEntry, ...] | None = None
        self._named: dict[str, tuple[ImagePath, ...]] = {}

    @property
    def layer_count(self) -> int:
        """How many layers were merged."""
        return len(self._overlay.layers)

    def resolve(
        self,
        path: str,
        *,
        directory: str = "/",
        follow: bool = True,
        who: Credentials | None = None,
    ) -> PathResolution:
        """Look a path up as the kernel would with the image's root as ``/``.

        A relative path starts at ``directory``, whose own symlinks do not count against the limit
        and whose parents need not be searchable, as with a working directory. An empty path is
        ENOENT; a NUL byte, which no system call could pass, too.
        """
        if not path or "\0" in path:
            return PathResolution(path, None, error=PathError.ENOENT)
        if len(path) >= PATH_MAX // 4 and len(path.encode("utf-8", "surrogateescape")) >= PATH_MAX:
            return PathResolution(path, None, error=PathError.ENAMETOOLONG)
        if who is not None and who.uid == 0:
            who = None  # root may search every directory
        start = self._overlay.root
        if not path.startswith("/") and directory not in ("", "/"):
            base = self._directory(directory)
            if base.directory is None:
                return PathResolution(path, None, base.hops, base.error, base.stopped_at)
            start = base.directory
        elif who is None:
            parent, _, name = path.rpartition("/")
            if parent and name not in ("", ".", ".."):
                base = self._directory(parent)
                if base.directory is None:
                    return PathResolution(path, None, base.hops, base.error, base.stopped_at)
                return resolve(
                    self._overlay, path, base.directory, [name], follow=follow, who=None, hops=base.hops
                )
        return resolve(self._overlay, path, start, components(path), follow=follow, who=who)

    def _directory(self, path: str) -> DirectoryResolution:
        """Where a directory's path leads from the root, remembered: loaders ask for few directories."""
        known = self._resolved.get(path)
        if known is not None:
            return known
        found = resolve(
            self._overlay, path, self._overlay.root, components(path + "/"), follow=True, who=None
        )
        target = self._overlay.at(found.entry.path) if found.entry else None
        resolved = DirectoryResolution(
            target[1] if target else None, found.hops, found.error, found.stopped_at
        )
        self._resolved[path] = resolved
        return resolved

    def walk(self) -> Iterator[FileEntry]:
        """Every entry of the merged tree except the root, parents first, siblings by name."""
        overlay = self._overlay
        pending: list[tuple[Directory, Iterator[str]]] = [(overlay.root, iter(overlay.names(overlay.root)))]
        while pending:
            directory, names = pending[-1]
            name = next(names, None)
            if name is None:
                pending.pop()
                continue
            found = overlay.compose(directory, name)
            if found is not None:
                yield found[0]
                if found[1] is not None:
                    pending.append((found[1], iter(overlay.names(found[1]))))

    def contents(self) -> Iterator[FileEntry]:
        """The entries of ``walk`` that carry content, by path, without going through all of them."""
        if self._contents is None:
            self._contents = tuple(self._find_contents())
        return iter(self._contents)

    def _find_contents(self) -> Iterator[FileEntry]:
        overlay = self._overlay
        found = {entry.path: entry for entry in self._linked()}
        for number, layer in enumerate(overlay.layers):
            for source, files in layer.contents_by_directory():
                for entry in overlay.visible(number, source, files):
                    found[entry.path] = entry
        return (found[path] for path in sorted(found))

    def _linked(self) -> Iterator[FileEntry]:
        for layer, source in self._overlay.settled.hard_links:
            found = self._overlay.at(self._overlay.settled.location(layer, source))
            if found is not None and found[0].content is not None:
                yield found[0]

    def children(self, directory: str) -> tuple[str, ...]:
        """Sorted names in a directory given by its canonical path; empty when there is none."""
        found = self._overlay.at(directory)
        return tuple(self._overlay.names(found[1])) if found and found[1] else ()

    def events(self, path: str) -> tuple[PathEvent, ...]:
        """What each layer did at a canonical path, the base first; empty when it never existed.

        A layer that names a directory again (its attributes, or to put something into it)
        replaces it; one that only implies it does nothing.
        """
        events = []
        before: FileEntry | None = None
        for layer in range(self.layer_count):
            found = self._overlay.below(layer + 1).at(path)
            after = found[0] if found else None
            if after is not None and (before is None or after.layer == layer):
                action = LayerAction.ADDED if before is None else LayerAction.REPLACED
                events.append(PathEvent(layer, action, after))
            elif after is None and before is not None:
                events.append(PathEvent(layer, self._removal(layer, path), None))
            before = after
        return tuple(events)

    def paths_ever(self, name: str) -> tuple[ImagePath, ...]:
        """Every path with this last component that any layer has, the lowest layer's first, whether it
        was removed or hidden since or not."""
        known = self._named.get(name)
        if known is None:
            location = self._overlay.settled.location
            found = {
                ImagePath(location(number, source)): None
                for number, layer in enumerate(self._overlay.layers)
                for source in layer.paths_named(name)
            }
            known = self._named[name] = tuple(found)
        return known

    def look_for_libraries(self, names: Iterable[str]) -> None:
        """Be ready to be asked for ``paths_ever`` of many names: together they cost little more than one."""
        asked = {name for name in names if ".so" in name and "/" not in name and name not in self._named}
        found: dict[str, dict[ImagePath, None]] = {name: {} for name in asked}
        location = self._overlay.settled.location
        for number, layer in enumerate(self._overlay.layers if asked else ()):
            for name, source in layer.paths_of_libraries(asked):
                found[name][ImagePath(location(number, source))] = None
        self._named.update((name, tuple(paths)) for name, paths in found.items())

    def _removal(self, layer: int, path: str) -> LayerAction:
        removed = self._overlay.layers[layer].whiteouts()
        settled = self._overlay.settled
        if any(settled.location(layer, source) == path for source in removed):
            return LayerAction.REMOVED
        return LayerAction.HID
