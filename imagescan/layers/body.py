"""The content of one regular file while its layer streams by: a rope of the layer's own chunks.

Chunks enter as they come, nothing is joined; ranges of bytes leave. Of a large file only the ranges
are kept that its inspector names, and what exceeds ``MEMORY_BYTES`` waits in an unnamed temporary
file, so that memory does not follow a file's length.
"""

from __future__ import annotations

from bisect import bisect_right

from imagescan.errors import LimitExceeded
from imagescan.layers.column_store import TemporaryColumnStore
from imagescan.layers.pax import SparseMap
from imagescan.layers.values import Place

LARGE_FILE_BYTES = 1024 * 1024  # of a longer file the inspector says what to keep
START_BYTES = 64 * 1024  # of a large file, before the inspector is asked
MEMORY_BYTES = 8 * 1024 * 1024  # of one file's kept bytes
MAXIMUM_HELD_BYTES = 512 * 1024 * 1024  # of one file's kept bytes, in memory and in the temporary file
MAXIMUM_READ_BYTES = 256 * 1024 * 1024  # longest range of one read; lengths come from hostile headers


class FileTooLarge(LimitExceeded):
    """More of one file would have to be kept than may be; its layer can be read on."""


class NotKept(LimitExceeded):
    """Bytes of a large file that its inspector did not name."""


class ChunkBody:
    """A ``Body`` that lies within one chunk, as most files do."""

    __slots__ = ("_chunk", "_start", "size")

    def __init__(self, chunk: bytes, start: int, size: int) -> None:
        self._chunk, self._start, self.size = chunk, start, size

    def read(self, offset: int, length: int) -> bytes:
        """Bytes from ``offset``; fewer than ``length`` only at the end of the file."""
        end = offset + length
        if end > self.size:
            end = self.size
        return self._chunk[self._start + offset : self._start + end] if 0 <= offset < end else b""


class Rope:
    """A ``Body`` made of pieces of chunks, without the file's own holes."""

    __slots__ = (
        "_ends",
        "_first",
        "_first_end",
        "_held",
        "_kept",
        "_maximum_held",
        "_pieces",
        "_starts",
        "_store",
        "size",
    )

    def __init__(self, maximum_held: int | None = None) -> None:
        self.size = 0
        self._pieces: list[memoryview | Place] = []
        self._starts: list[int] = []
        self._first = memoryview(b"")  # the first piece, if it is the file's start: most reads are there
        self._first_end = -1
        self._held = 0
        self._maximum_held = MAXIMUM_HELD_BYTES if maximum_held is None else maximum_held
        self._kept: tuple[range, ...] | None = None
        self._ends: list[int] = []
        self._store: TemporaryColumnStore | None = None

    def keep(self, ranges: tuple[range, ...]) -> None:
        """Of what is appended from now on, keep only these ranges of the file, ascending and apart."""
        self._kept = ranges
        self._ends = [one.stop for one in ranges]

    def append(self, piece: memoryview) -> None:
        """Add the next bytes of the file; the chunk that they are part of must not change.

        Raises:
            FileTooLarge: more than ``MAXIMUM_HELD_BYTES`` would have to be kept.
        """
        start = self.size
        end = self.size = start + len(piece)
        if self._kept is None:
            self._hold(start, piece)
            return
        for index in range(bisect_right(self._ends, start), len(self._kept)):
            kept = self._kept[index]
            if kept.start >= end:
                break
            first, last = max(kept.start, start), min(kept.stop, end)
            self._hold(first, piece[first - start : last - start])

    def _hold(self, start: int, piece: memoryview) -> None:
        self._held += len(piece)
        if self._held > self._maximum_held:
            raise FileTooLarge(
                f"the file holds more than the {self._maximum_held} bytes that can be looked at"
            )
        self._starts.append(start)
        if self._held <= MEMORY_BYTES:
            if not start:
                self._first, self._first_end = piece, len(piece)
            self._pieces.append(piece)
            return
        if self._store is None:
            self._store = TemporaryColumnStore()
        self._pieces.append(self._store.append(piece))

    def read(self, offset: int, length: int) -> bytes:
        """Bytes from ``offset``; fewer than ``length`` only at the end of the file.

        Raises:
            LimitExceeded: more than ``MAXIMUM_READ_BYTES`` at once.
            NotKept: not all of them were kept.
        """
        if offset >= 0 and length >= 0 and offset + length <= self._first_end:
            return self._first[offset : offset + length].tobytes()
        end = _end_of_read(offset, length, self.size)
        if end <= offset:
            return b""
        index = bisect_right(self._starts, offset) - 1
        parts: list[bytes | memoryview] = []
        position = offset
        while position < end:
            start = self._starts[index] if 0 <= index < len(self._starts) else end
            piece = self._piece(index)[position - start : end - start] if start <= position else b""
            if not piece:
                raise NotKept(f"bytes {position} to {end} of a large file are not where they are looked for")
            parts.append(piece)
            position += len(piece)
            index += 1
        return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)

    def _piece(self, index: int) -> bytes | memoryview:
        piece = self._pieces[index]
        if isinstance(piece, memoryview):
            return piece
        assert self._store is not None
        return self._store.read(piece)


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
