"""One file of the cache: a checked head, pieces that are read when asked for, and eager columns.

Bytes of a file enter, checked bytes leave. The head is fixed: the word ``imagescan``, the byte order, the
format's version, a fingerprint of the form of the values, the length of the columns and their SHA-256. The
pieces follow, one after the other as they were found, then the columns, a table with the length and CRC-32
of each piece, and at the end the table's length and SHA-256. A file that differs in any of it is damaged or
another version's: it is removed, and what it held is made anew.
"""

from __future__ import annotations

import hashlib
import os
import struct
import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING
from zlib import crc32

from imagescan.cache.columns import Damaged

if TYPE_CHECKING:
    from imagescan.layers.values import Place

FORMAT = 2
MAXIMUM_EAGER_BYTES = 1 << 30  # columns of one layer; 350,000 entries and 11,000 ELF files have 20 MB
PIECE = struct.Struct("<QQI")  # offset in the store that the facts were made with, length, CRC-32
_HEAD = struct.Struct("<9sBH16sQ32s")
HEAD_BYTES = _HEAD.size
_TAIL = struct.Struct("<Q32s")
_MAGIC = b"imagescan"
_ADVICE = "imagescan cache clear removes all of it"
_ORDER = 1 if sys.byteorder == "little" else 2


def fingerprint(schema: str) -> bytes:
    """What tells one form of values from another: 16 bytes."""
    return hashlib.sha256(f"{FORMAT} {sys.byteorder} {schema}".encode()).digest()[:16]


def build(form: bytes, columns: Sequence[bytes]) -> Iterator[bytes]:
    """The bytes of a file without pieces, part by part."""
    yield head(form, columns)
    yield from columns
    yield tail(b"")


def head(form: bytes, columns: Sequence[bytes]) -> bytes:
    """The first ``HEAD_BYTES`` bytes of a file whose columns come in parts."""
    digest = hashlib.sha256()
    for part in columns:
        digest.update(part)
    return _HEAD.pack(_MAGIC, _ORDER, FORMAT, form, sum(map(len, columns)), digest.digest())


def tail(table: bytes | bytearray) -> bytes:
    """What follows the table of the pieces."""
    return _TAIL.pack(len(table), _digest(table))


class StoredFile:
    """A file of the cache that is open for reading, and its pieces as the ``ColumnStore`` of the facts
    that were read from it. Owns the descriptor.

    Checksums of a file that this process has just written itself, or a copy of it, need not be ``checked``.

    Raises:
        Damaged: it is no such file, of another form, cut, or changed.
    """

    def __init__(self, file: int, form: bytes, *, checked: bool = True) -> None:
        self._file = file
        self._checked = checked
        size = os.fstat(file).st_size
        head = self._read(0, _HEAD.size)
        magic, order, version, written, length, digest = _HEAD.unpack(head)
        if (magic, order, version, written) != (_MAGIC, _ORDER, FORMAT, form):
            raise Damaged("another format")
        table_length, table_digest = _TAIL.unpack(self._read(size - _TAIL.size, _TAIL.size))
        start = _HEAD.size
        table_start = size - _TAIL.size - table_length
        end = table_start - length  # of the pieces
        if length > MAXIMUM_EAGER_BYTES or table_length > MAXIMUM_EAGER_BYTES or start > end:
            raise Damaged("another length than it says")
        self._columns = self._read(end, length)
        table = self._read(table_start, table_length)
        if table_length % PIECE.size:
            raise Damaged("a table of another length")
        if checked and (_digest(self._columns) != digest or _digest(table) != table_digest):
            raise Damaged("wrong checksum")
        self._pieces = _Pieces(table, start, end)

    def take_columns(self) -> bytes:
        """The columns, once: the values that are made of them take their place in memory."""
        columns, self._columns = self._columns, b""
        return columns

    def append(self, data: bytes) -> Place:
        """Not possible: what is kept does not change."""
        raise NotImplementedError("facts from the cache are complete")

    def read(self, place: Place) -> bytes:
        """The bytes of a piece, or of a part of one; if anything is checked, then the whole piece for either.

        Raises:
            Damaged: they are not what was written.
        """
        offset, start, length, checksum = self._pieces.at(place.offset)
        begin = place.offset - offset
        if begin < 0 or place.length < 0 or begin + place.length > length:
            raise Damaged("no such symbols", advice=_ADVICE)
        if not self._checked:
            return self._read(start + begin, place.length)
        data = self._read(start, length)
        if crc32(data) != checksum:
            raise Damaged("wrong checksum of symbols", advice=_ADVICE)
        return data[begin : begin + place.length]

    def _read(self, offset: int, length: int) -> bytes:
        try:
            data = os.pread(self._file, length, offset) if offset >= 0 else b""
        except OSError as error:
            raise Damaged(error.strerror or str(error), advice=_ADVICE) from error
        if len(data) != length:
            raise Damaged("cut short", advice=_ADVICE)
        return data

    def __del__(self) -> None:
        os.close(self._file)


class _Pieces:
    """Where the pieces of a file are, by their offsets in the store that the facts were made with: a layer
    has thousands, so they are columns.

    Raises:
        Damaged: they do not fill the file from ``start`` to ``end``.
    """

    def __init__(self, table: bytes, start: int, end: int) -> None:
        rows = [*PIECE.iter_unpack(table)]
        starts = [*accumulate((length for _, length, _ in rows), initial=start)]
        if starts.pop() != end:
            raise Damaged("pieces of other lengths")
        order = sorted(range(len(rows)), key=lambda number: rows[number][0])
        self._offsets = array("Q", [rows[number][0] for number in order])
        self._starts = array("Q", [starts[number] for number in order])
        self._lengths = array("Q", [rows[number][1] for number in order])
        self._checksums = array("I", [rows[number][2] for number in order])

    def at(self, offset: int) -> tuple[int, int, int, int]:
        """The last piece that begins at an offset or before: its own offset, where it is in the file, its
        length and CRC-32. A length of -1 where there is none."""
        place = bisect_right(self._offsets, offset) - 1
        if place < 0:
            return 0, 0, -1, 0
        return self._offsets[place], self._starts[place], self._lengths[place], self._checksums[place]


def _digest(data: bytes | bytearray) -> bytes:
    return hashlib.sha256(data).digest()
