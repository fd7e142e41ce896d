"""A layer's file of the cache while the layer is read: its pieces go into the file at once.

Bytes enter, and are in a file of the form that ``entry`` describes and reads.
"""

from __future__ import annotations

import os
from zlib import crc32

from imagescan.cache.entry import HEAD_BYTES, PIECE, head, tail
from imagescan.errors import LimitExceeded
from imagescan.layers import column_store
from imagescan.layers.values import NotWritten, Place

_BATCH_BYTES = 1 << 20
_BATCH_PARTS = 512  # of one system call; Linux takes 1,024


class PieceWriter:
    """A file of the cache while it is written: the ``ColumnStore`` of what reads a layer, its pieces in the
    file at once. Until ``finish`` the file has no head, so that nobody takes it for a whole one.

    Does not own the descriptor. Used by one thread, or by one process after the other.
    """

    def __init__(self, file: int) -> None:
        self._file = file
        self._written = HEAD_BYTES
        self._waiting: list[bytes | bytearray | memoryview] = []
        self._waiting_bytes = 0
        self._table = bytearray()
        self._end = 0  # of the places that were given out

    def append(self, data: bytes | memoryview) -> Place:
        """Keep bytes as one piece.

        Raises:
            LimitExceeded: the file would have more than ``MAXIMUM_STORED_BYTES`` of pieces.
            NotWritten: no room, or any other reason of the system's.
        """
        if self._end + len(data) > column_store.MAXIMUM_STORED_BYTES:
            raise LimitExceeded(column_store.TOO_MANY_BYTES)
        place = Place(self._end, len(data))
        self.add(place, data)
        return place

    def add(self, place: Place, data: bytes | memoryview) -> None:
        """Keep bytes that facts know by a place in another store.

        Raises:
            NotWritten: no room, or any other reason of the system's.
        """
        self._table += PIECE.pack(place.offset, len(data), crc32(data))
        self._end = max(self._end, sum(place))
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes >= _BATCH_BYTES or len(self._waiting) >= _BATCH_PARTS:
            self._write()

    def read(self, place: Place) -> bytes:
        """The bytes of a piece. Places of another store than this one are not known yet."""
        offset = HEAD_BYTES + place.offset
        if offset >= self._written:
            self._write()
        return column_store.read_at(self._file, offset, place.length)

    def finish(self, form: bytes, columns: bytes) -> None:
        """Write what follows the pieces, and then the head.

        Raises:
            NotWritten: no room, or any other reason of the system's.
        """
        self._waiting += columns, self._table, tail(self._table)
        self._write()
        self._waiting.append(head(form, [columns]))
        self._written = 0
        self._write()

    def _write(self) -> None:
        """Write what waits, without joining it unless the system takes only a part."""
        parts, self._waiting, self._waiting_bytes = self._waiting, [], 0
        try:
            done = os.pwritev(self._file, parts, self._written)
            self._written += done
            if done < sum(map(len, parts)):
                rest = b"".join(parts)[done:]
                column_store.write_at(self._file, rest, self._written)
                self._written += len(rest)
        except OSError as error:
            raise NotWritten(error.strerror or str(error)) from error
