"""The bytes of one blob of a registry, as a stream that survives broken connections.

A session and a descriptor enter; a plain binary stream leaves. After a broken connection the rest
is asked for with a range request (OCI distribution specification, "Pulling blobs"; RFC 9110,
section 14). The bytes are not verified here: the reader hashes them.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from imagescan.errors import SizeMismatch, SourceError, Unavailable
from imagescan.patterns import pattern
from imagescan.sources.registry_answers import failure_reason
from imagescan.sources.registry_connection import Answer
from imagescan.sources.streams import READ_SIZE

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

RESUME_LIMIT = 20
"""How often one blob is resumed, however far each attempt came."""

_CONTENT_RANGE = pattern(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)", re.ASCII)


class BlobSession(Protocol):
    """What is needed of a session; see ``registry_session.RegistrySession``."""

    def get(self, url: str, headers: dict[str, str]) -> Answer:
        """Send one request."""
        ...

    def error_of(self, answer: Answer) -> SourceError:
        """The typed error for an answer."""
        ...

    def pause_before(self, attempt: int) -> float:
        """Seconds to wait after this failed attempt."""
        ...


class RegistryBlob(io.RawIOBase):
    """Reads ``size`` bytes from ``url``; ``where`` names image and layer in errors.

    Opening asks for the blob, so that a missing one is known before anything is read. At most
    ``attempts`` connections in a row may break without a byte between them.
    """

    def __init__(
        self,
        session: BlobSession,
        url: str,
        size: int,
        where: str,
        attempts: int,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__()
        self._session = session
        self._url = url
        self._size = size
        self._where = where
        self._attempts = attempts
        self._sleep = sleep
        self._position = 0
        self._resumed = 0
        self._fruitless = 0
        self._answer: Answer | None = None
        self._connect()

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to ``size`` bytes, as few as the connection gives at once; empty only at the end.

        Raises:
            SizeMismatch: the registry's blob is shorter or longer than promised.
            Unavailable: the connection keeps breaking.
            SourceError: the registry answers otherwise when asked for the rest.
        """
        if size is None or size < 0:
            return self.readall()
        if size == 0:
            return b""
        while True:
            try:
                piece = self._read_once(size)
            except OSError as error:
                self._resume(failure_reason(error))
                continue
            if piece or self._position == self._size:
                return piece
            self._resume("it ended early")

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """As ``read``, into a buffer."""
        view = memoryview(buffer).cast("B")
        piece = self.read(len(view))
        view[: len(piece)] = piece
        return len(piece)

    def readall(self) -> bytes:
        """All that is left; the size promised limits it."""
        pieces = []
        while piece := self.read(READ_SIZE):
            pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Give up the connection."""
        self._disconnect()
        super().close()

    def _read_once(self, size: int) -> bytes:
        if self._answer is None:
            self._connect()
        assert self._answer is not None
        # One byte more than is promised may be asked for, so that a longer blob is noticed.
        piece = self._answer.read(min(size, self._size - self._position + 1))
        if len(piece) > self._size - self._position:
            raise SizeMismatch(f"the blob is longer than the {self._size} bytes promised", where=self._where)
        if piece:
            self._position += len(piece)
            self._fruitless = 0
        return piece

    def _resume(self, reason: str) -> None:
        self._disconnect()
        self._resumed += 1
        self._fruitless += 1
        if self._fruitless >= self._attempts or self._resumed > RESUME_LIMIT:
            raise Unavailable(
                f"the blob broke off after {self._position} of {self._size} bytes: {reason}",
                where=self._where,
                advice="try again",
            )
        self._sleep(self._session.pause_before(self._fruitless))

    def _connect(self) -> None:
        """Ask for the blob from the position on; raises what ``read`` raises, or NotFound."""
        headers = {"Range": f"bytes={self._position}-"} if self._position else {}
        answer = self._session.get(self._url, headers)
        try:
            if answer.status == 206 and self._position:
                self._check_range(answer.headers.get("Content-Range", ""))
            elif answer.status == 416:
                raise SizeMismatch(
                    f"the blob ends after {self._position} bytes, but {self._size} are promised",
                    where=self._where,
                )
            elif answer.status != 200:
                raise self._session.error_of(answer)
            else:
                self._check_length(answer.headers.get("Content-Length", ""))
                self._skip(answer, self._position)
        except BaseException:
            answer.close()
            raise
        self._answer = answer

    def _check_range(self, text: str) -> None:
        match = _CONTENT_RANGE.fullmatch(text)
        if match is None or int(match.group(1)) != self._position:
            raise SourceError(
                f"the registry sent another range than asked for: {text[:80]!r}", where=self._where
            )
        if match.group(2) not in ("*", str(self._size)):
            raise SizeMismatch(
                f"the blob has {match.group(2)} bytes, but {self._size} are promised", where=self._where
            )

    def _check_length(self, text: str) -> None:
        if text.isdigit() and int(text[:18]) != self._size:
            raise SizeMismatch(
                f"the blob has {text[:18]} bytes, but {self._size} are promised", where=self._where
            )

    def _skip(self, answer: Answer, count: int) -> None:
        """Pass over what was read before, for a registry that does not know ranges."""
        while count:
            piece = answer.read(min(count, READ_SIZE))
            if not piece:
                raise ConnectionError("it ended early")
            count -= len(piece)

    def _disconnect(self) -> None:
        if self._answer is not None:
            self._answer.close()
            self._answer = None
