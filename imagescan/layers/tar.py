"""Inflated chunks enter, the members of the tar leave, one after the other, in one pass.

Follows POSIX ustar and pax, GNU tar's long names and sparse files. What Go's archive/tar, and so
every container runtime, ignores is ignored here too: global headers, sizes of links, names of
users. Anything that it would refuse is ``CorruptLayer``, and so is anything but zeros after the
end: a damaged tar never yields a short list. (Python's tarfile ends silently at a bad header.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from imagescan.dataclasses import dataclass, replace
from imagescan.errors import CorruptLayer, LimitExceeded
from imagescan.layers.body import LARGE_FILE_BYTES, START_BYTES, Rope, SparseBody
from imagescan.layers.header import (
    BLOCK_BYTES,
    ZERO_BLOCK,
    Header,
    decode_header,
    number,
    until_nul,
)
from imagescan.layers.members import Member, WantedFile
from imagescan.layers.pax import (
    MAXIMUM_EXTENDED_HEADER_BYTES,
    MAXIMUM_SPARSE_SEGMENTS,
    NOTHING_OF_USE,
    ExtendedHeader,
    SparseMap,
    SparseMapReader,
    check_records,
    check_sparse_map,
    parse_extended_header,
    parse_old_sparse,
)
from imagescan.layers.plain import PlainMembers
from imagescan.layers.values import HEAD_BYTES, Body, EntryKind

_FILE = EntryKind.FILE  # looked up once
_HARD_LINK = ord("1")
_OLD_FILE = 0
_OLD_SPARSE = ord("S")
_PLAIN_FILES = frozenset(b"07")
_EXTENDED, _GLOBAL, _LONG_NAME, _LONG_LINK = b"xgLK"
_MAXIMUM_HEADERS_IN_A_ROW = 16  # headers about headers before one entry; honest tars need 4

_KINDS: dict[int, EntryKind] = {
    _OLD_FILE: EntryKind.FILE,
    ord("0"): EntryKind.FILE,
    _HARD_LINK: EntryKind.FILE,
    ord("2"): EntryKind.SYMLINK,
    ord("3"): EntryKind.CHARACTER_DEVICE,
    ord("4"): EntryKind.BLOCK_DEVICE,
    ord("5"): EntryKind.DIRECTORY,
    ord("6"): EntryKind.FIFO,
    ord("7"): EntryKind.FILE,  # contiguous file
    _OLD_SPARSE: EntryKind.FILE,
}


@dataclass(slots=True)
class _Extensions:
    """What the headers before an entry's own header said."""

    header: ExtendedHeader | None = None
    long_name: bytes | None = None
    long_link: bytes | None = None


