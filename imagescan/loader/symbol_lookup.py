"""Look-ups of one name in one file's dynamic symbols, as a loader makes them.

A ``SymbolTable`` enters; whether it answers a reference leaves. Mirrors glibc ``do_lookup_x`` and
``check_match`` (elf/dl-lookup.c) and musl ``gnu_lookup``, ``gnu_lookup_filtered`` and ``find_sym``
(ldso/dynlink.c): DT_GNU_HASH is walked as it is in the file; files without one are few, and get an index
of all their names instead of DT_HASH's chains.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import count

from imagescan.elf.symbols import HashKind, SymbolTable, version_names

_TLS, _IFUNC, _ABSOLUTE = 6, 10, 0xFFF1
# st_info of symbols that a look-up may end at: GLOBAL WEAK GNU_UNIQUE, and any of NOTYPE OBJECT FUNC COMMON
# TLS GNU_IFUNC.
_DEFINABLE = frozenset(binding << 4 | kind for binding in (1, 2, 10) for kind in (0, 1, 2, 5, 6, 10))
_LOCAL_BITS, _LOCAL = 0x300, frozenset((0x100, 0x200))  # STV_INTERNAL, STV_HIDDEN of st_other
_HIDDEN_VERSION, _VERSION_NUMBER = 0x8000, 0x7FFF
_FIRST_NAMED_VERSION = 2
_HEADER = 16  # bytes of the four words that a GNU hash table begins with
SYMBOLS_FOR_A_LOOK_UP = 8  # that can be decoded in the time that a look-up by hash takes
_BYTES_FOR_A_SYMBOL = 80  # of memory: columns, and its name in a set

# Any version: what an unversioned reference asks for, or any reference to a file without versions.
UNVERSIONED = None
Version = tuple[bytes, bool]
"""A version's name, and whether the reference is hidden: only one that is not may fall back to a base
definition (check_match)."""


def gnu_hash(name: bytes) -> int:
    """``_dl_new_hash`` (elf/dl-hash.h), which is Bernstein's hash modulo 2**32."""
    value = 5381
    for byte in name:
        value = value * 33 + byte & 0xFFFFFFFF
    return value


