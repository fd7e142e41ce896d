"""Dynamic symbols of one file, kept as raw columns off the heap until binding asks for them.

Enters the dynamic section's tables (``SymbolColumns``); leaves ``SymbolTable``, a handle that reads
them back and decodes definitions and references. Follows the gABI chapters "Symbol Table", "Hash
Table" and "Relocation" and the GNU symbol versioning supplement. The number of symbols is taken from
DT_HASH or DT_GNU_HASH and from the relocations, because loaders know no other count either.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from enum import IntEnum
from operator import itemgetter
from typing import NamedTuple

from imagescan.dataclasses import dataclass, field
from imagescan.layers.values import ColumnStore, Place

_GLOBAL, _WEAK, _UNIQUE = 1, 2, 10
_BINDINGS = frozenset((_GLOBAL, _WEAK, _UNIQUE))
_OBJECT_TYPES = frozenset((0, 1, 2, 5, 6, 10))  # NOTYPE OBJECT FUNC COMMON TLS GNU_IFUNC
_TLS, _IFUNC = 6, 10
_UNDEFINED, _ABSOLUTE = 0, 0xFFF1
_LOCAL_VISIBILITIES = frozenset((1, 2))  # STV_INTERNAL, STV_HIDDEN
_HIDDEN_VERSION = 0x8000
_VERSION_NUMBER = 0x7FFF
_FIRST_NAMED_VERSION = 2  # 0 is local, 1 the base: no version

_BASE_VERSION = 1

# Section, visibility and binding of an undefined symbol that other files can define: of default or
# protected visibility.
_PLAIN_MASK = 0xFFFF03F0
_UNDEFINED_FACT = 0xFFFF  # and below: st_shndx is 0
_PLAIN = frozenset((_GLOBAL << 4, _GLOBAL << 4 | 0x300))
_PLAIN_OR_WEAK = _PLAIN | {_WEAK << 4, _WEAK << 4 | 0x300}

# One word of the column of relocated symbols: the symbol's index << 3, and what asks for it.
IMMEDIATE, LAZY, COPIED = 1, 2, 4
RELOCATED_SHIFT = 3


class SymbolReference(NamedTuple):
    """A strong undefined symbol that a relocation asks for.

    ``name`` and ``version`` are the file's bytes; ``version`` is None for an unversioned
    reference; ``library`` the file that the version need names; ``version_hidden`` the reference's
    own hidden bit (dl-lookup.c check_match); ``lazy`` that only JUMP_SLOT relocations ask for it;
    ``copied`` that a COPY relocation does, for which the file's own definition does not count.
    """

    name: bytes
    version: bytes | None
    library: str
    version_hidden: bool
    lazy: bool
    copied: bool = False


class SymbolDefinition(NamedTuple):
    """A global symbol that a lookup in this file can find. ``version`` is empty for the base or no
    version, ``version_index`` its index in the versym table (1 where there is no table).
    ``visibility_hidden`` (STV_HIDDEN, STV_INTERNAL) keeps it from glibc, but not from musl."""

    name: bytes
    version: bytes
    version_index: int
    version_hidden: bool
    is_ifunc: bool
    visibility_hidden: bool


class UndefinedSymbols(NamedTuple):
    """References as parallel lists: name, version number (``SymbolTable.version_labels``), and the word
    of the column ``relocated``. Ascending by the symbol's index."""

    names: list[bytes]
    numbers: list[int]
    words: list[int]


class VersionName(NamedTuple):
    """What a version index stands for. ``file`` is empty for a version that the file itself defines,
    ``hidden`` the hidden bit of the Vernaux."""

    number: int
    name: bytes
    file: str
    hidden: bool


class HashKind(IntEnum):
    """Which hash table a file's look-ups go through."""

    NONE = 0  # none, or one that is cut short
    SYSTEM_V = 1  # DT_HASH, words of 4 bytes
    SYSTEM_V_WIDE = 2  # DT_HASH, words of 8 bytes (GNU ld for s390x)
    GNU = 3  # DT_GNU_HASH, which both loaders prefer


class SymbolColumns(NamedTuple):
    """The raw columns of one file, numbers in the file's byte order unless said otherwise.

    ``symbols`` is the Elf_Sym array, whole rows; ``strings`` the dynamic string table; ``versions``
    the Elf_Versym array (empty when the file has none). ``hash_table`` is the table of
    ``SymbolTable.hash_kind`` from its header on and whole: GNU (nbuckets, symoffset, bloom size,
    bloom shift, bloom words of the class's size, buckets, chains up to the last symbol) or System V
    (nbucket, nchain, buckets, chains). The lengths of its parts are checked, the indices in it are
    not: they come from the file.

    ``version_names`` has three little-endian words of 4 bytes for each version index, ascending:
    index | hidden << 16, offset of the name in ``strings``, 1 + offset of the needed file's name or
    0. ``relocated`` has one such word for each symbol that a relocation uses, ascending: index <<
    ``RELOCATED_SHIFT`` | ``IMMEDIATE`` | ``LAZY`` | ``COPIED``.
    """

    symbols: bytes
    strings: bytes
    versions: bytes
    hash_table: bytes
    version_names: bytes
    relocated: bytes


