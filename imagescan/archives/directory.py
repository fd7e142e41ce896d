"""The central directory of a ZIP file: a ``Body`` enters, the members that are asked for leave.

Follows PKWARE's APPNOTE 6.3 (sections 4.3.6 to 4.3.16: local file header, central directory, ZIP64,
end of central directory). Java's class loaders and Python's zipimport find members through the
central directory alone, so it is what counts; a local header that says otherwise is refused.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from imagescan.dataclasses import dataclass
from imagescan.errors import LimitExceeded, MalformedBinary
from imagescan.layers.values import Body

MAXIMUM_DIRECTORY = 64 << 20  # bytes of one central directory; 400,000 members of usual names
MAXIMUM_COMMENT = 0xFFFF  # APPNOTE 4.3.16: the end record's comment

_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_ZIP64_EXTRA = 0x0001
_UNKNOWN_32 = 0xFFFFFFFF
_ENCRYPTED = 0x0001 | 0x0040  # general purpose flags: encrypted, strongly encrypted
STORED, DEFLATED = 0, 8


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of a central directory. ``offset`` is where its local header is in the file; sizes
    in bytes, as claimed."""

    name: bytes
    method: int
    encrypted: bool
    compressed: int
    size: int
    offset: int


@dataclass(frozen=True, slots=True)
class CentralDirectory:
    """``data`` is the whole directory, ``start`` where it begins in the file, ``shift`` by how much
    the file is longer at its start than the offsets in it say (self-extracting archives)."""

    data: bytes
    start: int
    shift: int

    def members(self, wanted: Callable[[bytes], object]) -> Iterator[Member]:
        """The members whose name is wanted, in the directory's order.

        Raises:
            MalformedBinary: the directory ends within an entry, or is none.
        """
        data, position, end = self.data, 0, len(self.data)
        unpack, step = _ENTRY.unpack_from, _ENTRY.size
        while position < end:
            if position + step > end:
                raise MalformedBinary("the archive's directory ends within an entry")
            fields = unpack(data, position)
            first = position + step
            last = first + fields[10]
            position = last + fields[11] + fields[12]
            if fields[0] != b"PK\1\2" or position > end:
                raise MalformedBinary("the archive's directory is damaged")
            name = data[first:last]
            if wanted(name):
                yield self._member(name, fields, data[last : last + fields[11]])

    def _member(self, name: bytes, fields: tuple[int, ...], extra: bytes) -> Member:
        compressed, size, offset = _large(extra, size=fields[9], compressed=fields[8], offset=fields[16])
        return Member(name, fields[4], bool(fields[3] & _ENCRYPTED), compressed, size, offset + self.shift)


def _large(extra: bytes, *, size: int, compressed: int, offset: int) -> tuple[int, int, int]:
    """Compressed size, size and offset, those that do not fit taken from the ZIP64 extra field."""
    if _UNKNOWN_32 not in (size, compressed, offset):
        return compressed, size, offset
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, position)
        if kind == _ZIP64_EXTRA:
            field = extra[position + 4 : position + 4 + length]
            values = iter(struct.unpack(f"<{len(field) // 8}Q", field[: len(field) // 8 * 8]))
            wide = [next(values, one) if one == _UNKNOWN_32 else one for one in (size, compressed, offset)]
            return wide[1], wide[0], wide[2]
        position += 4 + length
    return compressed, size, offset


def read_directory(body: Body) -> CentralDirectory:
    """Find and read the central directory.

    Raises:
        MalformedBinary: there is none, or it does not lie within the file.
        LimitExceeded: it is larger than ``MAXIMUM_DIRECTORY``.
    """
    tail_start = max(body.size - _END.size - MAXIMUM_COMMENT, 0)
    tail = body.read(tail_start, body.size - tail_start)
    place = _find_end(tail)
    fields = _END.unpack_from(tail, place)
    if fields[1] not in (0, 0xFFFF) or fields[2] not in (0, 0xFFFF):
        raise MalformedBinary("one part of an archive of several files")
    end, size, offset = tail_start + place, fields[5], fields[6]
    wide = _wide_end(body, end)
    if wide is not None:
        end, size, offset = wide
    start = end - size
    if start < 0 or start < offset:
        raise MalformedBinary("the archive's directory is not where the archive says")
    if size > MAXIMUM_DIRECTORY:
        raise LimitExceeded(f"the archive's directory has more than {MAXIMUM_DIRECTORY >> 20} MiB")
    return CentralDirectory(body.read(start, size), start, start - offset)


def _find_end(tail: bytes) -> int:
    """The last end record whose comment ends with the file."""
    place = len(tail)
    while (place := tail.rfind(b"PK\5\6", 0, place)) >= 0:
        if place + _END.size <= len(tail):
            (comment,) = struct.unpack_from("<H", tail, place + _END.size - 2)
            if place + _END.size + comment == len(tail):
                return place
    raise MalformedBinary("the archive has no directory: it is cut or damaged")


def _wide_end(body: Body, end: int) -> tuple[int, int, int] | None:
    """Where the ZIP64 end record begins, and the directory's size and offset; None without one."""
    raw = body.read(end - _LOCATOR.size, _LOCATOR.size) if end >= _LOCATOR.size else b""
    if not raw.startswith(b"PK\6\7"):
        return None
    place = end - _LOCATOR.size - _END_64.size  # the record without extensible data, as all write it
    record = body.read(place, _END_64.size) if place >= 0 else b""
    if not record.startswith(b"PK\6\6"):
        raise MalformedBinary("the archive's ZIP64 directory is damaged")
    fields = _END_64.unpack(record)
    return place, fields[8], fields[9]


def content_start(body: Body, directory: CentralDirectory, member: Member) -> int:
    """Where a member's bytes begin.

    Raises:
        MalformedBinary: the local header is not there or is another member's, or the bytes would
            reach into the directory.
    """
    raw = body.read(member.offset, _LOCAL.size)
    if len(raw) < _LOCAL.size or not raw.startswith(b"PK\3\4"):
        raise MalformedBinary("its local header is not where the directory says")
    fields = _LOCAL.unpack(raw)
    name = body.read(member.offset + _LOCAL.size, fields[9])
    if name != member.name or fields[3] != member.method:
        raise MalformedBinary("its local header is another member's")
    start = member.offset + _LOCAL.size + int(fields[9]) + int(fields[10])
    if start + member.compressed > directory.start:
        raise MalformedBinary("it reaches into the archive's directory")
    return start
