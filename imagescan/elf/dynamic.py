"""The dynamic section: tags, strings, needed libraries and version tables.

Enters an ``ElfHeader`` and its ``Body``; leaves ``DynamicSection``. Follows the gABI chapter
"Dynamic Section" and the GNU symbol versioning supplement. Where a tag occurs twice the last
one counts, as in glibc's ``elf_get_dynamic_info`` (elf/get-dynamic-info.h); needed, filter and
auxiliary entries keep every occurrence in order.
"""

from __future__ import annotations

import struct
from array import array
from sys import intern

from imagescan.dataclasses import dataclass
from imagescan.elf.facts import VersionNeed, VersionRequirement
from imagescan.elf.header import PT_DYNAMIC, ElfHeader
from imagescan.errors import MalformedBinary
from imagescan.layers.values import Body

MAXIMUM_DYNAMIC_ENTRIES = 65_536
MAXIMUM_STRING_TABLE = 256 << 20  # bytes; the largest seen is 20 MiB
MAXIMUM_VERSION_ENTRIES = 65_536
MAXIMUM_NAME = 32 << 10  # bytes without a terminator in the string table; run paths of Nix have 10 KiB
MAXIMUM_NAMES = 16 << 20  # characters of all needed, filter and auxiliary names of one file

DT_NULL, DT_NEEDED, DT_PLTRELSZ, DT_HASH, DT_STRTAB, DT_SYMTAB, DT_RELA = 0, 1, 2, 4, 5, 6, 7
DT_RELASZ, DT_STRSZ, DT_SYMENT, DT_SONAME, DT_RPATH, DT_SYMBOLIC = 8, 10, 11, 14, 15, 16
DT_REL, DT_RELSZ, DT_PLTREL, DT_JMPREL, DT_BIND_NOW = 17, 18, 20, 23, 24
DT_RUNPATH, DT_FLAGS, DT_RELR = 29, 30, 36
DT_MIPS_LOCAL_GOTNO, DT_MIPS_SYMTABNO, DT_MIPS_GOTSYM = 0x7000000A, 0x70000011, 0x70000013
DT_GNU_HASH, DT_VERSYM, DT_RELACOUNT, DT_RELCOUNT, DT_FLAGS_1 = (
    0x6FFFFEF5, 0x6FFFFFF0, 0x6FFFFFF9, 0x6FFFFFFA, 0x6FFFFFFB,
)  # fmt: skip
DT_VERDEF, DT_VERDEFNUM, DT_VERNEED, DT_VERNEEDNUM = 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF
DT_DEPAUDIT, DT_AUDIT, DT_AUXILIARY, DT_FILTER = 0x6FFFFEFB, 0x6FFFFEFC, 0x7FFFFFFD, 0x7FFFFFFF

_REPEATED = frozenset((DT_NEEDED, DT_AUXILIARY, DT_FILTER))
_WEAK = 2  # VER_FLG_WEAK
_INDEX = 0x7FFF  # of vna_other; the bit above tells that the version is hidden
PIECE_BYTES = 4096  # read at once of tables whose length no tag says

# What is read of a Verneed (vn_cnt, vn_file, vn_aux, vn_next), Vernaux (vna_flags, vna_other, vna_name,
# vna_next), Verdef (vd_ndx, vd_cnt, vd_aux, vd_next) and Verdaux (vda_name), in each byte order.
_LAYOUTS = {
    order: tuple(struct.Struct(order + layout) for layout in ("2xHIII", "4xHHII", "4xHH4xII", "I4x"))
    for order in "<>"
}

_NEED_BYTES = 16  # of a Verneed, and of a Vernaux
_MAXIMUM_SHARED = 4096
_STRONG: dict[bytes, VersionRequirement] = {}  # by name, for the life of the process

# By version index: the three words that ``SymbolColumns.version_names`` has of it.
_NamedVersions = dict[int, tuple[int, int, int]]


