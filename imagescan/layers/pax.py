"""Extended headers enter as bytes; the records and sparse maps in them leave.

Follows POSIX pax ("pax Extended Header"), GNU tar's sparse formats (old GNU, PAX 0.0, 0.1 and
1.0) and the ``SCHILY.xattr.`` records that Docker and buildkit write. Where readers differ,
Go's archive/tar is the measure.
"""

from __future__ import annotations

from imagescan.dataclasses import dataclass
from imagescan.errors import CorruptLayer, LimitExceeded
from imagescan.layers.header import BLOCK_BYTES, number

MAXIMUM_EXTENDED_HEADER_BYTES = 1024 * 1024  # as Go's archive/tar
MAXIMUM_SPARSE_SEGMENTS = 100_000
MAXIMUM_CAPABILITY_BYTES = 64  # the kernel's largest struct vfs_ns_cap_data has 24

_CAPABILITY = b"SCHILY.xattr.security.capability"
_USED = frozenset(
    b"path linkpath size uid gid SCHILY.xattr.security.capability GNU.sparse.offset GNU.sparse.numbytes"
    b" GNU.sparse.name GNU.sparse.realsize GNU.sparse.size GNU.sparse.map GNU.sparse.major"
    b" GNU.sparse.minor".split()
)
_NO_NULS_IN_VALUE = frozenset({b"path", b"linkpath", b"uname", b"gname"})

SparseMap = tuple[tuple[int, int], ...]  # (offset, length) of each stretch of data, ascending


@dataclass(frozen=True, slots=True)
class ExtendedHeader:
    """What one ``x`` header says of the entry that follows; None where it says nothing.

    ``sparse`` is the map of formats 0.0 and 0.1; with ``sparse_in_body`` (format 1.0) the map
    stands at the start of the entry's body. ``real_size`` is the length with holes.
    """

    path: bytes | None = None
    link: bytes | None = None
    size: int | None = None
    uid: int | None = None
    gid: int | None = None
    capability: bytes | None = None
    sparse: SparseMap | None = None
    sparse_in_body: bool = False
    real_size: int | None = None


NOTHING_OF_USE = ExtendedHeader()  # most have times only


def parse_extended_header(data: bytes) -> ExtendedHeader:
    """Read the records of an ``x`` header.

    An empty value takes a record back, so the ustar field holds.

    Raises:
        CorruptLayer: a record that is none, or a number that is none or negative.
    """
    found = _records(data)
    if _USED.isdisjoint([key for key, _ in found]):
        return NOTHING_OF_USE
    records: dict[bytes, bytes] = {}
    pairs: list[int] = []
    for key, value in found:
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            if (key == b"GNU.sparse.offset") is bool(len(pairs) % 2):
                raise CorruptLayer("a sparse map in an extended header with a part missing")
            pairs.append(_decimal(value))
        else:
            records[key] = value
    present = {key: value for key, value in records.items() if value}
    capability = present.get(_CAPABILITY)
    if capability is not None and len(capability) > MAXIMUM_CAPABILITY_BYTES:
        raise LimitExceeded(f"a file capability of {len(capability)} bytes")
    sparse, in_body = _sparse_format(present, pairs)
    is_sparse = in_body or sparse is not None
    real_size = _optional(present, b"GNU.sparse.realsize") if is_sparse else None
    if is_sparse and real_size is None:
        real_size = _optional(present, b"GNU.sparse.size")
    return ExtendedHeader(
        path=(present.get(b"GNU.sparse.name") if is_sparse else None) or present.get(b"path"),
        link=present.get(b"linkpath"),
        size=_optional(present, b"size"),
        uid=_optional(present, b"uid"),
        gid=_optional(present, b"gid"),
        capability=capability,
        sparse=sparse,
        sparse_in_body=in_body,
        real_size=real_size,
    )


def check_records(data: bytes) -> None:
    """Read a global (``g``) header and drop it: containerd and Docker do not apply them.

    Raises:
        CorruptLayer: a record that is none.
    """
    for _ in _records(data):
        pass


