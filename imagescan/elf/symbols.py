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
from collections.abc import Container, Iterator, Sequence
from enum import IntEnum
from itertools import accumulate, compress
from operator import itemgetter

from imagescan.dataclasses import NamedTuple, dataclass, field
from imagescan.layers.values import ColumnStore, Place

_GLOBAL, _WEAK, _UNIQUE = 1, 2, 10
_BINDINGS = frozenset((_GLOBAL, _WEAK, _UNIQUE))
_OBJECT_TYPES = frozenset((0, 1, 2, 5, 6, 10))  # NOTYPE OBJECT FUNC COMMON TLS GNU_IFUNC
_TLS, _IFUNC = 6, 10
_UNDEFINED, _ABSOLUTE = 0, 0xFFF1
_LOCAL_VISIBILITIES = frozenset((1, 2))  # STV_INTERNAL, STV_HIDDEN
_HIDDEN_VERSION = 0x8000
_VERSION_NUMBER = 0x7FFF
FIRST_NAMED_VERSION = 2  # 0 is local, 1 the base: no version

_BASE_VERSION = 1

_UNDEFINED_FACT = 0xFFFF  # and below: st_shndx is 0


def _plain_facts(*bindings: int) -> frozenset[int]:
    """st_info | st_other << 8 of symbols that other files can define: of default or protected visibility."""
    visibilities = [other for other in range(256) if other & 3 not in _LOCAL_VISIBILITIES]
    return frozenset(
        binding << 4 | kind | other << 8
        for binding in bindings
        for kind in range(16)
        for other in visibilities
    )


_STRONG, _STRONG_OR_WEAK = _plain_facts(_GLOBAL), _plain_facts(_GLOBAL, _WEAK)

