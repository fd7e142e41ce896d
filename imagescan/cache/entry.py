"""One file of the cache: a checked head, eager columns, and pieces that are read when asked for.

Bytes of a file enter, checked bytes leave. The head is fixed: the word ``imagescan``, the byte order, the
format's version, a fingerprint of the form of the values, the length of the columns and their SHA-256. The
pieces follow, one after the other, then a table with the length and CRC-32 of each, and at the end the
table's length and SHA-256. A file that differs in any of it is damaged or another version's: it is
removed, and what it held is made anew.
"""

from __future__ import annotations

import hashlib
import os
import struct
import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from zlib import crc32

from imagescan.cache.columns import Damaged
from imagescan.layers.values import Place

FORMAT = 1
MAXIMUM_EAGER_BYTES = 1 << 30  # columns of one layer; 350,000 entries and 11,000 ELF files have 20 MB
_HEAD = struct.Struct("<9sBH16sQ32s")
_TAIL = struct.Struct("<Q32s")
_PIECE = struct.Struct("<QQI")  # offset in the store that the facts were made with, length, CRC-32
_BATCH_BYTES = 1 << 20
_MAGIC = b"imagescan"
_ADVICE = "imagescan cache clear removes all of it"
_ORDER = 1 if sys.byteorder == "little" else 2


def fingerprint(schema: str) -> bytes:
    """What tells one form of values from another: 16 bytes."""
    return hashlib.sha256(f"{FORMAT} {sys.byteorder} {schema}".encode()).digest()[:16]


def build(form: bytes, columns: bytes, pieces: Iterable[tuple[Place, bytes]] = ()) -> Iterator[bytes]:
    """The bytes of a file, part by part; each piece with the place that facts know it by."""
    yield _HEAD.pack(_MAGIC, _ORDER, FORMAT, form, len(columns), _digest(columns))
    yield columns
    table = bytearray()
    batch: list[bytes] = []
    waiting = 0
    for place, data in pieces:
        table += _PIECE.pack(place.offset, len(data), crc32(data))
        batch.append(data)
        waiting += len(data)
        if waiting >= _BATCH_BYTES:
            yield b"".join(batch)
            batch, waiting = [], 0
    tail = _TAIL.pack(len(table), _digest(table))
    yield b"".join((*batch, table, tail))


class StoredFile:
    """A file of the cache that is open for reading, and its pieces as the ``ColumnStore`` of the facts
    that were read from it. Owns the descriptor.

    Raises:
        Damaged: it is no such file, of another form, cut, or changed.
    """

    def __init__(self, file: int, form: bytes) -> None:
        self._file = file
        size = os.fstat(file).st_size
        head = self._read(0, _HEAD.size)
        magic, order, version, written, length, digest = _HEAD.unpack(head)
        if (magic, order, version, written) != (_MAGIC, _ORDER, FORMAT, form):
            raise Damaged("another format")
        table_length, table_digest = _TAIL.unpack(self._read(size - _TAIL.size, _TAIL.size))
        start = _HEAD.size + length
        table_start = size - _TAIL.size - table_length
        if length > MAXIMUM_EAGER_BYTES or table_length > MAXIMUM_EAGER_BYTES or start > table_start:
            raise Damaged("another length than it says")
        self.columns = self._read(_HEAD.size, length)
        table = self._read(table_start, table_length)
        if _digest(self.columns) != digest or _digest(table) != table_digest or table_length % _PIECE.size:
            raise Damaged("wrong checksum")
        self._pieces: dict[int, tuple[int, int, int]] = {}
        for offset, piece_length, checksum in _PIECE.iter_unpack(table):
            self._pieces[offset] = start, piece_length, checksum
            start += piece_length
        if start != table_start:
            raise Damaged("pieces of other lengths")
        self._offsets = sorted(self._pieces)

    def append(self, data: bytes) -> Place:
        """Not possible: what is kept does not change."""
        raise NotImplementedError("facts from the cache are complete")

    def read(self, place: Place) -> bytes:
        """The bytes of a piece, or of a part of one; the whole piece is checked for either.

        Raises:
            Damaged: they are not what was written.
        """
        offset = self._offsets[max(bisect_right(self._offsets, place.offset) - 1, 0)] if self._offsets else 0
        start, length, checksum = self._pieces.get(offset, (0, -1, 0))
        begin = place.offset - offset
        if begin < 0 or place.length < 0 or begin + place.length > length:
            raise Damaged("no such symbols", advice=_ADVICE)
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


def _digest(data: bytes | bytearray) -> bytes:
    return hashlib.sha256(data).digest()
