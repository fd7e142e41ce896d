"""A layer's blob enters as a stream; its ``LayerIndex`` leaves. One pass, nothing written to disk.

Follows the OCI image specification (layer.md, descriptor.md, config.md "Layer DiffID"): the blob's
digest and size and the tar's digest are those of the very bytes that were walked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import BinaryIO

from imagescan.errors import ImageScanError, LayerError, LimitExceeded, MalformedBinary
from imagescan.layers.body import FileTooLarge
from imagescan.layers.builder import IndexBuilder
from imagescan.layers.column_store import TemporaryColumnStore
from imagescan.layers.columns import ColumnarLayerIndex, Directories, LayerSummary
from imagescan.layers.compression import Compression, inflate
from imagescan.layers.members import WantedFile
from imagescan.layers.paths import decode
from imagescan.layers.pipeline import Pipeline
from imagescan.layers.plain import PlainMembers
from imagescan.layers.tar import TarReader
from imagescan.layers.values import (
    HEAD_BYTES,
    Body,
    ColumnStore,
    ContentInspector,
    LayerIndex,
    UnreadFile,
)
from imagescan.layers.verified import VerifiedStream, check_digest
from imagescan.reference import Digest
from imagescan.sources.values import LayerDescriptor

MAXIMUM_LAYER_BYTES = 64 * 1024**3  # uncompressed tar; larger is taken for a decompression bomb
MAXIMUM_UNREAD_FILES = 65_536  # files of one layer whose facts could not be had
_REUSED_BYTES = 8 << 20  # of freed memory that the allocator keeps for the next chunks


def index_layer(
    stream: BinaryIO,
    descriptor: LayerDescriptor | None,
    inspector: ContentInspector,
    *,
    store: ColumnStore | None = None,
    on_bytes: Callable[[int], None] | None = None,
    pipelined: bool = False,
) -> LayerIndex:
    """Read one layer to its end.

    ``store`` takes what the facts of its files keep off the heap; without one it is a
    ``TemporaryColumnStore``.

    What ``descriptor`` promises (digest, size, diff ID) is checked. ``on_bytes`` is called with
    the number of bytes of each read of ``stream``. With ``pipelined`` reading and inflating each run
    in a thread of their own.

    Raises:
        DigestMismatch, SizeMismatch: the blob or the tar is not what was promised. A damaged blob
            gives this rather than the damage that its bytes would show.
        CorruptLayer, UnsupportedCompression, LimitExceeded: the layer cannot be read to its end.
    """
    _reuse_freed_memory()
    where = name_of(descriptor)
    verified = VerifiedStream(
        stream,
        digest=descriptor.digest if descriptor else None,
        size=descriptor.size if descriptor else None,
        where=where,
        on_bytes=on_bytes,
    )
    try:
        taken = store or TemporaryColumnStore()
        return _index(verified, descriptor, inspector, taken, where, pipelined)
    except LayerError as error:
        error.where = error.where or where
        if descriptor is not None and descriptor.digest is not None:
            for _ in verified:  # bytes that are not the promised ones explain any damage
                pass
        raise


def _index(
    verified: VerifiedStream,
    descriptor: LayerDescriptor | None,
    inspector: ContentInspector,
    store: ColumnStore,
    where: str,
    pipelined: bool,
) -> LayerIndex:
    promised = descriptor.diff_id if descriptor else None
    media_type = descriptor.media_type if descriptor else ""
    algorithm = promised.algorithm if promised else "sha256"
    with ExitStack() as threads:
        ahead = (lambda chunks: threads.enter_context(Pipeline(chunks))) if pipelined else iter
        compression, inflated = inflate(ahead(iter(verified)), media_type, where)
        already_hashed = compression is Compression.NONE and algorithm == verified.algorithm
        tar = _HashedTar(ahead(inflated), None if already_hashed else algorithm)
        walk = _Walk(iter(tar), inspector, store)
        walk.to_the_end()
    diff_id = verified.digest if already_hashed else tar.digest
    if promised is not None:
        check_digest(promised, diff_id, where, "uncompressed layer")
    directories, rows = walk.builder.finish()
    summary = LayerSummary(
        diff_id=diff_id,
        blob_digest=verified.digest,
        compressed_size=verified.size,
        uncompressed_size=tar.size,
        unread=_living(walk.unread, directories),
    )
    return ColumnarLayerIndex(summary, directories, rows)


class _HashedTar:
    """The inflated chunks, hashed and counted as they pass."""

    def __init__(self, chunks: Iterator[bytes], algorithm: str | None) -> None:
        self._chunks = chunks
        self._hash = hashlib.new(algorithm, usedforsecurity=False) if algorithm else None
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        update = self._hash.update if self._hash else None
        for chunk in self._chunks:
            self.size += len(chunk)
            if self.size > MAXIMUM_LAYER_BYTES:
                raise LimitExceeded(
                    f"the layer inflates to more than {MAXIMUM_LAYER_BYTES} bytes",
                    advice="check where the image comes from",
                )
            if update is not None:
                update(chunk)
            yield chunk

    @property
    def digest(self) -> Digest:
        assert self._hash is not None
        return Digest(self._hash.name, self._hash.hexdigest())


class _Walk:
    """Goes through one tar: what it has goes to ``builder``, files that cannot be read to ``unread``."""

    __slots__ = ("_inspect", "_parts", "_reader", "_store", "_wants", "builder", "unread")

    def __init__(self, tar: Iterator[bytes], inspector: ContentInspector, store: ColumnStore) -> None:
        self._wants, self._parts, self._inspect = inspector.wants, inspector.parts, inspector.inspect
        self._store = store
        self.builder = IndexBuilder()
        self.unread: dict[int, UnreadFile] = {}  # by row
        self._reader = TarReader(
            tar, PlainMembers(self.builder, inspector, self._keep_facts), self._look_into
        )

    def to_the_end(self) -> None:
        """Read every member."""
        reader = self._reader
        for member in reader.members():
            file = self.builder.add(member)
            if file is None:
                continue
            wanted = WantedFile(decode(file[0]), file[1], member.size)
            if member.is_sparse:
                self._look_into(wanted, is_sparse=True)
            elif self._wants(wanted.path, wanted.size, reader.head()):
                self._look_into(wanted)

    def _look_into(self, file: WantedFile, *, is_sparse: bool = False) -> None:
        """Look into the file that the reader reached last; whether the inspector wants to look into one
        with holes is not known before it was read."""
        path = file.path
        try:
            body = self._reader.body(partial(self._parts, path))
        except FileTooLarge as error:
            self._leave_unread(file, error)
            return
        if not is_sparse or self._wants(path, file.size, body.read(0, HEAD_BYTES)):
            self._keep_facts(file, body)

    def _keep_facts(self, file: WantedFile, body: Body) -> None:
        """Keep what the inspector makes of a file."""
        try:
            content = self._inspect(file.path, body, self._store)
        except (MalformedBinary, LimitExceeded) as error:
            self._leave_unread(file, error)
            return
        if content is not None:
            self.builder.keep_content(file.row, content)

    def _leave_unread(self, file: WantedFile, error: ImageScanError) -> None:
        if len(self.unread) >= MAXIMUM_UNREAD_FILES:
            raise LimitExceeded(f"more than {MAXIMUM_UNREAD_FILES} files that cannot be read") from error
        self.unread[file.row] = UnreadFile(file.path, error.message)


def _reuse_freed_memory() -> None:
    """Tell the C library's allocator that blocks as large as chunks come and go.

    glibc gives the end of its heap back to the kernel, and asks for it again page by page, until it has seen
    a larger block freed (mallopt(3), M_MMAP_THRESHOLD, "dynamic"): up to 250,000 page faults a GB.
    """
    bytes(_REUSED_BYTES)


def _living(unread: dict[int, UnreadFile], directories: Directories) -> tuple[UnreadFile, ...]:
    """Unread files that no later entry of the same layer replaced."""
    rows = frozenset(directories.rows) if unread else frozenset()
    return tuple(file for row, file in unread.items() if row in rows)


def name_of(descriptor: LayerDescriptor | None) -> str:
    """A layer as errors name it."""
    if descriptor is None:
        return "layer"
    digest = descriptor.digest or descriptor.diff_id
    return f"layer {descriptor.index} ({digest})" if digest else f"layer {descriptor.index}"