IMMEDIATE, LAZY, COPIED = 1, 2, 4  # what asks for a symbol, see ``relocated_symbols``


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
    """Symbols that other files can define, as parallel columns: name, version number
    (``SymbolTable.version_labels``), and the symbol's index, ascending. Whether a relocation uses them
    is not asked (``relocated_symbols``)."""

    names: list[bytes]
    numbers: Sequence[int]
    indices: Sequence[int]


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
    0. ``relocated`` has such words too: how many relocations are immediate and how many lazy, then the
    symbol of each of these (0: of none), then the symbols that COPY relocations name.
    """

    symbols: bytes
    strings: bytes
    versions: bytes
    hash_table: bytes
    version_names: bytes
    relocated: bytes


_LARGE = 1 << 20  # bytes of a file's columns; larger ones are read one by one, to be in memory once only
_LENGTHS = struct.Struct(f"<{len(SymbolColumns._fields)}I")
_RELOCATED_LENGTHS = struct.Struct("<2I")


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
        if self.length > _LARGE:
            return SymbolColumns(*map(self.store.read, self._places()))
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
        return self.store.read(self._places()[SymbolColumns._fields.index("hash_table")])

    def _places(self) -> list[Place]:
        """Where each column is."""
        lengths = _LENGTHS.unpack(self.store.read(Place(self.offset, _LENGTHS.size)))
        starts = accumulate(lengths, initial=self.offset + _LENGTHS.size)
        return list(map(Place, starts, lengths))

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
                names.get(number, b"") if number >= FIRST_NAMED_VERSION else b"",
                number,
                version >= _HIDDEN_VERSION,
                kind == _IFUNC,
                other & 3 in _LOCAL_VISIBILITIES,
            )

    def references(self, *, weak: bool = False) -> list[SymbolReference]:
        """Every strong undefined symbol that a relocation uses, on request also the weak ones, which
        resolve to 0 silently."""
        columns = self.columns()
        labels = self.version_labels(columns)
        used = relocated_symbols(columns)
        return [
            symbol_reference(name, labels.get(number), used[index])
            for name, number, index in zip(*self.undefined(columns, weak=weak), strict=True)
            if index in used
        ]

    def undefined(self, columns: SymbolColumns, *, weak: bool = False) -> UndefinedSymbols:
        """Every strong undefined symbol, and those that are copied; weak ones on request."""
        rows, step = self.symbol_words(columns), self.words_in_row
        indices = self._undefined_indices(rows, columns, _STRONG_OR_WEAK if weak else _STRONG)
        strings, find = columns.strings, columns.strings.find
        names = [strings[start : find(b"\0", start)] for start in _at(rows[::step], indices)]
        if not columns.versions:
            return UndefinedSymbols(names, [_BASE_VERSION] * len(names), indices)
        numbers = self.version_column(columns)
        if indices and indices[-1] >= len(numbers):
            numbers.extend([_BASE_VERSION] * (indices[-1] + 1 - len(numbers)))
        used = _at(numbers, indices)
        if max(used, default=0) > _VERSION_NUMBER:
            used = [number & _VERSION_NUMBER for number in used]
        return UndefinedSymbols(names, used, indices)

    def version_labels(self, columns: SymbolColumns) -> dict[int, VersionName]:
        """What the version numbers of references stand for; those without a name are not in it."""
        return {one.number: one for one in version_names(columns) if one.number >= FIRST_NAMED_VERSION}

    def _undefined_indices(
        self, rows: array[int], columns: SymbolColumns, plain: frozenset[int]
    ) -> Sequence[int]:
        """Symbols that are undefined or copied, and among the plain ones."""
        facts = rows[1 if self.elf_class == 64 else 3 :: self.words_in_row]
        end = first = self.first_hashed
        # As linkers do it: what the hash table holds is defined.
        if first >= len(facts) or min(facts[first:]) <= _UNDEFINED_FACT:
            end = len(facts)
        indices = list(compress(range(end), map(plain.__contains__, facts[:end])))
        copied = [
            index
            for index in _copied(columns)
            if index < len(facts) and facts[index] & _UNDEFINED_FACT in plain
        ]
        return sorted({*indices, *copied}) if copied else indices

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


def symbol_reference(name: bytes, label: VersionName | None, flags: int) -> SymbolReference:
    """One row of ``UndefinedSymbols`` as a value; ``label`` is what its version number stands for."""
    lazy, copied = not flags & IMMEDIATE, bool(flags & COPIED)
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


def relocated_symbols(columns: SymbolColumns) -> dict[int, int]:
    """What asks for each symbol that a relocation uses: ``IMMEDIATE`` or ``LAZY`` relocations (the first
    where both do), and if immediate perhaps also COPY (``COPIED``). Some may be beyond the table."""
    numbers = words(columns.relocated)
    lazy, end = 2 + numbers[0], 2 + numbers[0] + numbers[1]
    asked = dict.fromkeys(numbers[lazy:end], LAZY)
    asked |= dict.fromkeys(numbers[2:lazy], IMMEDIATE)
    asked.pop(0, None)
    return asked | dict.fromkeys(numbers[end:], IMMEDIATE | COPIED)


def _copied(columns: SymbolColumns) -> set[int]:
    """The symbols that a COPY relocation uses: of nearly every file none."""
    return set(words(columns.relocated[4 * (2 + sum(_RELOCATED_LENGTHS.unpack_from(columns.relocated))) :]))


def word_column(numbers: array[int]) -> bytes:
    """Numbers of 4 bytes as a little-endian column."""
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()


def version_names(columns: SymbolColumns) -> Iterator[VersionName]:
    """What each version index stands for, ascending."""
    return map(VersionName._make, version_rows(columns))


def version_rows(
    columns: SymbolColumns, among: Container[int] | None = None
) -> Iterator[tuple[int, bytes, str, bool]]:
    """``version_names`` as plain tuples; of some indices only, if they are given."""
    numbers = words(columns.version_names)
    strings = columns.strings
    for key, start, file in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True):
        number = key & 0xFFFF
        if among is None or number in among:
            library = _string(strings, file - 1).decode("utf-8", "surrogateescape") if file else ""
            yield number, _string(strings, start), library, key > 0xFFFF


def _string(strings: bytes, offset: int) -> bytes:
    end = strings.find(b"\0", offset)
    return strings[offset : end if end >= 0 else len(strings)]
