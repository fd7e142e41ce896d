"""Layers that were read before: their ``LayerIndex``, found again by digest.

A layer's descriptor enters, the index that reading the layer would give leaves, or None. An index is kept
under its diff ID, and the blob's digest (with the media type that it was read as) points to it: a layer
is found by the blob's digest where the source knows it, else by the diff ID, as an engine gives it. Both
are digests that this program computed from the bytes, never what an image claims. Names hold the
inspector's version and the form of the values, so that facts of another version are never read.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Mapping
from functools import cached_property
from itertools import repeat
from operator import sub
from threading import Lock

from imagescan.cache import entry
from imagescan.cache.codec import Codecs
from imagescan.cache.columns import Damaged, Unstorable, pack, unpack
from imagescan.cache.directory import CacheDirectory, UnfinishedFile, Unusable
from imagescan.cache.pieces import PieceWriter
from imagescan.content import Content
from imagescan.dataclasses import NamedTuple, dataclass, replace
from imagescan.elf.symbols import SymbolTable
from imagescan.errors import InvalidReference
from imagescan.layers.columns import ColumnarLayerIndex, Directories, LayerSummary, Rows
from imagescan.layers.values import ColumnStore, ContentInspector, EntryKind, LayerIndex, Place
from imagescan.reference import Digest
from imagescan.sources.values import LayerDescriptor

LAYERS, BLOBS = "layers", "blobs"
MAXIMUM_POINTER = 512  # bytes of a file that points from a blob to its layer
_POINTER_FORM = entry.fingerprint("diff ID and compressed size")
_KIND_MASK = 0x0F

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Columns:
    """Everything of one layer but the pieces."""

    summary: LayerSummary
    directories: Directories
    rows: Rows


class LayerName(NamedTuple):
    """What a layer that was read is known by; ``size`` is that of its blob."""

    diff_id: Digest
    blob: Digest
    size: int


class LayerCache:
    """Finds and keeps layers. Safe to call from several threads.

    Args:
        directory: where.
        inspector: whose facts; its name and version are a part of every name.
        say: told, in one line each, what was dropped.
        warn: told once that nothing more can be kept, and why.
    """

    def __init__(self, directory: CacheDirectory, inspector: ContentInspector, say: Say, warn: Say) -> None:
        self._directory = directory
        self._inspector = inspector
        self._say, self._warn = say, warn
        self._lock = Lock()
        self._found: list[str] = []
        self._writable = True

    def find(self, layer: LayerDescriptor) -> LayerIndex | None:
        """The index of a layer that was read before, equal to the one that reading it would give."""
        if layer.digest is not None:
            pointed = self._pointed(layer)
            if pointed is None:
                return None
            diff_id, size = pointed
            if layer.diff_id not in (None, diff_id) or layer.size not in (None, size):
                return None  # not what was promised: reading it will say so
            return self._load(diff_id, layer.digest, size)
        if layer.diff_id is not None:
            return self._load(layer.diff_id, None, 0)
        return None

    def begin(self) -> UnfinishedFile | None:
        """A file for a layer that is about to be read; None where nothing can be kept."""
        if not self._writable:
            return None
        try:
            return self._directory.begin(LAYERS)
        except Unusable as error:
            self.stop(str(error))
            return None

    def keep(self, file: UnfinishedFile, known_as: LayerName, media_type: str) -> bool:
        """Keep a file that a layer was written to; says whether it could be.

        ``media_type`` is what its blob was read as, "" where only the tar has a digest.
        """
        name = self._name(known_as.diff_id)
        try:
            self._directory.finish(file, name)
            with self._lock:
                self._found.append(name)
            if media_type:
                pointer = f"{known_as.diff_id} {known_as.size}".encode()
                blob = _blob_name(known_as.blob, media_type)
                self._directory.write(BLOBS, blob, entry.build(_POINTER_FORM, [pointer]))
            return True
        except Unusable as error:
            self.stop(str(error))
        return False

    def give_up(self, file: UnfinishedFile) -> None:
        """Take away what was begun and not kept."""
        self._directory.give_up(file)

    def stop(self, reason: str) -> None:
        """Keep nothing more, and say why, once."""
        with self._lock:
            if self._writable:
                self._warn(reason)
            self._writable = False

    def drop_found(self, reason: str) -> None:
        """Forget every layer that was found or kept: facts of one of them turned out to be damaged."""
        with self._lock:
            for name in self._found:
                self._drop(LAYERS, name, reason)
            self._found = []

    @cached_property
    def form(self) -> LayerForm:
        """How layers are written."""
        return LayerForm.of(self._inspector)

    def _name(self, diff_id: Digest) -> str:
        return f"{diff_id.algorithm}-{diff_id.hex}.{self.form.name}"

    def _pointed(self, layer: LayerDescriptor) -> tuple[Digest, int] | None:
        assert layer.digest is not None
        name = _blob_name(layer.digest, layer.media_type)
        try:
            file = self._directory.open(BLOBS, name)
            if file is None:
                return None
            text = entry.StoredFile(file, _POINTER_FORM).take_columns()[:MAXIMUM_POINTER].decode()
            diff_id, _, size = text.partition(" ")
            return Digest.parse(diff_id), int(size)
        except (Unusable, Damaged) as error:
            self._drop(BLOBS, name, error.message)
        except (ValueError, InvalidReference):
            self._drop(BLOBS, name, "not a pointer")
        return None

    def _load(self, diff_id: Digest, blob: Digest | None, size: int) -> LayerIndex | None:
        name = self._name(diff_id)
        try:
            file = self._directory.open(LAYERS, name)
            if file is None:
                return None
            index = self._read(file, blob, size)
            if index.diff_id != diff_id:
                raise Damaged("of another layer")
        except (Unusable, Damaged) as error:
            self._drop(LAYERS, name, error.message)
            return None
        with self._lock:
            self._found.append(name)
        return index

    def _read(self, file: int, blob: Digest | None, size: int) -> ColumnarLayerIndex:
        index = self.form.read(file)
        if blob is None:  # an engine sends the tar itself
            blob, size = index.summary.diff_id, index.summary.uncompressed_size
        summary = replace(index.summary, blob_digest=blob, compressed_size=size)
        return ColumnarLayerIndex(summary, index.directories, index.rows)

    def _drop(self, kind: str, name: str, reason: str) -> None:
        self._directory.remove(kind, name)
        self._say(f"dropped {kind}/{name}: {reason}")


class LayerForm:
    """How layers are written: by the classes of this program and the version of what looks at files."""

    def __init__(self, inspector: str) -> None:
        codecs = Codecs({(Rows, "contents"): Mapping[int, Content]}, outside=(ColumnStore,))
        self._columns = codecs.of(_Columns)
        self._fingerprint = entry.fingerprint(codecs.schema(self._columns))
        self.name = f"{inspector}-{self._fingerprint.hex()[:12]}"

    @classmethod
    def of(cls, inspector: ContentInspector) -> LayerForm:
        """The form of what an inspector finds."""
        return cls(f"{inspector.NAME}-{inspector.VERSION}")

    def write(self, index: ColumnarLayerIndex, writer: PieceWriter) -> None:
        """Put a layer into the file whose pieces the writer has; pieces that are elsewhere are copied.

        Raises:
            Unstorable: its facts have no place in the form.
            NotWritten: the file takes no more.
        """
        columns, outside = pack([_Columns(index.summary, index.directories, index.rows)], self._columns)
        tables = [one for one in outside if isinstance(one, SymbolTable)]
        stores = {id(one.store): one.store for one in tables}
        if len(stores) > 1:
            raise Unstorable("its facts use more than one store")
        for store in stores.values():
            if store is not writer:
                for place in sorted({Place(one.offset, one.length) for one in tables}):
                    writer.add(place, store.read(place))
        writer.finish(self._fingerprint, b"".join(columns))

    def read(self, file: int, *, checked: bool = True) -> ColumnarLayerIndex:
        """The layer that a file has; takes the descriptor. ``checked``: see ``entry.StoredFile``.

        Raises:
            Damaged: it has none.
        """
        stored = entry.StoredFile(
            file, self._fingerprint, checked=checked
        )  # lives as long as the facts need it
        (columns,) = unpack(stored.take_columns(), self._columns, stored)
        if checked:
            check(columns.directories, columns.rows)
        return ColumnarLayerIndex(columns.summary, columns.directories, columns.rows)


def _blob_name(digest: Digest, media_type: str) -> str:
    """A media type is a part of the name: another one may make the same bytes unreadable."""
    key = hashlib.sha256(f"{digest} {media_type}".encode("utf-8", "surrogatepass")).hexdigest()
    return f"{digest.algorithm}-{key}"


def check(directories: Directories, rows: Rows) -> None:
    """Whether columns belong together as ``ColumnarLayerIndex`` expects.

    Raises:
        Damaged: a length or an index that cannot be.
    """
    count, names = len(directories.paths), directories.names
    first, starts = directories.first, directories.name_start
    height = len(rows.kinds)
    sound = (
        count > 0
        and directories.paths[0] == ""
        and len(directories.own_rows) == count
        and len(first) == len(starts) == count + 1
        and _rises(first, len(directories.rows))
        and _rises(starts, len(names))
        and len(rows.attributes) == len(rows.sizes) == height
        and _below(directories.rows, height)
        and _below(directories.own_rows, height)
        and _below(rows.attributes, len(rows.attribute_table))
        and not height
    ) or max(code & _KIND_MASK for code in set(rows.kinds)) <= max(EntryKind)
    if not sound:
        raise Damaged("columns that do not belong together")
    amounts = map(sub, first[1:], first)
    slashes = map(names.count, repeat(b"/"), starts, starts[1:])
    if any(amount and found != amount - 1 for amount, found in zip(amounts, slashes, strict=True)):
        raise Damaged("another number of names than of rows")


def _rises(column: array[int], end: int) -> bool:
    return column[0] == 0 and column[-1] == end and list(column) == sorted(column)


def _below(column: array[int], limit: int) -> bool:
    return not column or (max(column) < limit and (column.typecode in "BHILQ" or min(column) >= 0))
