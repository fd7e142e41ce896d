"""Dynamic symbols of one file, kept as raw columns until binding asks for them.

Enters the dynamic section's tables (``symbol_columns``); leaves ``SymbolTable``, which decodes
itself into definitions and references once. Follows the gABI chapters "Symbol Table" and
"Relocation" and the GNU symbol versioning supplement. The number of symbols is taken from
DT_HASH or DT_GNU_HASH and from the relocations, because loaders know no other count either.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

_GLOBAL, _WEAK, _UNIQUE = 1, 2, 10
_BINDINGS = frozenset((_GLOBAL, _WEAK, _UNIQUE))
_OBJECT_TYPES = frozenset((0, 1, 2, 5, 6, 10))  # NOTYPE OBJECT FUNC COMMON TLS GNU_IFUNC
_TLS, _IFUNC = 6, 10
_UNDEFINED, _ABSOLUTE = 0, 0xFFF1
_LOCAL_VISIBILITIES = frozenset((1, 2))  # STV_INTERNAL, STV_HIDDEN
_HIDDEN_VERSION = 0x8000
_FIRST_NAMED_VERSION = 2  # 0 is local, 1 the base: no version


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


@dataclass(frozen=True, slots=True)
class SymbolTable:
    """The raw columns: ``symbols`` (Elf_Sym array), ``strings``, ``versions`` (Elf_Versym array,
    empty when the file has none), names of the version indices, and the symbol indices that
    relocations use, immediate, lazy and COPY ones apart. Bytes are in the file's own byte order.
    ``first_hashed`` is the first symbol that the hash table holds: earlier ones are never found.
    """

    elf_class: int
    order: str
    symbols: bytes
    strings: bytes
    versions: bytes
    version_names: tuple[tuple[int, str, str, bool], ...]  # index, name, file, hidden
    immediate: frozenset[int]
    lazy: frozenset[int]
    copied: frozenset[int] = frozenset()
    first_hashed: int = 1
    relative_ifunc: bool = False  # IRELATIVE relocations: musl refuses them

    @property
    def has_versions(self) -> bool:
        """Whether the file has a versym table (glibc's ``l_versyms``)."""
        return bool(self.versions)

    def definitions(self) -> Iterator[SymbolDefinition]:
        """Every symbol that a lookup in this file could match (dl-lookup.c check_match, the tests
        that do not depend on the reference)."""
        names = {index: _bytes(name) for index, name, file, _ in self.version_names if not file}
        versions = self._version_column()
        strings, find = self.strings, self.strings.find
        first = max(self.first_hashed, 1)
        for index, (name, info, other, section, value) in enumerate(self._rows(first), first):
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
        bindings = (_GLOBAL, _WEAK) if weak else (_GLOBAL,)
        labels = {index: (_bytes(name), file, hidden) for index, name, file, hidden in self.version_names}
        versions = self._version_column()
        strings, find = self.strings, self.strings.find
        row, layout = self._layout()
        unpack = struct.Struct(layout).unpack_from
        found = []
        for index in sorted(self.immediate | self.lazy):
            if (index + 1) * row > len(self.symbols):
                break
            name, info, other, section, _value = self._fields(unpack(self.symbols, index * row))
            copied = index in self.copied
            if (
                (section != _UNDEFINED and not copied)
                or info >> 4 not in bindings
                or other & 3 in _LOCAL_VISIBILITIES
            ):
                continue
            number = versions[index] & 0x7FFF if index < len(versions) else 1
            label, library, hidden = None, "", False
            if number >= _FIRST_NAMED_VERSION and number in labels:
                label, library, hidden = labels[number]
            text = strings[name : find(b"\0", name)]
            lazy = index not in self.immediate
            found.append(SymbolReference(text, label or None, library, hidden, lazy, copied))
        return found

    def _layout(self) -> tuple[int, str]:
        return (24, self.order + "IBBHQQ") if self.elf_class == 64 else (16, self.order + "IIIBBH")

    def _fields(self, row: tuple[int, ...]) -> tuple[int, int, int, int, int]:
        """(name, info, other, section, value) of an unpacked Elf_Sym."""
        if self.elf_class == 64:
            name, info, other, section, value, _size = row
        else:
            name, value, _size, info, other, section = row
        return name, info, other, section, value

    def _rows(self, first: int) -> Iterator[tuple[int, int, int, int, int]]:
        size, layout = self._layout()
        rows = struct.iter_unpack(layout, memoryview(self.symbols)[first * size :])
        return map(self._fields, rows)

    def _version_column(self) -> array[int]:
        column = array("H", self.versions[: len(self.versions) & ~1])
        if self.order == ">":
            column.byteswap()
        return column


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
