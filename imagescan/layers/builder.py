"""Members of one tar enter, in order; the columns of the layer's index leave.

Follows the OCI image specification (layer.md, "Applying Changesets", "Whiteouts") and, where it
is silent, containerd's unpacking: the last entry of a path wins; a non-directory takes the place
of a directory and of all that was below it; a name below a symlink goes where the link points.
"""

from __future__ import annotations

from array import array
from typing import Any

from imagescan.errors import CorruptLayer, LimitExceeded
from imagescan.layers.columns import IMPLICIT, TARGET_LENGTH_BITS, Directories, Rows
from imagescan.layers.growing import GrowingDirectory, GrowingRows
from imagescan.layers.header import Attributes
from imagescan.layers.members import Member
from imagescan.layers.paths import (
    MAXIMUM_PATH_BYTES,
    METADATA_PREFIX,
    OPAQUE_MARKER,
    WHITEOUT_PREFIX,
    decode,
    normalise,
    removed_name,
)
from imagescan.layers.values import EntryKind, ImagePath

MAXIMUM_LINKS_IN_PARENTS = 40  # symlinks followed to find one entry's parent, as the kernel's MAXSYMLINKS

_IMPLICIT_ATTRIBUTES: Attributes = (0o755, 0, 0)  # how containerd makes missing parents