def _records(data: bytes) -> list[tuple[bytes, bytes]]:
    """Split ``LENGTH KEY=VALUE\\n`` records; the length counts itself."""
    records = []
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + 12)
        digits = data[position:space]
        if space < 0 or not digits.isdigit():
            raise CorruptLayer("an extended header record without a length")
        end = position + int(digits)
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if end > len(data) or end < space + 3 or data[end - 1 : end] != b"\n" or not key or not equals:
            raise CorruptLayer("an extended header record with a wrong length")
        if b"\0" in (value if key in _NO_NULS_IN_VALUE else key):
            raise CorruptLayer("a NUL byte in an extended header record")
        records.append((key, value))
        position = end
    return records


def _sparse_format(records: dict[bytes, bytes], pairs: list[int]) -> tuple[SparseMap | None, bool]:
    version = records.get(b"GNU.sparse.major"), records.get(b"GNU.sparse.minor")
    if version == (b"1", b"0"):
        return None, True
    if version not in ((None, None), (b"0", b"0"), (b"0", b"1")):
        raise CorruptLayer("a sparse file in an unknown format")
    if b"GNU.sparse.map" in records:
        pairs = [_decimal(value) for value in records[b"GNU.sparse.map"].split(b",")]
    elif not pairs and b"GNU.sparse.size" not in records:
        return None, False
    if len(pairs) % 2:
        raise CorruptLayer("a sparse map in an extended header with a part missing")
    return tuple(zip(pairs[::2], pairs[1::2], strict=True)), False


def parse_old_sparse(block: bytes, start: int, count: int) -> tuple[list[tuple[int, int]], bool]:
    """The segments in a header block (old GNU format) and whether a further block follows."""
    segments = []
    for position in range(start, start + 24 * count, 24):
        if not block[position]:
            break
        segments.append(
            (number(block[position : position + 12]), number(block[position + 12 : position + 24]))
        )
    return segments, bool(block[start + 24 * count])


class SparseMapReader:
    """Reads the map at the start of a body (format 1.0), fed block by block.

    Decimal numbers, one a line: how many segments, then offset and length of each; padded to
    a whole block.
    """

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._rest = b""

    def feed(self, block: bytes) -> SparseMap | None:
        """Add one block; the map when it is complete, else None.

        Raises:
            CorruptLayer: a line that is no number.
            LimitExceeded: more than ``MAXIMUM_SPARSE_SEGMENTS``.
        """
        assert len(block) == BLOCK_BYTES
        *lines, self._rest = (self._rest + block).split(b"\n")
        for line in lines:
            if self._numbers and len(self._numbers) > 2 * self._numbers[0]:
                break
            self._numbers.append(_decimal(line))
            if self._numbers[0] > MAXIMUM_SPARSE_SEGMENTS:
                raise LimitExceeded(f"a sparse file of {self._numbers[0]} segments")
        if len(self._rest) > BLOCK_BYTES:
            raise CorruptLayer("a sparse map that is no list of numbers")
        if not self._numbers or len(self._numbers) <= 2 * self._numbers[0]:
            return None
        return tuple(zip(self._numbers[1::2], self._numbers[2::2], strict=True))


def check_sparse_map(segments: SparseMap, stored: int, real_size: int) -> None:
    """Whether a map describes ``stored`` bytes of data within ``real_size``.

    Raises:
        CorruptLayer: segments overlap, run backwards, leave the file, or miss bytes.
        LimitExceeded: more than ``MAXIMUM_SPARSE_SEGMENTS``.
    """
    if len(segments) > MAXIMUM_SPARSE_SEGMENTS:
        raise LimitExceeded(f"a sparse file of {len(segments)} segments")
    end = 0
    for offset, length in segments:
        if offset < end or offset + length > real_size:
            raise CorruptLayer("a sparse map that does not fit its file")
        end = offset + length
    if sum(length for _, length in segments) != stored:
        raise CorruptLayer("a sparse map that does not describe all bytes of its file")


def _optional(records: dict[bytes, bytes], key: bytes) -> int | None:
    return _decimal(records[key]) if key in records else None


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 19 or int(text) >= 1 << 63:
        raise CorruptLayer(f"{text[:40]!r} in an extended header is no number")
    return int(text)
