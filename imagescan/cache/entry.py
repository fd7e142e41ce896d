"""One file of the cache: a checked head, eager columns, and pieces that are read when asked for.

Bytes of a file enter, checked bytes leave. The head is fixed: the word ``imagescan``, the format's
version, a fingerprint of the form of the values, the lengths of the two parts, and a SHA-256 of the
first. The second part is read piece by piece; a table in the first part has a CRC-32 of each. A file that
differs in any of it is damaged or another version's: it is removed, and what it held is made anew.
"""

from __future__ import annotations

import hashlib
import os
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from zlib import crc32

from imagescan.cache.codec import Damaged
from imagescan.layers.values import Place

FORMAT = 1
MAXIMUM_EAGER_BYTES = 1 << 30  # columns of one layer; 350,000 entries and 11,000 ELF files have 20 MB
_HEAD = struct.Struct("<9sBH16sQQ32s")
_MAGIC = b"imagescan"
_ORDER = 1 if sys.byteorder == "little" else 2


def fingerprint(schema: str) -> bytes:
    """What tells one form of values from another: 16 bytes."""
    return hashlib.sha256(f"{FORMAT} {sys.byteorder} {schema}".encode()).digest()[:16]


def build(
    form: bytes, columns: bytes, pieces: Iterable[bytes] = (), pieces_length: int = 0
) -> Iterator[bytes]:
    """The bytes of a file, part by part."""
    digest = hashlib.sha256(columns).digest()
    yield _HEAD.pack(_MAGIC, _ORDER, FORMAT, form, len(columns), pieces_length, digest)
    yield columns
    yield from pieces


def read(file: int, form: bytes) -> tuple[bytes, int, int]:
    """The eager columns of a file, and where its pieces begin and end.

    Raises:
        Damaged: it is no such file, of another form, cut, or changed.
    """
    try:
        size = os.fstat(file).st_size
        head = os.pread(file, _HEAD.size, 0)
        if len(head) != _HEAD.size:
            raise Damaged("shorter than its head")
        magic, order, version, written, length, pieces, digest = _HEAD.unpack(head)
        if (magic, order, version, written) != (_MAGIC, _ORDER, FORMAT, form):
            raise Damaged("another format")
        if length > MAXIMUM_EAGER_BYTES or _HEAD.size + length + pieces != size:
            raise Damaged("another length than its head says")
        columns = os.pread(file, length, _HEAD.size)
    except OSError as error:
        raise Damaged(error.strerror or str(error)) from error
    if len(columns) != length or hashlib.sha256(columns).digest() != digest:
        raise Damaged("wrong checksum")
    return columns, _HEAD.size + length, size


class StoredPieces:
    """The pieces of one file of the cache, as the ``ColumnStore`` of the facts that were read from it.

    Owns the file's descriptor.
    """

    def __init__(self, file: int) -> None:
        self._file = file
        self._pieces: dict[int, tuple[int, int, int]] = {}

    def place(
        self, start: int, end: int, offsets: Sequence[int], lengths: Sequence[int], checksums: Sequence[int]
    ) -> None:
        """Say where the pieces are: one after the other between ``start`` and ``end`` of the file.

        Raises:
            Damaged: they are not as long as that.
        """
        ends = list(accumulate(lengths, initial=start))
        if ends[-1] != end or min(lengths, default=0) < 0:
            raise Damaged("pieces of other lengths")
        self._pieces = dict(zip(offsets, zip(ends, lengths, checksums, strict=False), strict=True))

    def append(self, data: bytes) -> Place:
        """Not possible: what is kept does not change."""
        raise NotImplementedError("facts from the cache are complete")

    def read(self, place: Place) -> bytes:
        """The bytes at a place.

        Raises:
            Damaged: they are not what was written.
        """
        start, length, checksum = self._pieces.get(place.offset, (0, -1, 0))
        if length != place.length:
            raise Damaged("no such symbols")
        try:
            data = os.pread(self._file, length, start)
        except OSError as error:
            raise Damaged(error.strerror or str(error)) from error
        if len(data) != length or crc32(data) != checksum:
            raise Damaged("wrong checksum of symbols")
        return data

    def __del__(self) -> None:
        os.close(self._file)