_LENGTHS = struct.Struct(f"<{len(SymbolColumns._fields)}I")


@dataclass(frozen=True, slots=True)
class SymbolTable:
    """A handle on the columns of one file: some 100 bytes of memory.

    ``order`` is the struct prefix of the file's byte order. ``first_hashed`` is the first symbol
    that the hash table holds: earlier ones are never found. ``has_versions`` tells whether the file
    has a versym table (glibc's ``l_versyms``), ``relative_ifunc`` whether it has IRELATIVE
    relocations, which musl refuses. ``static_tls`` is the first variable whose thread-local storage
    must exist at start-up (initial-exec), "" if none of them has a name, None where there are none.
    ``length`` bytes at ``offset`` of ``store`` are the columns.
    """

    elf_class: int
    order: str
    first_hashed: int
    hash_kind: HashKind
    has_versions: bool
    relative_ifunc: bool
    static_tls: str | None
    offset: int
    length: int
    store: ColumnStore = field(compare=False, repr=False)

    def columns(self) -> SymbolColumns:
        """The columns, read from the store each time: keep them while they are needed.

        Raises:
            LayerError: the store cannot be read.
        """
        packed = self.store.read(Place(self.offset, self.length))
        columns = []
        start = _LENGTHS.size
        for length in _LENGTHS.unpack_from(packed):
            columns.append(packed[start : start + length])
            start += length
        return SymbolColumns(*columns)

    def hash_table(self) -> bytes:
        """The column ``hash_table`` alone.

        Raises:
            LayerError: the store cannot be read.
        """
        lengths = _LENGTHS.unpack(self.store.read(Place(self.offset, _LENGTHS.size)))
        place = SymbolColumns._fields.index("hash_table")
        return self.store.read(Place(self.offset + _LENGTHS.size + sum(lengths[:place]), lengths[place]))

    def definitions(self) -> Iterator[SymbolDefinition]:
        """Every symbol that a lookup in this file could match (dl-lookup.c check_match, the tests
        that do not depend on the reference)."""
        columns = self.columns()
        names = {one.number: one.name for one in version_names(columns) if not one.file}
        versions = self.version_column(columns)
        strings, find = columns.strings, columns.strings.find
        first = max(self.first_hashed, 1)
        for index, (name, info, other, section, value) in enumerate(self._rows(columns, first), first):
            kind = info & 15
            if section == _UNDEFINED or info >> 4 not in _BINDINGS:
                continue
            if kind not in _OBJECT_TYPES or (value == 0 and kind != _TLS and section != _ABSOLUTE):
                continue
            version = versions[index] if index < len(versions) else 1
            number = version & 0x7FFF
            yield SymbolDefinition(
                strings[name : find(b"\0", name)],
                names.get(number, b"") if number >= _FIRST_NAMED_VERSION else b"",
                number,
                version >= _HIDDEN_VERSION,
                kind == _IFUNC,
                other & 3 in _LOCAL_VISIBILITIES,
            )

    def references(self, *, weak: bool = False) -> list[SymbolReference]:
        """Every strong undefined symbol that a relocation uses, on request also the weak ones, which
        resolve to 0 silently."""
        columns = self.columns()
        names, numbers, words = self.undefined(columns, weak=weak)
        labels = self.version_labels(columns)
        return list(map(symbol_reference, names, map(labels.get, numbers), words))

    def undefined(self, columns: SymbolColumns, *, weak: bool = False) -> UndefinedSymbols:
        """``references`` as parallel lists, without a value for each; weak ones on request."""
        rows = self.symbol_words(columns)
        indices, used = self._undefined_indices(rows, words(columns.relocated), weak=weak)
        strings, find = columns.strings, columns.strings.find
        starts = _at(rows[:: self.words_in_row], indices)
        numbers = self.version_column(columns)
        if indices and indices[-1] >= len(numbers):
            numbers.extend([_BASE_VERSION] * (indices[-1] + 1 - len(numbers)))
        return UndefinedSymbols(
            [strings[start : find(b"\0", start)] for start in starts],
            [number & _VERSION_NUMBER for number in _at(numbers, indices)],
            used,
        )

    def version_labels(self, columns: SymbolColumns) -> dict[int, VersionName]:
        """What the version numbers of references stand for; those without a name are not in it."""
        return {one.number: one for one in version_names(columns) if one.number >= _FIRST_NAMED_VERSION}

    def _undefined_indices(
        self, rows: array[int], relocated: array[int], *, weak: bool
    ) -> tuple[list[int], list[int]]:
        """Symbols that are undefined, or copied, and the words of ``relocated`` for them."""
        facts = rows[1 if self.elf_class == 64 else 3 :: self.words_in_row]
        count = len(facts)
        if relocated and relocated[-1] >> RELOCATED_SHIFT >= count:
            relocated = array("I", [word for word in relocated if word >> RELOCATED_SHIFT < count])
        if self.first_hashed < count and min(facts[self.first_hashed :]) > _UNDEFINED_FACT:
            # As linkers do it: what the hash table holds is defined, and only copies matter of it.
            end = bisect_left(relocated, self.first_hashed << RELOCATED_SHIFT)
            copies = [word for word in relocated[end:] if word & COPIED]
            relocated = relocated[:end] + array("I", copies)
        indices = [word >> RELOCATED_SHIFT for word in relocated]
        plain = _PLAIN_OR_WEAK if weak else _PLAIN
        copied = {word >> RELOCATED_SHIFT for word in relocated if word & COPIED}
        places = [
            place
            for place, fact in enumerate(_at(facts, indices))
            if fact & _PLAIN_MASK in plain
            or (indices[place] in copied and fact & _PLAIN_MASK & 0xFFFF in plain)
        ]
        return list(_at(indices, places)), list(_at(relocated, places))

    @property
    def words_in_row(self) -> int:
        """Words of 4 bytes in one Elf_Sym."""
        return 6 if self.elf_class == 64 else 4

    def symbol_words(self, columns: SymbolColumns) -> array[int]:
        """The Elf_Sym array as words of 4 bytes: st_name is the first of each row. The word of st_info,
        st_other and st_shndx (the second; the fourth with 32 bits) has them in its lowest byte, the
        next, and the upper half, whatever the byte order."""
        found = array("I", columns.symbols[: len(columns.symbols) & ~3])
        if (self.order == ">") is (sys.byteorder == "little"):
            found.byteswap()
        if self.order == ">":
            step = self.words_in_row
            first = 1 if self.elf_class == 64 else 3
            for place in range(first, len(found), step):
                word = found[place]
                found[place] = word >> 24 | (word >> 16 & 0xFF) << 8 | (word & 0xFFFF) << 16
        return found

    def version_column(self, columns: SymbolColumns) -> array[int]:
        """The version index of each symbol, hidden bit included; shorter where the file's is."""
        column = array("H", columns.versions[: len(columns.versions) & ~1])
        if (self.order == ">") is (sys.byteorder == "little"):
            column.byteswap()
        return column

    def _layout(self) -> tuple[int, str]:
        return (24, self.order + "IBBHQQ") if self.elf_class == 64 else (16, self.order + "IIIBBH")

    def _fields(self, row: tuple[int, ...]) -> tuple[int, int, int, int, int]:
        """(name, info, other, section, value) of an unpacked Elf_Sym."""
        if self.elf_class == 64:
            name, info, other, section, value, _size = row
        else:
            name, value, _size, info, other, section = row
        return name, info, other, section, value

    def _rows(self, columns: SymbolColumns, first: int) -> Iterator[tuple[int, int, int, int, int]]:
        size, layout = self._layout()
        rows = struct.iter_unpack(layout, memoryview(columns.symbols)[first * size :])
        return map(self._fields, rows)


