"""Bytes as a place delivers them, handed on only while they can still be what was promised.

An unverified stream enters; the same bytes leave, hashed and counted as they pass. Follows the
OCI image specification (descriptor.md, "Verification").
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

from imagescan.errors import DigestMismatch, SizeMismatch
from imagescan.reference import Digest

READ_BYTES = 256 * 1024  # one read; 64 to 256 KiB stay in the processor's second-level cache


class VerifiedStream:
    """Iterates over a stream's bytes; at the stream's end it raises when they were not as promised.

    ``digest`` and ``size`` are the descriptor's, or None where there is no promise. ``on_bytes``
    is called with the number of bytes of each read.
    """

    def __init__(
        self,
        stream: BinaryIO,
        *,
        digest: Digest | None = None,
        size: int | None = None,
        where: str = "",
        on_bytes: Callable[[int], None] | None = None,
    ) -> None:
        self._stream = stream
        self._promised = digest
        self._promised_size = size
        self._where = where
        self._on_bytes = on_bytes
        self._algorithm = digest.algorithm if digest else "sha256"
        self._hash = hashlib.new(self._algorithm, usedforsecurity=False)
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        """Chunks of up to ``READ_BYTES``, to the end of the stream; once more, those that are left, and the
        same verdict.

        Raises:
            SizeMismatch: there are more or fewer bytes than promised; more is noticed at once.
            DigestMismatch: the digest differs; raised at the end.
        """
        read, update, on_bytes = self._stream.read, self._hash.update, self._on_bytes
        while chunk := read(READ_BYTES):
            self.size += len(chunk)
            if self._promised_size is not None and self.size > self._promised_size:
                raise self._wrong_size("has more than")
            update(chunk)
            if on_bytes is not None:
                on_bytes(len(chunk))
            yield chunk
        if self._promised_size is not None and self.size != self._promised_size:
            raise self._wrong_size(f"ends after {self.size} of")
        if self._promised is not None:
            check_digest(self._promised, self.digest, self._where, "blob")

    @property
    def algorithm(self) -> str:
        """The digest algorithm in use."""
        return self._algorithm

    @property
    def digest(self) -> Digest:
        """The digest of the bytes read until now."""
        return Digest(self._algorithm, self._hash.hexdigest())

    def _wrong_size(self, how: str) -> SizeMismatch:
        return SizeMismatch(
            f"the blob {how} the {self._promised_size} bytes that the manifest promises",
            where=self._where,
            advice="fetch or build the image again",
        )


def check_digest(promised: Digest, computed: Digest, where: str, what: str) -> None:
    """Compare two digests of one algorithm.

    Raises:
        DigestMismatch: they differ.
    """
    if promised != computed:
        raise DigestMismatch(
            f"the {what}'s digest is {computed}, but {promised} was promised",
            where=where,
            advice="fetch or build the image again",
        )