class DefinedSymbols:
    """The definitions of one file with all that look-ups in it take; holds its columns in memory."""

    def __init__(self, table: SymbolTable) -> None:
        columns = table.columns()
        self._table = table
        self._strings = columns.strings
        rows, step = table.symbol_words(columns), table.words_in_row
        self._starts = rows[::step]
        # st_info, st_other and st_shndx in the lowest byte, the next, and the upper half
        self._facts = rows[1 if table.elf_class == 64 else 3 :: step]
        self._values = (rows[2::step], rows[3::step]) if table.elf_class == 64 else (rows[1::step],) * 2
        self._versions = table.version_column(columns)
        self._labels = {one.number: one.name for one in version_names(columns) if not one.file}
        self._has_versions = table.has_versions
        self._has_gnu_hash = table.hash_kind is HashKind.GNU
        self._bits = table.elf_class
        self._sought = 0
        if self._has_gnu_hash:
            self._read_hash_table(columns.hash_table)

    def _read_hash_table(self, raw: bytes) -> None:
        order = self._table.order
        buckets, self._first, bloom, self._shift = struct.unpack_from(order + "4I", raw)
        start = _HEADER + bloom * self._bits // 8
        swapped = (order == ">") is (sys.byteorder == "little")
        self._bloom = _numbers("Q" if self._bits == 64 else "I", raw[_HEADER:start], swapped)
        self._buckets = _numbers("I", raw[start : start + 4 * buckets], swapped)
        self._chains = _numbers("I", raw[start + 4 * buckets :], swapped)

    def decodes_all(self, names: int) -> bool:
        """Whether so many more names are better sought among all names of the file than looked up one by
        one: so it is once those looked up have cost as much as decoding all does."""
        self._sought += names
        return self._sought * SYMBOLS_FOR_A_LOOK_UP > len(self._starts)

    @property
    def size(self) -> int:
        """About how many bytes of memory this takes, with all that it may yet work out."""
        return len(self._strings) + _BYTES_FOR_A_SYMBOL * len(self._starts)

    @property
    def names(self) -> frozenset[bytes]:
        """Every name that some look-up may end at, whoever makes it."""
        return self._names(self._definitions())

    @cached_property
    def unversioned(self) -> frozenset[bytes]:
        """Every name that ``answers`` an unversioned reference: for many names at once."""
        usable = self._definitions()
        local = any(fact & _LOCAL_BITS in _LOCAL for fact in {*self._facts})
        if local or max(self._versions, default=0) >= _HIDDEN_VERSION:
            usable = [index for index in usable if self._suits(index, UNVERSIONED)]
        return self._names(usable)

    @cached_property
    def visible_to_musl(self) -> frozenset[bytes]:
        """Every name that ``answers_musl``: for many names at once."""
        return self._names([index for index in self._definitions() if self._suits_musl(index)])

    def defines(self, name: bytes) -> bool:
        """Whether there is a definition, whoever may use it."""
        return any(map(self._is_definition, self._indices(name, gnu_hash(name))))

    def answers(self, name: bytes, value: int, version: Version | None) -> bool:
        """Whether a look-up of a name, whose hash is ``value``, ends at a definition for a reference."""
        return any(
            self._is_definition(index) and self._suits(index, version) for index in self._indices(name, value)
        )

    def answers_musl(self, name: bytes, value: int) -> bool:
        """The same for musl's ``find_sym``."""
        return any(
            self._is_definition(index) and self._suits_musl(index) for index in self._indices(name, value)
        )

    def _suits(self, index: int, version: Version | None) -> bool:
        """The tests of glibc's check_match that depend on the reference.

        Of a file without versions, and for an unversioned reference, any version will do that is not
        hidden; index 2 is the oldest and will always do. Version indices 0 and 1 are the base, usable
        unless hidden.
        """
        if self._facts[index] & _LOCAL_BITS in _LOCAL:
            return False
        number = self._versions[index] if index < len(self._versions) else 1
        is_hidden, number = number >= _HIDDEN_VERSION, number & _VERSION_NUMBER
        if version is UNVERSIONED or not self._has_versions:
            return number <= _FIRST_NAMED_VERSION or not is_hidden
        if number <= 1 and is_hidden:
            return False
        wanted, reference_hidden = version
        label = self._labels.get(number, b"") if number >= _FIRST_NAMED_VERSION else b""
        return label == wanted or (not label and not reference_hidden)

    def _suits_musl(self, index: int) -> bool:
        """musl looks at the hidden bit and not at visibility, and knows no indirect functions."""
        is_hidden = index < len(self._versions) and self._versions[index] >= _HIDDEN_VERSION
        return not is_hidden and self._facts[index] & 15 != _IFUNC

    def _is_definition(self, index: int) -> bool:
        """The tests of check_match that do not depend on the reference."""
        fact = self._facts[index]
        if fact & 0xFF not in _DEFINABLE or fact <= 0xFFFF:
            return False
        return fact & 15 == _TLS or fact >> 16 == _ABSOLUTE or any(half[index] for half in self._values)

    def _definitions(self) -> list[int]:
        """All symbols of the hash table that ``_is_definition``."""
        first = max(self._table.first_hashed, 1)
        low, high = (half[first:] for half in self._values)
        return [
            index
            for index, fact, value, more in zip(count(first), self._facts[first:], low, high, strict=False)
            if fact & 0xFF in _DEFINABLE
            and fact > 0xFFFF
            and (value or more or fact & 15 == _TLS or fact >> 16 == _ABSOLUTE)
        ]

    def _names(self, indices: Iterable[int]) -> frozenset[bytes]:
        starts, strings, find = self._starts, self._strings, self._strings.find
        return frozenset(
            [strings[start : find(b"\0", start)] for start in [starts[index] for index in indices]]
        )

    def _indices(self, name: bytes, value: int) -> Sequence[int]:
        """The symbols of that name that the hash table leads to (``do_lookup_x``)."""
        if not self._has_gnu_hash:
            return self._index.get(name, ())
        chains, bits, bloom = self._chains, self._bits, self._bloom
        if not chains or not self._buckets:
            return ()
        word = bloom[value // bits & len(bloom) - 1]
        if not word >> value % bits & word >> (value >> self._shift) % bits & 1:
            return ()
        place = self._buckets[value % len(self._buckets)] - self._first
        found = []
        value |= 1
        while 0 <= place < len(chains):
            link = chains[place]
            if link | 1 == value and self._is_named(place + self._first, name):
                found.append(place + self._first)
            if link & 1:
                break
            place += 1
        return found

    def _is_named(self, index: int, name: bytes) -> bool:
        starts = self._starts
        return index < len(starts) and self._strings.startswith(name + b"\0", starts[index])

    @cached_property
    def _index(self) -> dict[bytes, list[int]]:
        """Symbols by name, for a file without a GNU hash table."""
        found: dict[bytes, list[int]] = {}
        strings, starts = self._strings, self._starts
        for index in range(max(self._table.first_hashed, 1), len(starts)):
            start = starts[index]
            found.setdefault(strings[start : strings.find(b"\0", start)], []).append(index)
        return found


def hashes_in(chains: array[int]) -> array[int]:
    """The hashes of a GNU hash table's chains with the lowest bit set, which ends a chain there."""
    ones = int.from_bytes(b"\1\0\0\0" * len(chains), sys.byteorder)
    whole = int.from_bytes(chains.tobytes(), sys.byteorder) | ones
    return array("I", whole.to_bytes(4 * len(chains), sys.byteorder))


def hashes_of(table: SymbolTable) -> array[int]:
    """The hashes of a file with a GNU hash table, without reading the rest of its columns."""
    raw = table.hash_table()
    buckets, _, bloom, _ = struct.unpack_from(table.order + "4I", raw)
    start = _HEADER + bloom * table.elf_class // 8 + 4 * buckets
    return hashes_in(_numbers("I", raw[start:], (table.order == ">") is (sys.byteorder == "little")))


def _numbers(kind: str, raw: bytes, swapped: bool) -> array[int]:
    found = array(kind, raw)
    if swapped:
        found.byteswap()
    return found