class IndexBuilder:
    """Collects the entries of one layer; ``directories`` are those that exist by now, by path."""

    def __init__(self) -> None:
        self.rows = GrowingRows()
        self._targets = bytearray()
        self._serials: dict[int, int] = {}
        self._hard_links: dict[int, ImagePath] = {}
        self._capabilities: dict[int, bytes] = {}
        self._contents: dict[int, object] = {}
        implicit = self.rows.attributes_number(_IMPLICIT_ATTRIBUTES)
        root = GrowingDirectory(b"", self.rows.add(EntryKind.DIRECTORY | IMPLICIT, implicit, 0))
        self.directories: dict[bytes, GrowingDirectory] = {b"": root}

    def add(self, member: Member) -> tuple[bytes, int] | None:
        """Take one member; path and row when it is a regular file with content to look at.

        Raises:
            CorruptLayer: no unpacker could make this entry.
            LimitExceeded: too many entries or too long names.
        """
        path = normalise(member.name)
        parent, _, name = path.rpartition(b"/")
        directory = self.directories.get(parent)
        if directory is None:
            if METADATA_PREFIX in parent and _is_metadata(parent):
                return None
            directory = self._parent(parent)
            path = directory.path + b"/" + name if directory.path else name
        if name.startswith(WHITEOUT_PREFIX):
            self._whiteout(directory, name)
            return None
        return self._put(member, directory, path, name)

    def _put(
        self, member: Member, directory: GrowingDirectory, path: bytes, name: bytes
    ) -> tuple[bytes, int] | None:
        kind = member.kind
        if kind is EntryKind.DIRECTORY:
            self.add_directory(path, directory, name, self.rows.attributes_number(member.attributes))
            return None
        if not name:
            raise CorruptLayer("the layer's root is not a directory")
        if path in self.directories:
            self._forget(path)
        self.rows.name_bytes += len(name)
        if member.is_hard_link:
            row = self._hard_link(path, member)
        elif kind is EntryKind.SYMLINK:
            row = self._symlink(member)
        else:
            row = self.rows.add(kind, self.rows.attributes_number(member.attributes), member.size)
        directory.add(name, row)
        if kind is not EntryKind.FILE or member.is_hard_link:
            return None
        if member.capability is not None:
            self._capabilities[row] = member.capability
        return path, row

    def keep_content(self, row: int, content: object) -> None:
        """Remember what the inspector made of a regular file."""
        self._contents[row] = content

    def _symlink(self, member: Member) -> int:
        target = member.link
        if not target or b"\0" in target:
            raise CorruptLayer(f"the symlink {decode(member.name)!r} has no usable target")
        if len(target) > MAXIMUM_PATH_BYTES:
            raise LimitExceeded(f"a symlink target of {len(target)} bytes, more than {MAXIMUM_PATH_BYTES}")
        return self.add_target(target, self.rows.attributes_number(member.attributes))

    def add_target(self, target: bytes, attributes: int) -> int:
        """A row for a symlink with this target and the attributes of this number."""
        place = len(self._targets) << TARGET_LENGTH_BITS | len(target)
        self._targets += target
        self.rows.name_bytes += len(target)
        return self.rows.add(EntryKind.SYMLINK, attributes, place)

    def _hard_link(self, path: bytes, member: Member) -> int:
        """A row that shares its target's inode, or says where to look for it in lower layers."""
        target = normalise(member.link)
        if target == path:
            raise CorruptLayer(f"the hard link {decode(path)!r} points to itself")
        parent, _, name = target.rpartition(b"/")
        directory = self.directories.get(parent) or self._resolve_directory(parent)
        found = directory.find(name) if directory and name else None
        rows = self.rows
        if found is None:
            row = rows.add(EntryKind.FILE, rows.attributes_number(member.attributes), 0)
            self._hard_links[row] = decode(target)
            rows.name_bytes += len(target)
            return row
        if rows.kinds[found] & ~IMPLICIT == EntryKind.DIRECTORY:
            raise CorruptLayer(f"the hard link {decode(member.name)!r} points to a directory")
        row = rows.add(rows.kinds[found], rows.attributes[found], rows.sizes[found])
        self._serials[row] = self._serials.get(found, found)
        shared: tuple[dict[int, Any], ...] = (self._hard_links, self._capabilities, self._contents)
        for values in shared:
            if found in values:
                values[row] = values[found]
        return row

    def add_directory(self, path: bytes, parent: GrowingDirectory, name: bytes, attributes: int) -> None:
        """A directory that the tar names, with the attributes of this number; what an earlier entry
        put below it stays."""
        directory = self.directories.get(path)
        if directory is None:
            self._new_directory(path, parent, name, EntryKind.DIRECTORY, attributes)
        else:
            self.rows.kinds[directory.row] = EntryKind.DIRECTORY
            self.rows.attributes[directory.row] = attributes

    def _new_directory(
        self, path: bytes, parent: GrowingDirectory, name: bytes, kind: int, attributes: int
    ) -> GrowingDirectory:
        self.rows.name_bytes += len(path)
        directory = GrowingDirectory(path, self.rows.add(kind, attributes, 0))
        parent.add(name, directory.row)
        parent.subdirectories.append(directory)
        self.directories[path] = directory
        return directory

    def _parent(self, path: bytes) -> GrowingDirectory:
        """The directory that an entry goes into when no entry named it yet.

        Missing ones are made. A symlink of this layer on the way is followed, as containerd does;
        one of a lower layer is followed when the layers are merged.

        Raises:
            CorruptLayer: a file is on the way, or symlinks lead in a circle; no unpacker gets past.
        """
        directory = self._resolve_directory(path, make=True)
        assert directory is not None
        return directory

    def _resolve_directory(self, path: bytes, *, make: bool = False) -> GrowingDirectory | None:
        current = self.directories[b""]
        parts = path.split(b"/")[::-1]
        links = 0
        while parts:
            part = parts.pop()
            if part in (b"", b"."):
                continue
            if part == b"..":
                current = self.directories[current.path.rpartition(b"/")[0]]
                continue
            below = current.path + b"/" + part if current.path else part
            directory = self.directories.get(below)
            if directory is None:
                row = current.find(part)
                if row is not None:
                    links += 1
                    target = self._target_of(row, below, links)
                    if target.startswith(b"/"):
                        current = self.directories[b""]
                    parts += target.split(b"/")[::-1]
                    continue
                if not make:
                    return None
                if part.startswith(WHITEOUT_PREFIX):
                    raise CorruptLayer(f"an entry below the whiteout {decode(below)!r}")
                implicit = self.rows.attributes_number(_IMPLICIT_ATTRIBUTES)
                directory = self._new_directory(
                    below, current, part, EntryKind.DIRECTORY | IMPLICIT, implicit
                )
            current = directory
        return current

    def _target_of(self, row: int, path: bytes, links: int) -> bytes:
        if self.rows.kinds[row] != EntryKind.SYMLINK:
            raise CorruptLayer(f"an entry below {decode(path)!r}, which is not a directory")
        if links > MAXIMUM_LINKS_IN_PARENTS:
            raise CorruptLayer(f"an entry below {decode(path)!r}, a symlink that leads in a circle")
        size = self.rows.sizes[row]
        start = size >> TARGET_LENGTH_BITS
        return bytes(self._targets[start : start + (size & ((1 << TARGET_LENGTH_BITS) - 1))])

    def _whiteout(self, directory: GrowingDirectory, name: bytes) -> None:
        """A ``.wh.`` file says something about lower layers; it is no entry itself."""
        if name == OPAQUE_MARKER:
            directory.opaque = True
        elif not name.startswith(METADATA_PREFIX):
            if directory.removed is None:
                directory.removed = set()
            self.rows.name_bytes += len(directory.path) + len(name)
            directory.removed.add(removed_name(name))
            self.rows.check_limits()

    def _forget(self, path: bytes) -> None:
        """Drop a directory and all below it, because something else takes its place."""
        pending = [self.directories[path]]
        while pending:
            directory = pending.pop()
            if self.directories.get(directory.path) is directory:
                del self.directories[directory.path]
            pending += directory.subdirectories

    def finish(self) -> tuple[Directories, Rows]:
        """The columns; the builder is spent afterwards."""
        directories = self._finish_directories()
        rows = Rows(
            kinds=bytes(self.rows.kinds),
            attributes=self.rows.attributes,
            sizes=self.rows.sizes,
            attribute_table=tuple(self.rows.table),
            targets=bytes(self._targets),
            serials=self._serials,
            hard_links=self._hard_links,
            capabilities=self._capabilities,
            contents=self._contents,
        )
        return directories, rows

    def _finish_directories(self) -> Directories:
        ordered = sorted((decode(path), directory) for path, directory in self.directories.items())
        self.directories = {}
        own_rows, first, rows, name_start = array("I"), array("I", (0,)), array("I"), array("Q", (0,))
        names = bytearray()
        whiteouts: list[ImagePath] = []
        for path, directory in ordered:
            own_rows.append(directory.row)
            names += _sorted_names(directory, rows)
            first.append(len(rows))
            name_start.append(len(names))
            prefix = f"{path}/" if path else ""
            whiteouts += (ImagePath(prefix + decode(name)) for name in directory.removed or ())
        return Directories(
            paths=tuple(path for path, _ in ordered),
            own_rows=own_rows,
            first=first,
            rows=rows,
            name_start=name_start,
            names=bytes(names),
            whiteouts=tuple(sorted(whiteouts)),
            opaque=frozenset(path for path, directory in ordered if directory.opaque),
        )


def _sorted_names(directory: GrowingDirectory, rows: array[int]) -> bytes:
    """The names in a directory, sorted and separated by slashes; the last row of each goes to ``rows``."""
    joined = bytes(memoryview(directory.names)[1:])
    if not joined:
        return b""
    if joined.isascii():  # sorted as bytes they are sorted as text
        newest = dict(zip(joined.split(b"/"), directory.rows, strict=True))
        ordered = sorted(newest)
        rows.extend(map(newest.__getitem__, ordered))
        return b"/".join(ordered)
    by_name = dict(zip(decode(joined).split("/"), directory.rows, strict=True))
    texts = sorted(by_name)
    rows.extend(map(by_name.__getitem__, texts))
    return "/".join(texts).encode("utf-8", "surrogateescape")


def _is_metadata(path: bytes) -> bool:
    return any(part.startswith(METADATA_PREFIX) for part in path.split(b"/"))
