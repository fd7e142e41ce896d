"""Members of one tar enter, in order; the columns of the layer's index leave.

Follows the OCI image specification (layer.md, "Applying Changesets", "Whiteouts") and, where it
is silent, containerd's unpacking: the last entry of a path wins; a non-directory takes the place
of a directory and of all that was below it; a name below a symlink goes where the link points.
"""

from __future__ import annotations

from array import array
from typing import Any

from imagescan.dataclasses import dataclass, field
from imagescan.errors import CorruptLayer, LimitExceeded
from imagescan.layers.columns import IMPLICIT, TARGET_LENGTH_BITS, Directories, Rows
from imagescan.layers.header import Attributes
from imagescan.layers.paths import (
    MAXIMUM_PATH_BYTES,
    METADATA_PREFIX,
    OPAQUE_MARKER,
    WHITEOUT_PREFIX,
    check_length,
    decode,
    normalise,
    removed_name,
)
from imagescan.layers.tar import Member
from imagescan.layers.values import EntryKind, ImagePath

MAXIMUM_ENTRIES = 8_000_000  # rows of one layer, parents that no entry names included
MAXIMUM_NAME_BYTES = 512 * 1024 * 1024  # names, directory paths and link targets of one layer together
MAXIMUM_LINKS_IN_PARENTS = 40  # symlinks followed to find one entry's parent, as the kernel's MAXSYMLINKS

# Looked up once: an attribute of an enumeration costs as much as a third of an entry's other work.
_FILE, _DIRECTORY = EntryKind.FILE, EntryKind.DIRECTORY
_IMPLICIT_ATTRIBUTES: Attributes = (0o755, 0, 0)  # how containerd makes missing parents


@dataclass(slots=True, eq=False)
class _Directory:
    """A directory while its layer is read: names (each after a slash) and their rows, as they came."""

    path: bytes
    row: int
    names: bytearray = field(default_factory=bytearray)
    rows: array[int] = field(default_factory=lambda: array("I"))
    subdirectories: list[_Directory] = field(default_factory=list)
    removed: set[bytes] | None = None
    opaque: bool = False
    _found: dict[bytes, int] | None = None
    _found_rows: int = 0
    _found_names: int = 0

    def add(self, name: bytes, row: int) -> None:
        self.names += b"/" + name
        self.rows.append(row)

    def find(self, name: bytes) -> int | None:
        """The newest row of a name; what was added since the last call is looked through first."""
        if self._found is None:
            self._found = {}
        if self._found_rows < len(self.rows):
            names = bytes(self.names[self._found_names + 1 :]).split(b"/")
            self._found.update(zip(names, self.rows[self._found_rows :], strict=True))
            self._found_rows, self._found_names = len(self.rows), len(self.names)
        return self._found.get(name)


