"""Layers enter; single entries of the merged tree leave, looked up when they are asked for.

Follows overlayfs (Documentation/filesystems/overlayfs.rst, "Merging directories" and "whiteouts
and opaque directories"): of an entry that is no directory the topmost layer's counts; directories
are merged from the top down to the first layer that makes them opaque, removes them, or has
something else at their path.

A part of a directory is ``(layer, source)``: the layer's number and the directory's path in it.
The two paths differ only where a layer put names below a symlink of a lower layer (see ``merge``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from imagescan.dataclasses import dataclass, field
from imagescan.filesystem.values import FileEntry
from imagescan.layers.values import EntryKind, FileWithContent, ImagePath, LayerEntry, LayerIndex

Part = tuple[int, str]


@dataclass(slots=True, eq=False)
class Directory:
    """One directory of the merged tree.

    ``path`` has no trailing slash, so the root's is "". ``parts`` are the layers' directories that
    make it up, top first; layers below ``floor`` have no say in it. ``found`` remembers look-ups.
    """

    path: str
    entry: FileEntry
    parent: Directory | None
    parts: tuple[Part, ...]
    floor: int
    found: dict[str, tuple[FileEntry, Directory | None] | None] = field(default_factory=dict)


class Settled:
    """What ``merge`` finds out about layers once those below them are known.

    ``grafts`` maps a directory of the image to the parts that layers put there through a symlink,
    ``moved`` has the same parts by themselves, and ``hard_links`` the entries that hard links to
    lower layers lead to, by layer and path in it.
    """

    def __init__(self) -> None:
        self.grafts: dict[str, list[Part]] = {}
        self.moved: dict[Part, str] = {}
        self.hard_links: dict[Part, FileEntry] = {}

    def graft(self, layer: int, source: str, location: str) -> None:
        """Say that a layer's directory belongs to another directory of the image."""
        self.grafts.setdefault(location, []).append((layer, source))
        self.moved[layer, source] = location

    def location(self, layer: int, source: str) -> str:
        """Where a path of a layer is in the image; "" is the root."""
        if not self.moved:
            return f"/{source}" if source else ""
        rest = ""
        while source and (layer, source) not in self.moved:
            source, _, name = source.rpartition("/")
            rest = f"/{name}{rest}"
        return self.moved.get((layer, source), "") + rest


