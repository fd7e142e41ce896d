"""Raw columns of facts (symbols, strings, hash tables) enter and wait off the heap until they are asked for.

Follows no specification. What is kept is read from layers, so its amount is bounded by
``MAXIMUM_STORED_BYTES``; it never is a layer's blob.
"""

from __future__ import annotations

import os
from contextlib import suppress
from threading import Lock

from imagescan.errors import LayerError, LimitExceeded
from imagescan.layers.values import Place

MAXIMUM_STORED_BYTES = 4 * 1024**3  # of one layer; 11,000 ELF files of an image of 10 GB have 300 MB
TOO_MANY_BYTES = f"the symbols of one layer have more than {MAXIMUM_STORED_BYTES >> 30} GiB"
MAXIMUM_BYTES_IN_MEMORY = 512 * 1024 * 1024  # where no file can be had
WAITING_BYTES = 64 * 1024  # appended bytes that wait for the next write


class TemporaryColumnStore:
    """A ``ColumnStore`` in a file without a name, in the directory for temporary files.

    The file is made when ``WAITING_BYTES`` are exceeded, and gone with the store. Where it cannot be
    made or has no room (a read-only or full disk) everything else stays in memory, up to
    ``MAXIMUM_BYTES_IN_MEMORY``.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._file = -1
        self._written = 0
        self._waiting = bytearray()
        self._without_file = False

    def append(self, data: bytes | memoryview) -> Place:
        """Keep bytes for as long as the store lives.

        Raises:
            LimitExceeded: more than ``MAXIMUM_STORED_BYTES``, or ``MAXIMUM_BYTES_IN_MEMORY`` without a file.
        """
        with self._lock:
            place = Place(self._written + len(self._waiting), len(data))
            if sum(place) > MAXIMUM_STORED_BYTES:
                raise LimitExceeded(TOO_MANY_BYTES)
            if not self._without_file and len(self._waiting) + len(data) > WAITING_BYTES:
                self._write()
                if len(data) > WAITING_BYTES and self._write_now(data):
                    return place
            if self._without_file and len(self._waiting) + len(data) > MAXIMUM_BYTES_IN_MEMORY:
                raise LimitExceeded(
                    f"the symbols of one layer have more than {MAXIMUM_BYTES_IN_MEMORY} bytes, and no"
                    " temporary file can take them"
                )
            self._waiting += data
            return place

    def read(self, place: Place) -> bytes:
        """Exactly the bytes that were appended at this place.

        Raises:
            LayerError: the file cannot be read.
        """
        offset, length = place
        with self._lock:
            if offset >= self._written:
                start = offset - self._written
                return bytes(self._waiting[start : start + length])
        return read_at(self._file, offset, length)

    def _write(self) -> None:
        """Move what waits to the file; without one, or without room in it, nothing is lost."""
        if self._write_now(self._waiting):
            self._waiting = bytearray()

    def _write_now(self, data: bytes | bytearray | memoryview) -> bool:
        """Put bytes at the end of the file, unless that has failed or fails now."""
        if self._without_file:
            return False
        try:
            if self._file < 0:
                self._file = open_unnamed()
            write_at(self._file, data, self._written)
        except OSError:
            self._without_file = True
            return False
        self._written += len(data)
        return True

    def __del__(self) -> None:
        if self._file >= 0:
            os.close(self._file)


def read_at(file: int, offset: int, length: int) -> bytes:
    """Bytes of a file at an offset, by descriptor; any number of threads may ask.

    Raises:
        LayerError: the file cannot be read, or ends early.
    """
    parts = []
    try:
        while length:
            part = os.pread(file, length, offset)
            if not part:
                raise LayerError("the file that keeps symbols was cut", advice="scan again")
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
    except OSError as error:
        raise LayerError(f"the file that keeps symbols cannot be read: {error.strerror}") from error
    return parts[0] if len(parts) == 1 else b"".join(parts)


def write_at(file: int, data: bytes | bytearray | memoryview, offset: int) -> None:
    """Write all bytes to a file at an offset.

    Raises:
        OSError: no room, or any other reason of the system's.
    """
    with memoryview(data) as view:
        done = 0
        while done < len(view):
            done += os.pwrite(file, view[done:], offset + done)


def open_unnamed() -> int:
    """A file for reading and writing that has no name, in the directory for temporary files.

    Raises:
        OSError: none can be made.
    """
    with suppress(OSError, AttributeError):  # Linux only, and not on every file system
        directory = os.environ.get("TMPDIR") or "/tmp"  # noqa: S108
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    import tempfile  # costs 10 ms that a scan of known layers need not pay

    file, name = tempfile.mkstemp(prefix="imagescan-")
    os.unlink(name)  # noqa: PTH108
    return file