class TarReader:
    """Walks a tar. ``head`` and ``body`` are about the member that ``members`` yielded last.

    With ``plain`` its members are not yielded; those of them that are wanted are given to ``look_into``,
    which may call ``body``.
    """

    def __init__(
        self,
        chunks: Iterator[bytes],
        plain: PlainMembers | None = None,
        look_into: Callable[[WantedFile], None] = lambda _: None,
    ) -> None:
        self._chunks = chunks
        self._plain = plain
        self._look_into = look_into
        self._chunk = b""
        self._position = 0  # of the next byte in the chunk
        self._waiting = b""  # a chunk that follows, whose start was used already
        self._waiting_position = 0
        self._stored = 0  # bytes of the current body that were not read yet
        self._padding = 0  # bytes from the end of the body to the next block
        self._segments: SparseMap | None = None
        self._size = 0

    def members(self) -> Iterator[Member]:
        """Each member in the order of the tar; reads to the end of the chunks.

        Raises:
            CorruptLayer: damaged, cut short, or followed by something else than zeros.
            LimitExceeded: an extended header or sparse map larger than documented.
        """
        while True:
            self._pass_plain()
            block = self._take(BLOCK_BYTES, "a tar header", may_end=True)
            if not block or block == ZERO_BLOCK:
                break
            header = decode_header(block)
            type_flag = header[3]
            if type_flag in _KINDS and type_flag != _OLD_SPARSE:
                yield self._member(header)
            else:
                yield self._extended_member(header, block)
        self._check_end()

    def _pass_plain(self) -> None:
        """Go on to the next header that is not one of a plain member."""
        self._skip(self._stored + self._padding)
        self._stored = self._padding = 0
        while self._plain is not None:
            following, wanted = self._plain.read(self._chunk, self._position)
            if wanted is not None:
                self._position, self._stored, self._segments = following, wanted.size, None
                self._look_into(wanted)
                following = self._position + self._stored + -wanted.size % BLOCK_BYTES
                self._stored = 0
            elif following <= len(self._chunk):
                self._position = following
                return
            self._skip(following - self._position)

    def _member(self, header: Header) -> Member:
        """The member of a header that stands for itself."""
        name, attributes, size, type_flag, link = header
        kind = _KINDS[type_flag]
        is_hard_link = type_flag == _HARD_LINK
        if type_flag == _OLD_FILE and name.endswith(b"/"):
            kind = EntryKind.DIRECTORY  # how tars looked before there was a type for directories
        if kind is not _FILE or is_hard_link:
            size = 0
        self._stored = size
        self._padding = -size % BLOCK_BYTES
        self._segments = None
        return Member(name, kind, attributes, size, link, is_hard_link)

    def head(self) -> bytes:
        """The first ``HEAD_BYTES`` bytes of a regular file without holes, or all if it has fewer."""
        end = self._position + min(self._stored, HEAD_BYTES)
        if end > len(self._chunk):
            self._fill(end - self._position, "a file")
            end = self._position + min(self._stored, HEAD_BYTES)
        return self._chunk[self._position : end]

    def body(self, parts: Callable[[Body], tuple[range, ...] | None] | None = None) -> Body:
        """The content of the member, which must be a regular file; may be called once.

        ``parts`` is asked which ranges of a large file without holes to keep, and given its start.

        Raises:
            FileTooLarge: larger than may be held; the walk can go on.
            CorruptLayer: the layer ends within it.
        """
        rope = Rope()
        undecided = parts if self._segments is None and self._stored > LARGE_FILE_BYTES else None
        while self._stored:
            if undecided is not None and rope.size >= START_BYTES:
                ranges = undecided(rope)
                if ranges is not None:
                    rope.keep(ranges)
                undecided = None
            piece = memoryview(self._chunk)[self._position : self._position + self._stored]
            if piece:
                self._position += len(piece)
                self._stored -= len(piece)
                rope.append(piece)
            elif not self._advance():
                raise _ends_within("a file")
        return rope if self._segments is None else SparseBody(rope, self._segments, self._size)

    def _extended_member(self, header: Header, block: bytes) -> Member:
        """The member behind headers that speak about the next one (x, g, L, K), or an S member."""
        extensions = _Extensions()
        for _ in range(_MAXIMUM_HEADERS_IN_A_ROW):
            size, type_flag = header[2:4]
            if type_flag in _KINDS:
                return self._apply(extensions, header, block)
            if type_flag not in (_EXTENDED, _GLOBAL, _LONG_NAME, _LONG_LINK):
                raise CorruptLayer(f"a tar entry of unknown type {bytes((type_flag,))!r}")
            self._read_extension(extensions, size, type_flag)
            block = self._take(BLOCK_BYTES, "a tar header")
            if block == ZERO_BLOCK:
                raise CorruptLayer("the tar ends after an extended header")
            header = decode_header(block)
        raise CorruptLayer(f"more than {_MAXIMUM_HEADERS_IN_A_ROW} extended headers before one entry")

    def _read_extension(self, extensions: _Extensions, size: int, type_flag: int) -> None:
        if size > MAXIMUM_EXTENDED_HEADER_BYTES:
            raise LimitExceeded(f"an extended tar header of {size} bytes")
        data = self._take(size, "an extended header")
        self._skip(-size % BLOCK_BYTES)
        if type_flag == _EXTENDED:
            extensions.header = parse_extended_header(data)
        elif type_flag == _GLOBAL:
            check_records(data)
        elif type_flag == _LONG_NAME:
            extensions.long_name = until_nul(data)
        else:
            extensions.long_link = until_nul(data)

    def _apply(self, extensions: _Extensions, header: Header, block: bytes) -> Member:
        """Put together what an entry's own header and those before it say (archive/tar Next)."""
        pax = extensions.header or NOTHING_OF_USE
        has_long = extensions.long_name is not None or extensions.long_link is not None
        if pax is NOTHING_OF_USE and not has_long and header[3] != _OLD_SPARSE:
            return self._member(header)
        name, (mode, uid, gid), size, type_flag, link = header
        member = self._member(
            (
                extensions.long_name or pax.path or name,
                (mode, uid if pax.uid is None else pax.uid, gid if pax.gid is None else pax.gid),
                size if pax.size is None else pax.size,
                type_flag,
                extensions.long_link or pax.link or link,
            )
        )
        is_file = member.kind is EntryKind.FILE and not member.is_hard_link
        segments: SparseMap
        real_size: int | None
        if type_flag == _OLD_SPARSE:
            segments, real_size = self._old_sparse_map(block)
        elif is_file and pax.sparse_in_body:
            segments, real_size = self._sparse_map_in_body(), pax.real_size
        elif is_file and pax.sparse is not None:
            segments, real_size = pax.sparse, pax.real_size
        else:
            return replace(member, capability=pax.capability)
        if real_size is None:
            raise CorruptLayer("a sparse file without a size")
        check_sparse_map(segments, self._stored, real_size)
        self._segments, self._size = segments, real_size
        return replace(member, capability=pax.capability, size=real_size, is_sparse=True)

    def _old_sparse_map(self, block: bytes) -> tuple[SparseMap, int]:
        """The map of an ``S`` entry: four segments in its header, 21 in each block that follows."""
        segments, more = parse_old_sparse(block, 386, 4)
        while more:
            further, more = parse_old_sparse(self._take(BLOCK_BYTES, "a sparse map"), 0, 21)
            segments += further
            if len(segments) > MAXIMUM_SPARSE_SEGMENTS or not further:
                raise LimitExceeded(f"a sparse file of more than {MAXIMUM_SPARSE_SEGMENTS} segments")
        return tuple(segments), number(block[483:495])

    def _sparse_map_in_body(self) -> SparseMap:
        reader = SparseMapReader()
        while self._stored >= BLOCK_BYTES:
            segments = reader.feed(self._take(BLOCK_BYTES, "a sparse map"))
            self._stored -= BLOCK_BYTES
            if segments is not None:
                return segments
        raise CorruptLayer("a sparse map that is longer than its file")

    def _take(self, length: int, what: str, *, may_end: bool = False) -> bytes:
        """The next bytes as one piece; nothing if ``may_end`` and the chunks end exactly here."""
        if self._position + length > len(self._chunk):
            self._fill(length, what, may_end=may_end)
        taken = self._chunk[self._position : self._position + length]
        self._position += len(taken)
        return taken

    def _fill(self, length: int, what: str, *, may_end: bool = False) -> None:
        """Make ``length`` bytes available in one chunk. Of those that follow only as much is copied as
        that takes: the rest of the last one waits."""
        found = bytearray(self._chunk[self._position :])
        while len(found) < length:
            if not self._advance():
                if may_end and not found:
                    break
                raise _ends_within(what)
            if not found and len(self._chunk) - self._position >= length:
                return
            piece = self._chunk[self._position : self._position + length - len(found)]
            self._position += len(piece)
            found += piece
        self._waiting, self._waiting_position = self._chunk, self._position
        self._chunk, self._position = bytes(found), 0

    def _advance(self) -> bool:
        """Go on to the chunk that waits, or else to the next one; false when there is none."""
        if self._waiting:
            self._chunk, self._position = self._waiting, self._waiting_position
            self._waiting = b""
            return True
        self._chunk, self._position = next(self._chunks, b""), 0
        return bool(self._chunk)

    def _skip(self, length: int) -> None:
        end = self._position + length
        while end > len(self._chunk):
            beyond = end - len(self._chunk)
            if not self._advance():
                raise _ends_within("a file")
            end = self._position + beyond
        self._position = end

    def _check_end(self) -> None:
        """Behind the first zero block: zeros to the end of the layer, however many."""
        more = True
        while more:
            rest = self._chunk[self._position :]
            if rest.count(0) != len(rest):
                raise CorruptLayer("data follows the end of the tar")
            more = self._advance()


def _ends_within(what: str) -> CorruptLayer:
    return CorruptLayer(f"the layer ends within {what}", advice="fetch the image again")
