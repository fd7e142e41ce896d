"""Streams that layers are read from: a part of a file, and pieces that arrive one by one.

Each is a plain binary stream for one reader; several of them on one file may be read from
several threads at once.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from imagescan.errors import ImageFormatError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

READ_SIZE = 256 * 1024
"""Bytes asked for at once; larger reads were not measured to be faster."""


class OpenFile:
    """A file descriptor shared by the windows on it, closed with the last of them."""

    def __init__(self, descriptor: int, name: str) -> None:
        self._file = io.FileIO(descriptor, "rb")
        self.name = name

    @property
    def size(self) -> int:
        """Length in bytes, now."""
        return os.fstat(self._file.fileno()).st_size

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes from ``offset``; fewer only at the end of the file."""
        return os.pread(self._file.fileno(), length, offset)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill the buffer from ``offset``; returns how many bytes there were."""
        return os.preadv(self._file.fileno(), [buffer], offset)

    def close(self) -> None:
        """Close it; windows that are still open fail from now on."""
        self._file.close()


class FileWindow(io.RawIOBase):
    """Bytes ``start`` to ``start + length`` of a file, which another window may read meanwhile."""

    def __init__(self, file: OpenFile, start: int, length: int, *, owned: bool = False) -> None:
        super().__init__()
        self._file = file
        self._start = start
        self._position = start
        self._end = start + length
        self._owned = owned

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """As ``readinto``, without the copy that ``io.RawIOBase`` makes of what it reads.

        Raises:
            ImageFormatError: the file became shorter than it was.
        """
        if size is None or size < 0:
            return self.readall()
        wanted = min(size, self._end - self._position)
        if wanted <= 0:
            return b""
        piece = self._file.read_at(self._position, wanted)
        self._advance(len(piece))
        return piece

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill the buffer from the file.

        Raises:
            ImageFormatError: the file became shorter than it was.
        """
        view = memoryview(buffer).cast("B")[: max(0, self._end - self._position)]
        if not len(view):
            return 0
        count = self._file.read_into(view, self._position)
        self._advance(count)
        return count

    def _advance(self, count: int) -> None:
        if not count:
            raise ImageFormatError("the file ends early: it is truncated", where=self._file.name)
        self._position += count

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place of the window, as ``io.RawIOBase.seek``; beyond its end nothing is read."""
        origin = {io.SEEK_SET: self._start, io.SEEK_CUR: self._position, io.SEEK_END: self._end}[whence]
        self._position = max(self._start, origin + offset)
        return self._position - self._start

    def close(self) -> None:
        """Close the window, and the file with its owner."""
        if self._owned and not self.closed:
            self._file.close()
        super().close()


class PieceReader(io.RawIOBase):
    """A stream of pieces from an iterator; ``finish`` is called once when the reader closes it."""

    def __init__(self, pieces: Iterator[bytes], finish: Callable[[], None] | None = None) -> None:
        super().__init__()
        self._pieces = pieces
        self._rest = memoryview(b"")
        self._finish = finish

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill the buffer completely, unless the pieces end; raises what the iterator raises."""
        view = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(view):
            if not len(self._rest):
                piece = next(self._pieces, b"")
                if not piece:
                    break
                self._rest = memoryview(piece)
            count = min(len(self._rest), len(view) - filled)
            view[filled : filled + count] = self._rest[:count]
            self._rest = self._rest[count:]
            filled += count
        return filled

    def close(self) -> None:
        """Tell the origin, once, that no more will be read."""
        if self._finish is not None and not self.closed:
            self._finish()
        super().close()