@dataclass(slots=True)
class DynamicSection:
    """The dynamic section of one file, strings as text (UTF-8 with surrogateescape).

    ``tags`` maps each tag to its last value; ``strings`` is the raw string table; ``version_names``
    the column of that name of ``SymbolColumns``, in this machine's byte order.
    """

    tags: dict[int, int]
    strings: bytes
    needed: tuple[str, ...]
    filters: tuple[str, ...]
    auxiliaries: tuple[str, ...]
    version_needs: tuple[VersionNeed, ...]
    version_definitions: tuple[str, ...]
    version_names: array[int]

    def string(self, tag: int) -> str | None:
        """The string that a tag refers to, or None when the tag is absent."""
        return string_at(self.strings, self.tags[tag]) if tag in self.tags else None


def string_at(strings: bytes, offset: int) -> str:
    """The NUL-terminated string at an offset; empty when the offset lies outside."""
    end = strings.find(0, offset)
    return strings[offset : end if end >= 0 else None].decode("utf-8", "surrogateescape")


def read_dynamic(header: ElfHeader, body: Body) -> DynamicSection | None:
    """Read PT_DYNAMIC and what its tags point to, or None when there is none with content.

    Raises:
        MalformedBinary: the string table or version tables lie outside the file or loop.
    """
    segment = header.first(PT_DYNAMIC)
    if segment is None or segment.file_size == 0:
        return None
    kinds, values = _read_entries(header, body, segment.offset, segment.file_size)
    tags = dict(zip(kinds, values, strict=False))
    strings = _read_strings(header, body, tags)
    needs, needed_versions = _read_version_needs(header, body, tags, strings)
    definitions, defined_versions = _read_version_definitions(header, body, tags, strings)

    def names(tag: int) -> tuple[str, ...]:
        if tag not in tags:
            return ()
        return _names(strings, [value for kind, value in zip(kinds, values, strict=False) if kind == tag])

    return DynamicSection(
        tags,
        strings,
        names(DT_NEEDED),
        names(DT_FILTER),
        names(DT_AUXILIARY),
        needs,
        definitions,
        _name_column(defined_versions | needed_versions),
    )


def _read_entries(header: ElfHeader, body: Body, offset: int, size: int) -> tuple[list[int], list[int]]:
    """The tags before DT_NULL, and as many values or more."""
    entry_size = 16 if header.encoding.elf_class == 64 else 8
    column = header.encoding.addresses(body.read(offset, min(size, entry_size * MAXIMUM_DYNAMIC_ENTRIES)))
    kinds, values = column[::2].tolist(), column[1::2].tolist()
    if DT_NULL in kinds:
        del kinds[kinds.index(DT_NULL) :]
    return kinds, values


def _names(strings: bytes, offsets: list[int] | None) -> tuple[str, ...]:
    """The names at these offsets.

    Raises:
        MalformedBinary: together they are longer than ``MAXIMUM_NAMES``.
    """
    if not offsets:
        return ()
    names = []
    total = 0
    for offset in offsets:
        names.append(intern(string_at(strings, offset)))
        total += len(names[-1])
        if total > MAXIMUM_NAMES:
            raise MalformedBinary("the names of needed libraries are longer than any real ones")
    return tuple(names)


def _read_strings(header: ElfHeader, body: Body, tags: dict[int, int]) -> bytes:
    if DT_STRTAB not in tags:
        return b""
    offset = header.file_offset(tags[DT_STRTAB])
    size = tags.get(DT_STRSZ, 0)
    if offset is None or size > MAXIMUM_STRING_TABLE:
        raise MalformedBinary("dynamic string table lies outside the file")
    strings = body.read(offset, size)
    # Names may share their tails, so that one long string would count for each of its bytes.
    for place in range(0, len(strings) - MAXIMUM_NAME, MAXIMUM_NAME):
        if strings.find(b"\0", place, place + MAXIMUM_NAME) < 0:
            raise MalformedBinary("a name in the dynamic string table is longer than any real one")
    return strings


