"""Native code in one archive: a ``Body`` that begins as a ZIP file enters, an ``Archive`` leaves.

JAR, WAR, EAR and the like, wheels and plain ZIP files, also nested in each other. The names of the
central directory come first: only members whose name promises native code, or another archive, are
inflated, and nothing is written anywhere. Limits are per file of a layer, so that what is known of
it does not depend on its neighbours. Follows PKWARE's APPNOTE 6.3 and RFC 1951.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from typing import Any

from imagescan.archives.directory import (
    DEFLATED,
    STORED,
    CentralDirectory,
    Member,
    content_start,
    read_directory,
)
from imagescan.archives.values import JOINT, Archive, ArchivedBinary
from imagescan.dataclasses import dataclass, field
from imagescan.elf.header import MAGIC as ELF_MAGIC
from imagescan.elf.reader import read_elf
from imagescan.errors import LimitExceeded, MalformedBinary
from imagescan.layers.values import Body, ColumnStore
from imagescan.patterns import pattern
from imagescan.variants import read_variant

MAXIMUM_DEPTH = 4  # archives in each other: an EAR's WAR's JAR, and one more
MAXIMUM_BINARIES = 4096  # members with native code of one file
MAXIMUM_NESTED = 4096  # archives within one file
MAXIMUM_LOOKED_AT = 8192  # members of one archive whose names promise either
MAXIMUM_NAME = 512  # bytes of a member's name that is looked at; real ones have less than 300
MAXIMUM_MEMBER = 256 << 20  # bytes that one member may inflate to
MAXIMUM_INFLATED = 2 << 30  # bytes that all members looked at may inflate to
MAXIMUM_RATIO = 20  # inflated to stored bytes of one file; native code reaches 5
FREE_BYTES = 16 << 20  # inflated bytes that the ratio does not count: small files with long zeros
MAXIMUM_UNREAD = 20  # reasons kept; more are counted
_STEP = 1 << 20  # bytes read and inflated at a time

ARCHIVE_SUFFIXES = (
    ".jar", ".war", ".ear", ".zip", ".whl", ".egg", ".nar", ".hpi", ".jpi", ".kar", ".rar", ".aar",
)  # fmt: skip
_IS_NESTED = pattern(rb"(?i)\.(?:jar|war|ear|nar|hpi|jpi|kar|rar|aar)\Z")
_IS_NATIVE = pattern(rb"(?i)\.so(?:\.[0-9]+)*\Z|\.(?:node|jnilib|dylib|dll|exe)\Z")
_PLATFORM = pattern(rb"(?i)linux|amd64|x86[-_]64|x64|aarch64|arm64")
_NEVER_NATIVE = (b".class", b"/", b".properties", b".xml", b".html")  # most of what there is
_NEVER_LINUX = (b".dll", b".dylib", b".jnilib", b".exe")
_PROGRAM_OF_PROTOC = b"linux"  # protoc's artifacts are called .exe on every system


def read_archive(body: Body, store: ColumnStore) -> Archive | None:
    """What native code an archive has; None where it has none and was read whole. Symbols of its
    ELF files go to ``store``."""
    reader = _Reader(store, left=min(FREE_BYTES + MAXIMUM_RATIO * body.size, MAXIMUM_INFLATED))
    reader.read(body, "", 1)
    if not reader.binaries and not reader.unread:
        return None
    return Archive(tuple(reader.binaries), tuple(reader.reasons()))


class _OverBudgetError(Exception):
    """The archive inflates to more than it may; nothing more of it is read."""


@dataclass(slots=True)
class _Reader:
    """One file of a layer with all that is nested in it. ``left`` counts bytes still to be inflated."""

    store: ColumnStore
    left: int
    binaries: list[ArchivedBinary] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    nested: int = 0
    dropped: int = 0

    def reasons(self) -> Iterator[str]:
        yield from self.unread
        if self.dropped:
            yield f"and {self.dropped} more"

    def read(self, body: Body, prefix: str, depth: int) -> None:
        """Read one archive; ``prefix`` is the path of the archive itself with its joint."""
        try:
            directory = read_directory(body)
            members = list(islice(directory.members(_is_wanted), MAXIMUM_LOOKED_AT + 1))
            if len(members) > MAXIMUM_LOOKED_AT:
                raise LimitExceeded(f"more than {MAXIMUM_LOOKED_AT} members that may be native code")
            self._look(body, directory, members, prefix, depth)
        except (MalformedBinary, LimitExceeded) as error:
            self._fail(prefix.removesuffix(JOINT), error.message)
        except _OverBudgetError:
            if depth > 1:
                raise
            self._fail("", "it inflates to more than archives do, so the rest was not read")

    def _look(
        self, body: Body, directory: CentralDirectory, members: list[Member], prefix: str, depth: int
    ) -> None:
        end = 0
        for member in sorted(members, key=lambda one: one.offset):
            name = prefix + member.name.decode("utf-8", "surrogateescape")
            if _is_foreign(member.name):
                self._keep(ArchivedBinary(name, member.size))
                continue
            try:
                start = content_start(body, directory, member)
                if member.offset < end:
                    raise MalformedBinary("it overlaps another member")
                end = start + member.compressed
                if _IS_NESTED.search(member.name):
                    self._descend(_content(self, body, member, start), name, depth)
                else:
                    self._binary(_content(self, body, member, start), name)
            except (MalformedBinary, LimitExceeded) as error:
                self._fail(name, error.message)

    def _descend(self, content: Body | None, name: str, depth: int) -> None:
        self.nested += 1
        if depth >= MAXIMUM_DEPTH or self.nested > MAXIMUM_NESTED:
            raise LimitExceeded(
                f"archives are nested more than {MAXIMUM_DEPTH} deep or {MAXIMUM_NESTED} times"
            )
        if content is not None and content.read(0, 4) == b"PK\3\4":
            self.read(content, name + JOINT, depth + 1)

    def _binary(self, content: Body | None, name: str) -> None:
        if content is not None:
            elf = read_elf(content, self.store) if content.size >= 52 else None
            self._keep(ArchivedBinary(name, content.size, elf))

    def _keep(self, binary: ArchivedBinary) -> None:
        if len(self.binaries) >= MAXIMUM_BINARIES:
            raise LimitExceeded(f"more than {MAXIMUM_BINARIES} members with native code")
        self.binaries.append(binary)

    def _fail(self, name: str, reason: str) -> None:
        if len(self.unread) >= MAXIMUM_UNREAD:
            self.dropped += 1
        else:
            self.unread.append(f"{name}: {reason}" if name else reason)

    def take(self, length: int) -> None:
        """Count inflated bytes."""
        self.left -= length
        if self.left < 0:
            raise _OverBudgetError


def _is_wanted(name: bytes) -> bool:
    """Whether a name promises native code or an archive. A file without extension, in a place that
    names a platform, may be a program."""
    if name.endswith(_NEVER_NATIVE) or len(name) > MAXIMUM_NAME:
        return False
    if _IS_NATIVE.search(name) or _IS_NESTED.search(name):
        return True
    last = name.rpartition(b"/")[2]
    return bool(last) and b"." not in last and _PLATFORM.search(name) is not None


def _is_foreign(name: bytes) -> bool:
    """Whether a name says that a member is code of another system, so that it need not be inflated."""
    lower = name.lower()
    if lower.endswith(_NEVER_LINUX):
        return _PROGRAM_OF_PROTOC not in lower
    if _IS_NESTED.search(name):
        return False
    return read_variant(name.decode("utf-8", "surrogateescape")).system not in ("", "linux")


def _content(reader: _Reader, body: Body, member: Member, start: int) -> Body | None:
    """A member's bytes; None for one that is neither ELF nor an archive.

    Raises:
        MalformedBinary: the bytes are not what the directory says.
        LimitExceeded: they are encrypted, compressed in another way, or too many.
    """
    if member.encrypted:
        raise LimitExceeded("it is encrypted, so it was not read")
    if member.size > MAXIMUM_MEMBER:
        raise LimitExceeded(f"it has more than {MAXIMUM_MEMBER >> 20} MiB, so it was not read")
    if member.method == STORED:
        if member.size != member.compressed:
            raise MalformedBinary("its two sizes differ, although it is stored")
        return _promising(_Part(body, start, member.size))
    if member.method != DEFLATED:
        raise LimitExceeded(f"it is compressed with method {member.method}, which is not read")
    return _inflated(reader, body, member, start)


def _promising(content: Body) -> Body | None:
    return content if content.read(0, 4) in (ELF_MAGIC, b"PK\3\4") else None


def _inflated(reader: _Reader, body: Body, member: Member, start: int) -> Body | None:
    decoder = _decoder()()
    pieces: list[bytes] = []
    length, position, end = 0, start, start + member.compressed
    waiting = b""
    while not decoder.eof:
        if not waiting:
            if position >= end:
                raise MalformedBinary("its compressed bytes end too early")
            waiting = body.read(position, min(_STEP, end - position))
            position += len(waiting)
        try:
            piece = decoder.decompress(waiting, _STEP)
        except Exception as error:
            raise MalformedBinary("its compressed bytes are damaged") from error
        waiting = decoder.unconsumed_tail
        length += len(piece)
        reader.take(len(piece))
        if length > member.size:
            raise MalformedBinary("it inflates to more than the directory says")
        if not pieces and piece and piece[:4] not in (ELF_MAGIC, b"PK\3\4"):
            return None
        pieces.append(piece)
    if length != member.size:
        raise MalformedBinary("it inflates to less than the directory says")
    return _Bytes(b"".join(pieces)) if length else None


@cache
def _decoder() -> Callable[[], Any]:
    """Makes decoders of raw deflate; the fastest at hand."""
    try:
        from isal import isal_zlib
    except ImportError:
        return lambda: zlib.decompressobj(-zlib.MAX_WBITS)
    return lambda: isal_zlib.decompressobj(-zlib.MAX_WBITS)


class _Bytes:
    """A ``Body`` in memory."""

    __slots__ = ("_data", "size")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read(self, offset: int, length: int) -> bytes:
        """See ``layers.values.Body.read``."""
        return self._data[offset : offset + length] if offset >= 0 else b""


class _Part:
    """A stretch of another ``Body``: a member that is stored as it is."""

    __slots__ = ("_body", "_start", "size")

    def __init__(self, body: Body, start: int, size: int) -> None:
        self._body = body
        self._start = start
        self.size = size

    def read(self, offset: int, length: int) -> bytes:
        """See ``layers.values.Body.read``."""
        if offset < 0 or offset >= self.size:
            return b""
        return self._body.read(self._start + offset, min(length, self.size - offset))
