"""Look-ups of one name in one file's dynamic symbols, as a loader makes them.

A ``SymbolTable`` enters; whether it answers a reference leaves. Mirrors glibc ``do_lookup_x`` and
``check_match`` (elf/dl-lookup.c) and musl ``gnu_lookup``, ``gnu_lookup_filtered`` and ``find_sym``
(ldso/dynlink.c): DT_GNU_HASH is walked as it is in the file; files without one are few, and get an index
of all their names instead of DT_HASH's chains.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import compress

from imagescan.elf.symbols import HashKind, SymbolTable, version_rows
from imagescan.loader.gnu_hash import gnu_hash
from imagescan.loader.hash_table import HashTable

_TLS, _IFUNC, _ABSOLUTE = 6, 10, 0xFFF1
# st_info of symbols that a look-up may end at: GLOBAL WEAK GNU_UNIQUE, and any of NOTYPE OBJECT FUNC COMMON
# TLS GNU_IFUNC.
_DEFINABLE = frozenset(binding << 4 | kind for binding in (1, 2, 10) for kind in (0, 1, 2, 5, 6, 10))
_LOCAL_BITS, _LOCAL = 0x300, frozenset((0x100, 0x200))  # STV_INTERNAL, STV_HIDDEN of st_other
_HIDDEN_VERSION, _VERSION_NUMBER = 0x8000, 0x7FFF
_BASE_VERSION, _FIRST_NAMED_VERSION = 1, 2
_UNDEFINED_FACT = 0xFFFF  # and below: st_shndx is 0
_ZERO_SHIFT, _FACT_SHIFT = 16, 17  # above the 16 bits of a version index
HASHES_FOR_A_LOOK_UP = 8  # that are compared in the time that a look-up takes
_BYTES_FOR_A_HASH = 10  # of memory

# Any version: what an unversioned reference asks for, or any reference to a file without versions.
UNVERSIONED = None
Version = tuple[bytes, bool]
"""A version's name, and whether the reference is hidden: only one that is not may fall back to a base
definition (check_match)."""


class Names:
    """Many names with their hashes."""

    def __init__(self, hashes: Mapping[bytes, int]) -> None:
        self.hashes = hashes

    @cached_property
    def links(self) -> frozenset[int]:
        """The hashes as chains have them (``HashTable.among``)."""
        return frozenset([value | 1 for value in self.hashes.values()])


class VersionTests:
    """The tests of a look-up that depend on the reference, for definitions of one file. ``labels`` are its
    own versions, by index."""

    def __init__(self, labels: Mapping[int, bytes], *, has_versions: bool, is_musl: bool) -> None:
        self._labels, self._has_versions, self._is_musl = labels, has_versions, is_musl

    def normal(self, version: Version | None) -> Version | None:
        """Under which version answers are the same: musl knows none, nor does a file without."""
        return version if self._has_versions and not self._is_musl else UNVERSIONED

    def answers_sort(self, sort: int, version: Version | None) -> bool:
        """The tests of glibc's check_match that depend on the reference.

        Of a file without versions, and for an unversioned reference, any version will do that is not
        hidden; index 2 is the oldest and will always do. Version indices 0 and 1 are the base, usable
        unless hidden. musl looks at the hidden bit alone, not at visibility, and knows no indirect functions.
        """
        fact = sort >> _FACT_SHIFT
        is_hidden, number = bool(sort & _HIDDEN_VERSION), sort & _VERSION_NUMBER
        if self._is_musl:
            return not is_hidden and fact & 15 != _IFUNC
        if fact & _LOCAL_BITS in _LOCAL:
            return False
        if version is UNVERSIONED or not self._has_versions:
            return number <= _FIRST_NAMED_VERSION or not is_hidden
        if number <= _BASE_VERSION and is_hidden:
            return False
        wanted, reference_hidden = version
        label = self._labels.get(number, b"") if number >= _FIRST_NAMED_VERSION else b""
        return label == wanted or (not label and not reference_hidden)


class AnsweredNames:
    """Those of some names that a file answers, for any reference; ``anyway`` are answered whatever it
    defines."""

    def __init__(
        self,
        tests: VersionTests | None,
        by_sort: Mapping[int, Sequence[bytes]],
        anyway: Sequence[bytes] = (),
    ) -> None:
        self._tests, self._by_sort, self._anyway = tests, by_sort, anyway
        self._known: dict[Version | None, frozenset[bytes]] = {}

    @property
    def are_none(self) -> bool:
        """Whether no reference at all is answered."""
        return not self._by_sort and not self._anyway

    @property
    def names(self) -> set[bytes]:
        """The names that answer references of some version."""
        return {*self._anyway}.union(*self._by_sort.values())

    def of(self, version: Version | None) -> frozenset[bytes]:
        """The names that answer references of a version."""
        if self._tests is None:
            return frozenset(self._anyway)
        version = self._tests.normal(version)
        found = self._known.get(version)
        if found is None:
            answers = self._tests.answers_sort
            some = [names for sort, names in self._by_sort.items() if answers(sort, version)]
            found = self._known[version] = frozenset(self._anyway).union(*some)
        return found


def _is_definition(sort: int) -> bool:
    """The tests of check_match that do not depend on the reference."""
    fact = sort >> _FACT_SHIFT
    if fact & 0xFF not in _DEFINABLE or fact <= _UNDEFINED_FACT:
        return False
    return fact & 15 == _TLS or fact >> 16 == _ABSOLUTE or not sort >> _ZERO_SHIFT & 1


class DefinedSymbols:
    """The definitions of one file with all that look-ups in it take; holds its columns in memory.

    ``is_musl`` says whose look-ups they are.
    """

    def __init__(self, table: SymbolTable, *, is_musl: bool = False) -> None:
        self._table = table
        self._is_musl = is_musl
        self._hash_table = HashTable(table) if table.hash_kind is HashKind.GNU else None
        self._first_hashed = max(table.first_hashed, 1)

    def is_worth_comparing(self, names: int) -> bool:
        """Whether so many names are found sooner by comparing all hashes than by looking each of them up."""
        return self._hash_table is None or names * HASHES_FOR_A_LOOK_UP > len(self._hash_table)

    @property
    def size(self) -> int:
        """About how many bytes of memory this takes."""
        length = self._table.length if "_columns" in self.__dict__ else 0
        return length + _BYTES_FOR_A_HASH * len(self._hash_table or ())

    @property
    def names(self) -> frozenset[bytes]:
        """Every name that some look-up may end at, whoever makes it."""
        columns, first = self._columns, self._first_hashed
        strings, find, facts = columns.strings, columns.strings.find, {*columns.facts}
        defining = {fact for fact in facts if _is_definition(fact << _FACT_SHIFT)}
        defining_zero = {fact for fact in facts if _is_definition(fact << _FACT_SHIFT | 1 << _ZERO_SHIFT)}
        return frozenset(
            [
                strings[start : find(b"\0", start)]
                for start, fact, value in zip(
                    columns.starts[first:], columns.facts[first:], columns.values[first:], strict=False
                )
                if fact in (defining if value else defining_zero)
            ]
        )

    def among(self, names: Names) -> dict[int, list[bytes]]:
        """Those of many names that look-ups end at, by what tells whom they answer (``answers_sort``).
        It is the same as asking for each of them."""
        found: defaultdict[int, list[bytes]] = defaultdict(list)
        indices, hits = self._hits(names)
        for sort, name in zip(self._sorts(indices), hits, strict=True):
            found[sort].append(name)
        return {sort: some for sort, some in found.items() if _is_definition(sort)}

    def defines(self, name: bytes) -> bool:
        """Whether there is a definition, whoever may use it."""
        return any(map(self._is_definition, self._indices(name, gnu_hash(name))))

    def answers(self, name: bytes, value: int, version: Version | None) -> bool:
        """Whether a look-up of a name, whose hash is ``value``, ends at a definition for a reference."""
        sorts = map(self._sort, self._indices(name, value))
        return any(_is_definition(sort) and self.tests.answers_sort(sort, version) for sort in sorts)

    def _is_definition(self, index: int) -> bool:
        return _is_definition(self._sort(index))

    @cached_property
    def tests(self) -> VersionTests:
        """The tests that depend on the reference."""
        table = self._table
        labels = self._columns.labels if table.has_versions and not self._is_musl else {}
        return VersionTests(labels, has_versions=table.has_versions, is_musl=self._is_musl)

    @cached_property
    def _columns(self) -> _Columns:
        return _Columns(self._table)

    def _sort(self, index: int) -> int:
        return self._sorts((index,))[0]

    def _sorts(self, indices: Sequence[int]) -> list[int]:
        """What tells whom symbols answer: version index, whether the value is 0, and its facts."""
        if not indices:
            return []
        columns = self._columns
        facts, values, versions = columns.facts, columns.values, columns.versions
        return [
            facts[index] << _FACT_SHIFT | (not values[index]) << _ZERO_SHIFT | versions[index]
            for index in indices
        ]

    def _hits(self, names: Names) -> tuple[Sequence[int], Sequence[bytes]]:
        """The symbols that ``_indices`` finds for some names, and these."""
        table = self._hash_table
        if table is None:
            asked = names.hashes.keys() & self._index.keys()
            return _columns_of([(index, name) for name in asked for index in self._index[name]])
        if not self.is_worth_comparing(len(names.hashes)):
            return _columns_of(
                [
                    (index, name)
                    for name, value in table.passing(names.hashes.items())
                    for index in self._indices(name, value)
                ]
            )
        indices = table.among(names.links)
        return self._named(table, indices, names.hashes) if indices else ((), ())

    def _named(
        self, table: HashTable, indices: Sequence[int], hashes: Mapping[bytes, int]
    ) -> tuple[Sequence[int], Sequence[bytes]]:
        """Those of some symbols that look-ups of names come by, with these."""
        starts, strings, find = self._columns.starts, self._columns.strings, self._columns.strings.find
        if indices[-1] >= len(starts):
            indices = [index for index in indices if index < len(starts)]
        named = [strings[start : find(b"\0", start)] for start in [starts[index] for index in indices]]
        is_asked = [
            name in hashes and bool(name or self._is_named(index, name))
            for index, name in zip(indices, named, strict=True)
        ]
        indices, named = [*compress(indices, is_asked)], [*compress(named, is_asked)]
        leads = table.lead_to(indices, [hashes[name] for name in named])
        return [*compress(indices, leads)], [*compress(named, leads)]

    def _indices(self, name: bytes, value: int) -> Sequence[int]:
        """The symbols of that name that the hash table leads to (``do_lookup_x``)."""
        if self._hash_table is None:
            return self._index.get(name, ())
        return [index for index in self._hash_table.indices(value) if self._is_named(index, name)]

    def _is_named(self, index: int, name: bytes) -> bool:
        starts = self._columns.starts
        return index < len(starts) and self._columns.strings.startswith(name + b"\0", starts[index])

    @cached_property
    def _index(self) -> dict[bytes, list[int]]:
        """Symbols by name, for a file without a GNU hash table."""
        found: dict[bytes, list[int]] = {}
        strings, starts = self._columns.strings, self._columns.starts
        for index in range(self._first_hashed, len(starts)):
            start = starts[index]
            found.setdefault(strings[start : strings.find(b"\0", start)], []).append(index)
        return found


def _columns_of(hits: Sequence[tuple[int, bytes]]) -> tuple[Sequence[int], Sequence[bytes]]:
    return [index for index, _ in hits], [name for _, name in hits]


class _Columns:
    """The columns of one file's symbols that look-ups look at."""

    def __init__(self, table: SymbolTable) -> None:
        columns = table.columns()
        rows, step = table.symbol_words(columns), table.words_in_row
        # No name ends after the last zero.
        self.strings = columns.strings[: columns.strings.rfind(b"\0") + 1]
        self.starts = rows[::step]
        # st_info, st_other and st_shndx in the lowest byte, the next, and the upper half
        self.facts = rows[1 if table.elf_class == 64 else 3 :: step]
        # In any byte order: they are only compared with 0.
        self.values = array("Q", columns.symbols)[1::3] if table.elf_class == 64 else rows[1::step]
        self.versions = table.version_column(columns)
        self.versions.extend([_BASE_VERSION] * (len(self.starts) - len(self.versions)))
        self.labels = {number: name for number, name, file, _ in version_rows(columns) if not file}