def _read_version_needs(
    header: ElfHeader, body: Body, tags: dict[int, int], strings: bytes
) -> tuple[tuple[VersionNeed, ...], _NamedVersions]:
    needs: list[VersionNeed] = []
    named: _NamedVersions = {}
    offset = header.file_offset(tags[DT_VERNEED]) if DT_VERNEED in tags else None
    need_row, version_row = (one.unpack_from for one in _LAYOUTS[header.encoding.order][:2])
    start, last, piece = 0, -1, b""  # of the rows in the piece
    find, strong, beyond = strings.find, _STRONG.get, len(strings)
    budget, characters = MAXIMUM_VERSION_ENTRIES, MAXIMUM_NAMES
    while offset is not None:
        if not start <= offset <= last:
            start, piece = offset, _read_piece(body, offset, _NEED_BYTES)
            last = start + len(piece) - _NEED_BYTES
        count, file, auxiliary, following = need_row(piece, offset - start)
        library = file + 1 if file < beyond else beyond + 1
        versions: list[VersionRequirement] = []
        place = offset + auxiliary
        for _ in range(count):
            if not start <= place <= last:
                start, piece = place, _read_piece(body, place, _NEED_BYTES)
                last = start + len(piece) - _NEED_BYTES
            flags, other, at, step = version_row(piece, place - start)
            end = find(0, at)
            if end < 0:
                at, end = min(at, beyond), beyond
            name = strings[at:end]
            is_weak = flags & _WEAK
            versions.append((None if is_weak else strong(name)) or _requirement(name, bool(is_weak)))
            named[other & _INDEX] = (other if other <= _INDEX else other & _INDEX | 1 << 16, at, library)
            characters -= len(name)
            if not step or characters < 0:
                break
            place += step
        needs.append(VersionNeed(intern(string_at(strings, file)), tuple(versions)))
        budget, characters = budget - 1 - len(versions), characters - len(needs[-1].file)
        if budget <= 0 or characters < 0:
            raise MalformedBinary("version needs do not end")
        offset = offset + following if following else None
    return tuple(needs), named


def _read_version_definitions(
    header: ElfHeader, body: Body, tags: dict[int, int], strings: bytes
) -> tuple[tuple[str, ...], _NamedVersions]:
    definitions: list[str] = []
    named: _NamedVersions = {}
    offset = header.file_offset(tags[DT_VERDEF]) if DT_VERDEF in tags else None
    layout, name_layout = _LAYOUTS[header.encoding.order][2:]
    start, piece = 0, b""
    characters = 0
    while offset is not None:
        if not start <= offset <= start + len(piece) - layout.size:
            start, piece = offset, _read_piece(body, offset, layout.size)
        index, count, auxiliary, following = layout.unpack_from(piece, offset - start)
        if count:
            place = offset + auxiliary
            if not start <= place <= start + len(piece) - name_layout.size:
                start, piece = place, _read_piece(body, place, name_layout.size)
            (name,) = name_layout.unpack_from(piece, place - start)
            definitions.append(intern(string_at(strings, name)))
            named[index & _INDEX] = (index & _INDEX, min(name, len(strings)), 0)
        characters += len(definitions[-1]) if definitions else 0
        if len(definitions) > MAXIMUM_VERSION_ENTRIES or characters > MAXIMUM_NAMES:
            raise MalformedBinary("version definitions do not end")
        offset = offset + following if following else None
    return tuple(definitions), named


def _read_piece(body: Body, offset: int, least: int) -> bytes:
    """The beginning of a table, or of the rest of one, whose length no tag says.

    Raises:
        MalformedBinary: the file ends within its first ``least`` bytes.
    """
    piece = body.read(offset, PIECE_BYTES)
    if len(piece) < least:
        raise MalformedBinary("version table lies outside the file")
    return piece


def _requirement(name: bytes, weak: bool) -> VersionRequirement:
    """A new requirement; strong ones, which most files repeat, are shared from now on."""
    found = VersionRequirement(intern(name.decode("utf-8", "surrogateescape")), weak)
    if not weak and len(_STRONG) < _MAXIMUM_SHARED:
        _STRONG[name] = found
    return found


def _name_column(named: _NamedVersions) -> array[int]:
    """What the version indices stand for, ascending."""
    words: list[int] = []
    for index in sorted(named):
        words += named[index]
    return array("I", words)
