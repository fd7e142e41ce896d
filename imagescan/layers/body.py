"""The content of one regular file while its layer streams by: a rope of the layer's own chunks.

Chunks enter as they come, nothing is joined; ranges of bytes leave. A file larger than
``PLAIN_BYTES`` is kept compressed from there on, so that memory follows what a file holds
rather than its length.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Callable
from functools import cache
from typing import Any

from imagescan.errors import LimitExceeded
from imagescan.layers.pax import SparseMap

PLAIN_BYTES = 16 * 1024 * 1024  # the start of a file is kept as it is: headers and symbols are there
MAXIMUM_HELD_BYTES = 512 * 1024 * 1024  # memory that one file may occupy while it is looked at
MAXIMUM_READ_BYTES = 256 * 1024 * 1024  # longest range of one read; lengths come from hostile headers


class FileTooLarge(LimitExceeded):
    """One file would occupy more memory than it may; its layer can be read on."""


class Rope:
    """A ``Body`` made of pieces of chunks, without holes."""

    __slots__ = ("_held", "_maximum_held", "_packed", "_pieces", "_starts", "_unpacked", "size")

    def __init__(self, maximum_held: int | None = None) -> None:
        self.size = 0
        self._pieces: list[bytes | memoryview] = []
        self._starts: list[int] = []
        self._packed = -1  # position of the first piece that is kept compressed
        self._held = 0
        self._maximum_held = MAXIMUM_HELD_BYTES if maximum_held is None else maximum_held
        self._unpacked: tuple[int, bytes] = (-1, b"")

    def append(self, piece: memoryview) -> None:
        """Add the next bytes of the file; the chunk that they are part of must not change.

        Raises:
            FileTooLarge: the file would occupy more than ``MAXIMUM_HELD_BYTES``.
        """
        self._starts.append(self.size)
        self.size += len(piece)
        kept: bytes | memoryview = piece
        if self.size > PLAIN_BYTES:
            if self._packed < 0:
                self._packed = len(self._pieces)
            kept = _pack()(piece)
        self._held += len(kept)
        if self._held > self._maximum_held:
            raise FileTooLarge(
                f"the file holds more than the {self._maximum_held} bytes that can be looked at"
            )
        self._pieces.append(kept)

    def read(self, offset: int, length: int) -> bytes:
        """Bytes from ``offset``; fewer than ``length`` only at the end of the file.

        Raises:
            LimitExceeded: more than ``MAXIMUM_READ_BYTES`` at once.
        """
        end = _end_of_read(offset, length, self.size)
        if end <= offset:
            return b""
        index = bisect_right(self._starts, offset) - 1
        start = self._starts[index]
        piece = self._piece(index)
        if end <= start + len(piece):
            return bytes(piece[offset - start : end - start])
        parts = [piece[offset - start :]]
        position = start + len(piece)
        while position < end:
            index += 1
            piece = self._piece(index)
            parts.append(piece[: end - position])
            position += len(piece)
        return b"".join(parts)

    def _piece(self, index: int) -> bytes | memoryview:
        if self._packed < 0 or index < self._packed:
            return self._pieces[index]
        if self._unpacked[0] != index:
            self._unpacked = (index, zlib.decompress(self._pieces[index]))
        return self._unpacked[1]


class SparseBody:
    """A ``Body`` with holes: a rope of the stored stretches and where each of them belongs."""

    __slots__ = ("_ends", "_segments", "_stored", "_stored_starts", "size")

    def __init__(self, stored: Rope, segments: SparseMap, size: int) -> None:
        self.size = size
        self._stored = stored
        self._segments = segments
        self._ends = [offset + length for offset, length in segments]
        self._stored_starts = [0]
        for _, length in segments:
            self._stored_starts.append(self._stored_starts[-1] + length)

    def read(self, offset: int, length: int) -> bytes:
        """Bytes from ``offset``, zeros in holes; fewer than ``length`` only at the end of the file.

        Raises:
            LimitExceeded: more than ``MAXIMUM_READ_BYTES`` at once.
        """
        end = _end_of_read(offset, length, self.size)
        if end <= offset:
            return b""
        content = bytearray(end - offset)
        for index in range(bisect_right(self._ends, offset), len(self._segments)):
            start, stretch = self._segments[index]
            if start >= end:
                break
            first, last = max(start, offset), min(start + stretch, end)
            stored_at = self._stored_starts[index] + first - start
            content[first - offset : last - offset] = self._stored.read(stored_at, last - first)
        return bytes(content)


def _end_of_read(offset: int, length: int, size: int) -> int:
    """Where a read ends; at or before ``offset`` when there is nothing to read."""
    end = min(offset + length, size) if offset >= 0 else offset
    if end - offset > MAXIMUM_READ_BYTES:
        raise LimitExceeded(f"a read of {end - offset} bytes, more than {MAXIMUM_READ_BYTES}")
    return end


@cache
def _pack() -> Callable[[Any], bytes]:
    """The fastest compression at hand; ``zlib.decompress`` reads it."""
    try:
        from isal import isal_zlib
    except ImportError:
        return lambda piece: zlib.compress(piece, 1)
    return lambda piece: isal_zlib.compress(piece, 0)
