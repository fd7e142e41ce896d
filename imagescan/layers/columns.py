"""A layer's index as columns: a few bytes for each entry, and no object until one is asked for.

Columns enter (from the builder, or from a cache); ``LayerEntry`` values leave. An image of
350,000 entries takes some 15 MB here; as objects it would take ten times as much.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from itertools import compress, count

from imagescan.dataclasses import dataclass
from imagescan.layers.header import Attributes
from imagescan.layers.paths import decode
from imagescan.layers.values import EntryKind, FileWithContent, ImagePath, LayerEntry, UnreadFile
from imagescan.reference import Digest

IMPLICIT = 0x80  # set in the kind column: a directory that no tar entry names
_KIND_MASK = 0x0F
_KINDS = {int(kind): kind for kind in EntryKind}  # a look-up takes a fifth of making one of a number
_FEW_NAMES = 8  # of a directory that is not worth being kept unpacked
_MAXIMUM_OPEN_NAMES = 16_384  # names of directories that are kept unpacked for look-ups

# A symlink's size column says where its target stands in ``targets``: offset << 16 | length.
TARGET_LENGTH_BITS = 16


@dataclass(frozen=True, slots=True)
class Rows:
    """One value for each row; a row is an entry that the tar has or implies.

    ``kinds`` holds ``EntryKind`` codes and ``IMPLICIT``; ``attributes`` positions in
    ``attribute_table``; ``sizes`` bytes (or where a symlink's target stands). The mappings have
    only the rows that differ from the rule: ``serials`` (else the row is its own serial),
    ``hard_links`` (target below this layer), ``capabilities`` and ``contents``.
    """

    kinds: bytes
    attributes: array[int]
    sizes: array[int]
    attribute_table: tuple[Attributes, ...]
    targets: bytes
    serials: Mapping[int, int]
    hard_links: Mapping[int, ImagePath]
    capabilities: Mapping[int, bytes]
    contents: Mapping[int, object]


@dataclass(frozen=True, slots=True)
class Directories:
    """Which rows are where: a table of directories sorted by path, the root first.

    Directory ``n`` has the rows ``rows[first[n]:first[n + 1]]``, named by the part
    ``names[name_start[n]:name_start[n + 1]]``, sorted and separated by slashes. ``own_rows`` are
    the directories' own rows.
    """

    paths: tuple[ImagePath, ...]
    own_rows: array[int]
    first: array[int]
    rows: array[int]
    name_start: array[int]
    names: bytes
    whiteouts: tuple[ImagePath, ...]
    opaque: frozenset[ImagePath]


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """What reading a layer to its end told about it as a whole."""

    diff_id: Digest
    blob_digest: Digest | None
    compressed_size: int
    uncompressed_size: int
    unread: tuple[UnreadFile, ...]


class ColumnarLayerIndex:
    """A ``LayerIndex`` over columns."""

    def __init__(self, summary: LayerSummary, directories: Directories, rows: Rows) -> None:
        self.summary = summary
        self.directories = directories
        self.rows = rows
        self._numbers = {path: number for number, path in enumerate(directories.paths)}
        self._removed = frozenset(directories.whiteouts)
        self._open: dict[int, dict[str, int]] = {}
        self._open_names = 0

    @property
    def diff_id(self) -> Digest:
        """Digest of the uncompressed tar."""
        return self.summary.diff_id

    @property
    def blob_digest(self) -> Digest | None:
        """Digest of the blob as stored."""
        return self.summary.blob_digest

    @property
    def compressed_size(self) -> int:
        """Bytes of the blob as stored."""
        return self.summary.compressed_size

    @property
    def uncompressed_size(self) -> int:
        """Bytes of the tar."""
        return self.summary.uncompressed_size

    @property
    def unread(self) -> tuple[UnreadFile, ...]:
        """Files whose content could not be understood."""
        return self.summary.unread

    def __len__(self) -> int:
        return len(self.directories.rows) + 1

    def entry(self, path: ImagePath) -> LayerEntry | None:
        """The entry at exactly this path; the root is ``""`` and always there."""
        row = self._row(path)
        return None if row is None else self._entry(path, row)

    def entries(self) -> Iterator[LayerEntry]:
        """Every entry, the root first and parents before children."""
        yield self._entry(ImagePath(""), self.directories.own_rows[0])
        for number, directory in enumerate(self.directories.paths):
            prefix = f"{directory}/" if directory else ""
            start, end = self.directories.first[number : number + 2]
            for name, row in zip(self._names(number), self.directories.rows[start:end], strict=True):
                yield self._entry(ImagePath(prefix + name), row)

    def contents(self) -> Iterator[tuple[ImagePath, object]]:
        """Path and facts of each file that the inspector kept, in no particular order."""
        wanted = self.rows.contents
        for directory, rows in self._rows_with_contents():
            prefix = f"{directory}/" if directory else ""
            for name, row in rows:
                yield ImagePath(prefix + name), wanted[row]

    def contents_by_directory(self) -> Iterator[tuple[ImagePath, list[FileWithContent]]]:
        """The files that the inspector kept something of, each directory once."""
        kinds, sizes, numbers = self.rows.kinds, self.rows.sizes, self.rows.attributes
        table, contents = self.rows.attribute_table, self.rows.contents
        serials, capabilities = self.rows.serials, self.rows.capabilities
        for directory, rows in self._rows_with_contents():
            yield (
                directory,
                [
                    FileWithContent(
                        name,
                        _KINDS[kinds[row] & _KIND_MASK],
                        table[numbers[row]],
                        sizes[row],
                        serials.get(row, row),
                        capabilities.get(row),
                        contents[row],
                    )
                    for name, row in rows
                ],
            )

    def _rows_with_contents(self) -> Iterator[tuple[ImagePath, list[tuple[str, int]]]]:
        """Names and rows of the files with facts, by directory."""
        first, rows = self.directories.first, self.directories.rows
        positions = compress(count(), map(self.rows.contents.__contains__, rows))
        number, end = -1, 0
        names: tuple[str, ...] = ()
        found: list[tuple[str, int]] = []
        for position in positions:
            if position >= end:
                if found:
                    yield self.directories.paths[number], found
                number = bisect_right(first, position) - 1
                names, found, end = self._names(number), [], first[number + 1]
            found.append((names[position - first[number]], rows[position]))
        if found:
            yield self.directories.paths[number], found

    def children(self, directory: ImagePath) -> tuple[str, ...]:
        """Names directly under a directory, sorted, whiteouts not included."""
        number = self._numbers.get(directory)
        return () if number is None else self._names(number)

    def paths_named(self, name: str) -> tuple[ImagePath, ...]:
        """Every path of this layer whose last component is ``name``, in the directories' order."""
        wanted = name.encode("utf-8", "surrogateescape")
        names, starts = self.directories.names, self.directories.name_start
        found = []
        at = names.find(wanted) if wanted and b"/" not in wanted else -1
        while at >= 0:
            number = bisect_right(starts, at) - 1
            end = starts[number + 1]
            following = names.find(b"/", at, end)
            stop = following if following >= 0 else end
            begins = at == starts[number] or names[at - 1 : at] == b"/"
            if begins and stop - at == len(wanted):
                directory = self.directories.paths[number]
                found.append(ImagePath(f"{directory}/{name}" if directory else name))
            at = names.find(wanted, stop)
        return tuple(found)

    def paths_of_libraries(self, names: Iterable[str]) -> Iterator[tuple[str, ImagePath]]:
        """``paths_named`` for many names at once, all of which have ".so" in them: each with its name."""
        wanted = {name.encode("utf-8", "surrogateescape"): name for name in names}
        blocks, starts = self.directories.names, self.directories.name_start
        at = blocks.find(b".so")
        while at >= 0:
            number = bisect_right(starts, at) - 1
            end = starts[number + 1]
            for name in wanted.keys() & blocks[starts[number] : end].split(b"/"):
                directory = self.directories.paths[number]
                yield wanted[name], ImagePath(f"{directory}/{wanted[name]}" if directory else wanted[name])
            at = blocks.find(b".so", end)

    def is_whiteout(self, path: ImagePath) -> bool:
        """Whether this layer removes exactly this path of lower layers."""
        return path in self._removed

    def is_opaque(self, directory: ImagePath) -> bool:
        """Whether this layer hides all lower entries under this directory."""
        return directory in self.directories.opaque

    def whiteouts(self) -> tuple[ImagePath, ...]:
        """Every path that this layer removes, sorted."""
        return self.directories.whiteouts

    def implicit_directories(self) -> tuple[ImagePath, ...]:
        """Directories that no tar entry names, the root not included, parents before children."""
        kinds = self.rows.kinds
        return tuple(
            path
            for path, row in zip(self.directories.paths, self.directories.own_rows, strict=True)
            if path and kinds[row] & IMPLICIT
        )

    def hard_links(self) -> tuple[tuple[ImagePath, ImagePath], ...]:
        """Path and target of each hard link whose target is not in this layer."""
        wanted = self.rows.hard_links
        if not wanted:
            return ()
        return tuple((entry.path, entry.hard_link) for entry in self.entries() if entry.hard_link is not None)

    def _row(self, path: ImagePath) -> int | None:
        if not path:
            return self.directories.own_rows[0]
        directory, slash, name = path.rpartition("/")
        number = self._numbers.get(ImagePath(directory))
        if number is None or (slash and not directory):
            return None
        opened = self._open.get(number)
        if opened is None:
            first, end = self.directories.first[number : number + 2]
            if end - first <= _FEW_NAMES:
                names = self._names(number)
                return self.directories.rows[first + names.index(name)] if name in names else None
            opened = self._unpack(number)
        return opened.get(name)

    def _unpack(self, number: int) -> dict[str, int]:
        """Make a directory's names ready for look-ups, forgetting others when there are many."""
        start, end = self.directories.first[number : number + 2]
        opened = dict(zip(self._names(number), self.directories.rows[start:end], strict=True))
        if self._open_names > _MAXIMUM_OPEN_NAMES:
            self._open = {}
            self._open_names = 0
        self._open[number] = opened
        self._open_names += len(opened)
        return opened

    def _names(self, number: int) -> tuple[str, ...]:
        start, end = self.directories.name_start[number : number + 2]
        if self.directories.first[number] == self.directories.first[number + 1]:
            return ()
        return tuple(decode(self.directories.names[start:end]).split("/"))

    def _entry(self, path: ImagePath, row: int) -> LayerEntry:
        rows = self.rows
        code = rows.kinds[row]
        kind = _KINDS[code & _KIND_MASK]
        mode, uid, gid = rows.attribute_table[rows.attributes[row]]
        size = rows.sizes[row]
        target = ""
        if kind is EntryKind.SYMLINK:
            start, size = size >> TARGET_LENGTH_BITS, size & ((1 << TARGET_LENGTH_BITS) - 1)
            target = decode(rows.targets[start : start + size])
        return LayerEntry(
            path=path,
            kind=kind,
            mode=mode,
            uid=uid,
            gid=gid,
            size=size,
            serial=rows.serials.get(row, row),
            target=target,
            hard_link=rows.hard_links.get(row),
            capability=rows.capabilities.get(row),
            implicit=bool(code & IMPLICIT),
            content=rows.contents.get(row),
        )