class Overlay:
    """The merged tree of the given layers, the base first."""

    def __init__(self, layers: tuple[LayerIndex, ...], settled: Settled) -> None:
        self.layers = layers
        self.settled = settled
        self._removed: dict[int, Mapping[str, frozenset[str]]] = {}
        self._below: dict[int, Overlay] = {}
        self.root = self._root()

    def below(self, count: int) -> Overlay:
        """The tree of the lowest ``count`` layers."""
        if count == len(self.layers):
            return self
        if count not in self._below:
            self._below[count] = Overlay(self.layers[:count], self.settled)
        return self._below[count]

    def look_up(self, directory: Directory, name: str) -> tuple[FileEntry, Directory | None] | None:
        """The entry of that name, with what is needed to go on when it is a directory."""
        try:
            return directory.found[name]
        except KeyError:
            found = directory.found[name] = self.compose(directory, name)
            return found

    def at(self, path: str) -> tuple[FileEntry, Directory | None] | None:
        """The entry at a canonical path; symlinks are not followed."""
        directory: Directory | None = self.root
        found: tuple[FileEntry, Directory | None] | None = (self.root.entry, self.root)
        for name in path.split("/"):
            if name:
                found = self.look_up(directory, name) if directory else None
                if found is None:
                    return None
                directory = found[1]
        return found

    def names(self, directory: Directory) -> list[str]:
        """Sorted names in a directory."""
        if len(directory.parts) == 1 and not self.settled.moved:
            layer, source = directory.parts[0]
            return list(self.layers[layer].children(ImagePath(source)))
        seen: set[str] = set()
        removed: set[str] = set()
        waiting: frozenset[str] = frozenset()  # a layer's whiteouts hold for the layers below it
        above = -1
        for layer, source in directory.parts:
            if layer != above:
                removed |= waiting
                waiting, above = frozenset(), layer
            for name in self.layers[layer].children(ImagePath(source)):
                if name not in removed and (layer, _join(source, name)) not in self.settled.moved:
                    seen.add(name)
            waiting |= self._removed_in(layer, source)
        return sorted(seen)

    def visible(self, layer: int, source: str, files: Iterable[FileWithContent]) -> Iterator[FileEntry]:
        """Those regular files of a layer's directory that no other layer hides."""
        location = self.settled.location(layer, source)
        directory = self._place_of(location, layer)
        if directory is None:
            return
        hidden: set[str] = set()
        known: dict[str, tuple[FileEntry, Directory | None] | None] = {}
        if directory.path == location:
            if self.settled.moved or (layer, source) not in directory.parts:
                yield from self._seen(directory, layer, files)
                return
            for other, place in directory.parts[: directory.parts.index((layer, source))]:
                hidden.update(self.layers[other].children(ImagePath(place)), self._removed_in(other, place))
            known = directory.found  # where layers meet, look-ups cost most
        for name, kind, (mode, uid, gid), size, serial, capability, content in files:
            if name not in hidden:
                entry = FileEntry(
                    ImagePath(f"{location}/{name}"),
                    kind,
                    mode,
                    uid,
                    gid,
                    size,
                    (layer, serial),
                    layer,
                    "",
                    capability,
                    content,
                )
                known[name] = entry, None
                yield entry

    def _place_of(self, location: str, layer: int) -> Directory | None:
        """The directory at a path, or one above it in which there is nothing of any other layer; None where
        the path leads to no directory."""
        directory = self.root
        for name in location.split("/")[1:]:
            parts = directory.parts
            if len(parts) == 1 and parts[0][0] == layer and not self.settled.moved:
                break
            found = self.look_up(directory, name)
            if found is None or found[1] is None:
                return None
            directory = found[1]
        return directory

    def _seen(
        self, directory: Directory, layer: int, files: Iterable[FileWithContent]
    ) -> Iterator[FileEntry]:
        """``visible`` by a look-up of each name."""
        for one in files:
            found = self.look_up(directory, one.name)
            if found is not None and found[0].layer == layer and found[0].content is one.content:
                yield found[0]

    def compose(self, directory: Directory, name: str) -> tuple[FileEntry, Directory | None] | None:
        """``look_up`` without memory."""
        path = f"{directory.path}/{name}"
        parts: list[Part] = []
        named: tuple[int, LayerEntry] | None = None  # the topmost that a tar names, or the lowest
        floor = directory.floor
        for layer, source in self._candidates(directory, path, name):
            if layer < floor:
                break
            index = self.layers[layer]
            entry = index.entry(ImagePath(source))
            if entry is not None and entry.kind is not EntryKind.DIRECTORY:
                if not parts:
                    return self._file(path, layer, entry)
                floor = layer if parts[-1][0] == layer else layer + 1
                break
            if entry is not None and self.settled.moved.get((layer, source), path) == path:
                parts.append((layer, source))
                if named is None or named[1].implicit:
                    named = layer, entry
                if index.is_opaque(ImagePath(source)):
                    floor = layer
            if index.is_whiteout(ImagePath(source)):
                floor = layer
        if named is None:
            return None
        merged = _entry(path, *named)
        return merged, Directory(path, merged, directory, tuple(parts), floor)

    def _file(self, path: str, layer: int, entry: LayerEntry) -> tuple[FileEntry, None] | None:
        if entry.hard_link is None:
            return _entry(path, layer, entry), None
        linked = self.settled.hard_links.get((layer, entry.path))
        if linked is None:
            return None
        return FileEntry(
            ImagePath(path),
            linked.kind,
            linked.mode,
            linked.uid,
            linked.gid,
            linked.size,
            linked.inode,
            layer,
            linked.target,
            linked.capability,
            linked.content,
        ), None

    def _candidates(self, directory: Directory, path: str, name: str) -> Iterator[Part] | list[Part]:
        own = [(layer, _join(source, name)) for layer, source in directory.parts]
        grafts = self.settled.grafts.get(path)
        return self._with_grafts(own, grafts) if grafts else own

    def _with_grafts(self, own: list[Part], grafts: list[Part]) -> list[Part]:
        return sorted(
            own + [graft for graft in grafts if graft[0] < len(self.layers)], key=lambda part: -part[0]
        )

    def _root(self) -> Directory:
        own = [(layer, "") for layer in reversed(range(len(self.layers)))]
        parts: list[Part] = []
        named: tuple[int, LayerEntry] | None = None
        floor = 0
        for layer, source in self._with_grafts(own, self.settled.grafts.get("", [])):
            if layer < floor:
                break
            entry = self.layers[layer].entry(ImagePath(source))
            if entry is not None:
                parts.append((layer, source))
                if named is None or named[1].implicit:
                    named = layer, entry
            if self.layers[layer].is_opaque(ImagePath(source)):
                floor = layer
        nothing = LayerEntry(ImagePath(""), EntryKind.DIRECTORY, 0o755, 0, 0, 0, 0, implicit=True)
        return Directory("", _entry("/", *(named or (0, nothing))), None, tuple(parts), floor)

    def _removed_in(self, layer: int, source: str) -> frozenset[str]:
        """Names that a layer's whiteouts remove from a directory."""
        if layer not in self._removed:
            names: dict[str, set[str]] = {}
            for path in self.layers[layer].whiteouts():
                parent, _, name = path.rpartition("/")
                names.setdefault(parent, set()).add(name)
            self._removed[layer] = {parent: frozenset(found) for parent, found in names.items()}
        return self._removed[layer].get(source, frozenset())


def _join(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name


def _entry(path: str, layer: int, entry: LayerEntry) -> FileEntry:
    return FileEntry(
        ImagePath(path),
        entry.kind,
        entry.mode,
        entry.uid,
        entry.gid,
        entry.size,
        (layer, entry.serial),
        layer,
        entry.target,
        entry.capability,
        entry.content,
    )