def symbol_reference(name: bytes, label: VersionName | None, word: int) -> SymbolReference:
    """One row of ``UndefinedSymbols`` as a value; ``label`` is what its version number stands for."""
    lazy, copied = not word & IMMEDIATE, bool(word & COPIED)
    if label is None:
        return SymbolReference(name, None, "", False, lazy, copied)
    return SymbolReference(name, label.name or None, label.file, label.hidden, lazy, copied)


def pack_columns(columns: SymbolColumns) -> bytes:
    """The columns as one piece, as ``SymbolTable.columns`` reads them."""
    return b"".join((_LENGTHS.pack(*map(len, columns)), *columns))


def _at(column: Sequence[int], places: Sequence[int]) -> Sequence[int]:
    """The numbers at some places of a column."""
    if len(places) < 2:  # of which itemgetter makes no tuple
        return [column[place] for place in places]
    found: tuple[int, ...] = itemgetter(*places)(column)
    return found


def words(column: bytes) -> array[int]:
    """A column of little-endian words of 4 bytes as numbers."""
    found = array("I", column)
    if sys.byteorder == "big":
        found.byteswap()
    return found


def word_column(numbers: array[int]) -> bytes:
    """Numbers of 4 bytes as a little-endian column."""
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()


def version_names(columns: SymbolColumns) -> Iterator[VersionName]:
    """What each version index stands for, ascending."""
    numbers = words(columns.version_names)
    strings = columns.strings
    for key, name, file in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True):
        library = _string(strings, file - 1).decode("utf-8", "surrogateescape") if file else ""
        yield VersionName(key & 0xFFFF, _string(strings, name), library, bool(key >> 16))


def _string(strings: bytes, offset: int) -> bytes:
    end = strings.find(b"\0", offset)
    return strings[offset : end if end >= 0 else len(strings)]