class IndexBuilder:
    """Collects the entries of one layer."""

    def __init__(self) -> None:
        self._kinds = bytearray()
        self._attributes = array("I")
        self._sizes = array("Q")
        self._table: dict[Attributes, int] = {}
        self._targets = bytearray()
        self._serials: dict[int, int] = {}
        self._hard_links: dict[int, ImagePath] = {}
        self._capabilities: dict[int, bytes] = {}
        self._contents: dict[int, object] = {}
        self._name_bytes = 0
        root = _Directory(b"", self._row(EntryKind.DIRECTORY | IMPLICIT, _IMPLICIT_ATTRIBUTES, 0))
        self._directories: dict[bytes, _Directory] = {b"": root}

    def add(self, member: Member) -> tuple[bytes, int] | None:
        """Take one member; path and row when it is a regular file with content to look at.

        Raises:
            CorruptLayer: no unpacker could make this entry.
            LimitExceeded: too many entries or too long names.
        """
        name = member.name
        path = name[2:] if name[:2] == b"./" else name
        if path[-1:] == b"/":
            path = path[:-1]
        parent, slash, name = path.rpartition(b"/")
        directory = self._directories.get(parent)
        # Below a directory that is known by this very name a plain name needs no more cleaning.
        if directory is None or name[:1] in b"." or 0 in name or (slash and not parent):
            return self._add_unusual(member)
        if len(path) > MAXIMUM_PATH_BYTES:
            check_length(path)
        if member.kind is not _FILE or member.is_hard_link or path in self._directories:
            return self._put(member, directory, path, name)
        return path, self._add_file(member, directory, name)

    def _add_file(self, member: Member, directory: _Directory, name: bytes) -> int:
        """A row for a regular file."""
        self._name_bytes += len(name)
        row = self._row(_FILE, member.attributes, member.size)
        directory.names += b"/" + name
        directory.rows.append(row)
        if member.capability is not None:
            self._capabilities[row] = member.capability
        return row

    def _add_unusual(self, member: Member) -> tuple[bytes, int] | None:
        """An entry whose name has to be cleaned, or whose directory is not known by it."""
        path = normalise(member.name)
        parent, _, name = path.rpartition(b"/")
        directory = self._directories.get(parent)
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
        self, member: Member, directory: _Directory, path: bytes, name: bytes
    ) -> tuple[bytes, int] | None:
        kind = member.kind
        if kind is _DIRECTORY:
            self._add_directory(path, directory, name, member)
            return None
        if not name:
            raise CorruptLayer("the layer's root is not a directory")
        if path in self._directories:
            self._forget(path)
        if kind is _FILE and not member.is_hard_link:
            return path, self._add_file(member, directory, name)
        self._name_bytes += len(name)
        row = self._hard_link(path, member) if member.is_hard_link else self._special(member)
        directory.add(name, row)
        return None

    def keep_content(self, row: int, content: object) -> None:
        """Remember what the inspector made of a regular file."""
        self._contents[row] = content

    def _row(self, kind: int, attributes: Attributes, size: int) -> int:
        row = len(self._kinds)
        if row >= MAXIMUM_ENTRIES or self._name_bytes > MAXIMUM_NAME_BYTES:
            raise LimitExceeded(
                f"more than {MAXIMUM_ENTRIES} entries or {MAXIMUM_NAME_BYTES} bytes of names in one layer"
            )
        self._kinds.append(kind)
        number = self._table.get(attributes)
        if number is None:
            number = self._table[attributes] = len(self._table)
        self._attributes.append(number)
        self._sizes.append(size)
        return row

    def _special(self, member: Member) -> int:
        """A row for a symlink, device or FIFO."""
        size = 0
        if member.kind is EntryKind.SYMLINK:
            target = member.link
            if not target or b"\0" in target:
                raise CorruptLayer(f"the symlink {decode(member.name)!r} has no usable target")
            if len(target) > MAXIMUM_PATH_BYTES:
                raise LimitExceeded(
                    f"a symlink target of {len(target)} bytes, more than {MAXIMUM_PATH_BYTES}"
                )
            size = len(self._targets) << TARGET_LENGTH_BITS | len(target)
            self._targets += target
            self._name_bytes += len(target)
        return self._row(member.kind, member.attributes, size)

    def _hard_link(self, path: bytes, member: Member) -> int:
        """A row that shares its target's inode, or says where to look for it in lower layers."""
        target = normalise(member.link)
        if target == path:
            raise CorruptLayer(f"the hard link {decode(path)!r} points to itself")
        parent, _, name = target.rpartition(b"/")
        directory = self._directories.get(parent) or self._resolve_directory(parent)
        found = directory.find(name) if directory and name else None
        if found is None:
            row = self._row(_FILE, member.attributes, 0)
            self._hard_links[row] = decode(target)
            self._name_bytes += len(target)
            return row
        if self._kinds[found] & ~IMPLICIT == EntryKind.DIRECTORY:
            raise CorruptLayer(f"the hard link {decode(member.name)!r} points to a directory")
        attributes = self._attributes[found]
        row = self._row(self._kinds[found], member.attributes, self._sizes[found])
        self._attributes[row] = attributes
        self._serials[row] = self._serials.get(found, found)
        shared: tuple[dict[int, Any], ...] = (self._hard_links, self._capabilities, self._contents)
        for values in shared:
            if found in values:
                values[row] = values[found]
        return row

    def _add_directory(self, path: bytes, parent: _Directory, name: bytes, member: Member) -> None:
        """A directory that the tar names; what an earlier entry put below it stays."""
        directory = self._directories.get(path)
        if directory is None:
            directory = self._new_directory(path, parent, name, EntryKind.DIRECTORY, member.attributes)
        self._kinds[directory.row] = EntryKind.DIRECTORY
        self._attributes[directory.row] = self._table.setdefault(member.attributes, len(self._table))

    def _new_directory(
        self, path: bytes, parent: _Directory, name: bytes, kind: int, attributes: Attributes
    ) -> _Directory:
        self._name_bytes += len(path)
        directory = _Directory(path, self._row(kind, attributes, 0))
        parent.add(name, directory.row)
        parent.subdirectories.append(directory)
        self._directories[path] = directory
        return directory

    def _parent(self, path: bytes) -> _Directory:
        """The directory that an entry goes into when no entry named it yet.

        Missing ones are made. A symlink of this layer on the way is followed, as containerd does;
        one of a lower layer is followed when the layers are merged.

        Raises:
            CorruptLayer: a file is on the way, or symlinks lead in a circle; no unpacker gets past.
        """
        directory = self._resolve_directory(path, make=True)
        assert directory is not None
        return directory

    def _resolve_directory(self, path: bytes, *, make: bool = False) -> _Directory | None:
        current = self._directories[b""]
        parts = path.split(b"/")[::-1]
        links = 0
        while parts:
            part = parts.pop()
            if part in (b"", b"."):
                continue
            if part == b"..":
                current = self._directories[current.path.rpartition(b"/")[0]]
                continue
            below = current.path + b"/" + part if current.path else part
            directory = self._directories.get(below)
            if directory is None:
                row = current.find(part)
                if row is not None:
                    links += 1
                    target = self._target_of(row, below, links)
                    if target.startswith(b"/"):
                        current = self._directories[b""]
                    parts += target.split(b"/")[::-1]
                    continue
                if not make:
                    return None
                if part.startswith(WHITEOUT_PREFIX):
                    raise CorruptLayer(f"an entry below the whiteout {decode(below)!r}")
                directory = self._new_directory(
                    below, current, part, EntryKind.DIRECTORY | IMPLICIT, _IMPLICIT_ATTRIBUTES
                )
            current = directory
        return current

    def _target_of(self, row: int, path: bytes, links: int) -> bytes:
        if self._kinds[row] != EntryKind.SYMLINK:
            raise CorruptLayer(f"an entry below {decode(path)!r}, which is not a directory")
        if links > MAXIMUM_LINKS_IN_PARENTS:
            raise CorruptLayer(f"an entry below {decode(path)!r}, a symlink that leads in a circle")
        size = self._sizes[row]
        start = size >> TARGET_LENGTH_BITS
        return bytes(self._targets[start : start + (size & ((1 << TARGET_LENGTH_BITS) - 1))])

    def _whiteout(self, directory: _Directory, name: bytes) -> None:
        """A ``.wh.`` file says something about lower layers; it is no entry itself."""
        if name == OPAQUE_MARKER:
            directory.opaque = True
        elif not name.startswith(METADATA_PREFIX):
            if directory.removed is None:
                directory.removed = set()
            self._name_bytes += len(directory.path) + len(name)
            directory.removed.add(removed_name(name))
            if self._name_bytes > MAXIMUM_NAME_BYTES:
                raise LimitExceeded(f"more than {MAXIMUM_NAME_BYTES} bytes of names in one layer")

    def _forget(self, path: bytes) -> None:
        """Drop a directory and all below it, because something else takes its place."""
        pending = [self._directories[path]]
        while pending:
            directory = pending.pop()
            if self._directories.get(directory.path) is directory:
                del self._directories[directory.path]
            pending += directory.subdirectories

    def finish(self) -> tuple[Directories, Rows]:
        """The columns; the builder is spent afterwards."""
        directories = self._finish_directories()
        rows = Rows(
            kinds=bytes(self._kinds),
            attributes=self._attributes,
            sizes=self._sizes,
            attribute_table=tuple(self._table),
            targets=bytes(self._targets),
            serials=self._serials,
            hard_links=self._hard_links,
            capabilities=self._capabilities,
            contents=self._contents,
        )
        return directories, rows

    def _finish_directories(self) -> Directories:
        ordered = sorted((decode(path), directory) for path, directory in self._directories.items())
        self._directories = {}
        own_rows, first, rows, name_start = array("I"), array("I", (0,)), array("I"), array("Q", (0,))
        names = bytearray()
        whiteouts: list[ImagePath] = []
        for path, directory in ordered:
            newest = _newest(directory)
            own_rows.append(directory.row)
            rows.extend(newest.values())
            first.append(len(rows))
            names += "/".join(newest).encode("utf-8", "surrogateescape")
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


def _newest(directory: _Directory) -> dict[str, int]:
    """The last row of each name in a directory, sorted by name."""
    if not directory.rows:
        return {}
    names = decode(bytes(directory.names[1:])).split("/")
    newest = dict(zip(names, directory.rows, strict=True))
    return {name: newest[name] for name in sorted(newest)}


def _is_metadata(path: bytes) -> bool:
    return any(part.startswith(METADATA_PREFIX) for part in path.split(b"/"))
