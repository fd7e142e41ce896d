"""The members of an image archive: the tar around an image, not the layers inside it.

A stream of a tar enters; members leave, in a stream's order, each with its content or its place.
Reads POSIX ustar and PAX and GNU long names through ``tarfile``, but ends at nothing silently:
``tarfile`` takes a damaged header after the first for the end of the archive.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast

from imagescan.dataclasses import dataclass
from imagescan.errors import ImageFormatError, ImageScanError, LimitExceeded
from imagescan.sources.streams import READ_SIZE

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MEMBER_LIMIT = 20_000
"""Members of one image archive; each layer has at most four."""

EXTENDED_HEADER_LIMIT = 64 * 1024
"""Bytes of a PAX header or a GNU long name; a path has at most 4,096."""

UNPACKED_SIZE_LIMIT = 256 * 1024**3
"""Bytes of a compressed archive once inflated (256 GiB)."""

_HEAD_SIZE = 512
_EXTENDED_TYPES = (
    tarfile.XHDTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


@dataclass(frozen=True, slots=True)
class Member:
    """One member of an archive.

    ``name`` is normalised, without a leading ``./``. ``offset`` is that of the content in the
    unpacked archive, in bytes, as ``size``. ``link`` is the target of a symbolic or hard link
    as a normalised name, else empty. ``head`` is the start of the content.
    """

    name: str
    offset: int
    size: int
    link: str = ""
    head: bytes = b""


class _StrictTarInfo(tarfile.TarInfo):
    """Headers whose damage is an error, and whose lengths are checked before they are used."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _StrictTarInfo:
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if len(buf) == 0 or not any(buf):
                raise
            raise ImageFormatError(f"the archive is damaged: {error}") from None
        if header.type == tarfile.XGLTYPE:
            raise ImageFormatError("the archive has a global PAX header, which no image archive has")
        if header.type in _EXTENDED_TYPES and header.size > EXTENDED_HEADER_LIMIT:
            raise LimitExceeded(
                f"the archive has a header of {header.size} bytes; {EXTENDED_HEADER_LIMIT} are allowed"
            )
        return header


class TranslatedReader(io.RawIOBase):
    """A stream whose library's exceptions become ours; at most ``limit`` bytes are read."""

    def __init__(
        self, stream: BinaryIO, translate: Callable[[Exception], ImageScanError], limit: int | None = None
    ) -> None:
        super().__init__()
        self._stream = stream
        self._translate = translate
        self._left = limit

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read on.

        Raises:
            LimitExceeded: the stream is longer than its limit.
            ImageScanError: what the library's exception became.
        """
        view = memoryview(buffer).cast("B")
        try:
            count = cast(int, self._stream.readinto(view))  # type: ignore[attr-defined]
        except ImageScanError:
            raise
        except Exception as error:
            raise self._translate(error) from None
        if self._left is not None:
            self._left -= count
            if self._left < 0:
                raise LimitExceeded("the archive inflates to more than is allowed")
        return count


def scan_members(file: BinaryIO, where: str) -> Iterator[Member]:
    """The members of a plain archive that can seek; contents are not read, except their heads.

    Raises:
        ImageFormatError: no tar, damaged or truncated.
        LimitExceeded: too many members, or too long a header.
    """
    with _translated(where):
        for info, archive in _walk(file, "r:", where):
            content = archive.extractfile(info) if info.isreg() else None
            yield _member(info, content.read(_HEAD_SIZE) if content else b"")


def stream_members(stream: BinaryIO, where: str) -> Iterator[tuple[Member, BinaryIO]]:
    """The members of an archive that only streams, each with its content.

    A content must be read before the next member is asked for; what is left of it is passed over.

    Raises:
        ImageFormatError: no tar, damaged or truncated; also while reading a content.
        LimitExceeded: too many members, or too long a header.
    """
    with _translated(where):
        for info, archive in _walk(stream, "r|", where):
            if not info.isreg():
                yield _member(info, b""), io.BytesIO()
                continue
            extracted = cast(BinaryIO, archive.extractfile(info))
            translated = TranslatedReader(extracted, lambda error: _damaged(error, where))
            reader = io.BufferedReader(translated, READ_SIZE)
            yield _member(info, reader.peek(_HEAD_SIZE)[:_HEAD_SIZE]), cast(BinaryIO, reader)


def _walk(stream: BinaryIO, mode: str, where: str) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
    archive = tarfile.open(  # type: ignore[call-overload]  # noqa: SIM115
        fileobj=stream, mode=mode, tarinfo=_StrictTarInfo, bufsize=READ_SIZE, encoding="utf-8"
    )
    count = 0
    while (info := archive.next()) is not None:
        archive.members.clear()
        count += 1
        if count > MEMBER_LIMIT:
            raise LimitExceeded(f"the archive has more than {MEMBER_LIMIT} members", where=where)
        if info.size < 0 or info.issparse():
            raise ImageFormatError("the archive has a sparse or negative member", where=where)
        yield info, archive


@contextmanager
def _translated(where: str) -> Iterator[None]:
    """What ``tarfile`` raises on damage becomes ours."""
    try:
        yield
    except ImageScanError as error:
        error.where = error.where or where
        raise
    except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError, OSError) as error:
        raise _damaged(error, where) from None


def _damaged(error: Exception, where: str) -> ImageScanError:
    if isinstance(error, RecursionError):
        return ImageFormatError("the archive is damaged: extended headers without end", where=where)
    if isinstance(error, tarfile.ReadError | EOFError):
        return ImageFormatError(f"the archive is damaged or truncated: {error}", where=where)
    return ImageFormatError(f"the archive cannot be read: {error}", where=where)


def _member(info: tarfile.TarInfo, head: bytes) -> Member:
    name = normalised_name(info.name)
    link = ""
    if info.issym():
        link = normalised_name(f"{name.rpartition('/')[0]}/{info.linkname}")
    elif info.islnk():
        link = normalised_name(info.linkname)
    return Member(name, info.offset_data, info.size if info.isreg() else 0, link, head)


def normalised_name(name: str) -> str:
    """The name without ``.``, ``..`` and doubled slashes; it never leaves the archive's root."""
    parts: list[str] = []
    for part in name.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)
