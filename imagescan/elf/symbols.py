"""Dynamic symbols of one file, kept as raw columns until binding asks for them.

Enters the dynamic section's tables (``symbol_columns``); leaves ``SymbolTable``, which decodes
itself into definitions and references once. Follows the gABI chapters "Symbol Table" and
"Relocation" and the GNU symbol versioning supplement. The number of symbols is taken from
DT_HASH or DT_GNU_HASH and from the relocations, because loaders know no other count either.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

_GLOBAL, _WEAK, _UNIQUE = 1, 2, 10
_OBJECT_TYPES = frozenset((0, 1, 2, 5, 6, 10))  # NOTYPE OBJECT FUNC COMMON TLS GNU_IFUNC
_TLS, _IFUNC = 6, 10
_UNDEFINED, _ABSOLUTE = 0, 0xFFF1
_HIDDEN_VERSION = 0x8000


class SymbolReference(NamedTuple):
    """A strong undefined symbol that a relocation asks for.

    ``version`` is None for an unversioned reference; ``library`` the file that the version need
    names; ``version_hidden`` the reference's own hidden bit (dl-lookup.c check_match); ``lazy``
    that only JUMP_SLOT relocations of the lazy kind ask for it.
    """

    name: str
    version: str | None
    library: str
    version_hidden: bool
    lazy: bool


class SymbolDefinition(NamedTuple):
    """A global symbol that this file defines. ``version`` "" is the base or no version,
    ``version_index`` its index in the versym table (1 where there is no table)."""

    name: str
    version: str
    version_index: int
    version_hidden: bool
    is_ifunc: bool
    size: int


@dataclass(frozen=True, slots=True)
class SymbolTable:
    """The raw columns: ``symbols`` (Elf_Sym array), ``strings``, ``versions`` (Elf_Versym array,
    empty when the file has none), names of the version indices, and the symbol indices that
    relocations use, immediate and lazy ones apart. Bytes are in the file's own byte order.
    """

    elf_class: int
    order: str
    symbols: bytes
    strings: bytes
    versions: bytes
    version_names: tuple[tuple[int, str, str, bool], ...]  # index, name, file, hidden
    immediate: frozenset[int]
    lazy: frozenset[int]
    relative_ifunc: bool = False  # IRELATIVE relocations: musl refuses them

    @property
    def has_versions(self) -> bool:
        """Whether the file has a versym table (glibc's ``l_versyms``)."""
        return bool(self.versions)

    def definitions(self) -> list[SymbolDefinition]:
        """Every symbol that a lookup in this file could match (dl-lookup.c check_match, the tests
        that do not depend on the reference)."""
        names = {index: name for index, name, file, _ in self.version_names if not file}
        found = []
        for index, (name, info, other, section, value, size) in self._rows():
            kind, binding = info & 15, info >> 4
            if section == _UNDEFINED or binding not in (_GLOBAL, _WEAK, _UNIQUE) or other & 3 in (1, 2):
                continue
            if kind not in _OBJECT_TYPES or (value == 0 and kind != _TLS and section != _ABSOLUTE):
                continue
            version = self._version(index)
            number = version & 0x7FFF
            found.append(
                SymbolDefinition(
                    self._name(name),
                    names.get(number, "") if number > 1 else "",
                    number,
                    bool(version & _HIDDEN_VERSION),
                    kind == _IFUNC,
                    size,
                )
            )
        return found

    def references(self) -> list[SymbolReference]:
        """Every strong undefined symbol that a relocation uses; weak ones resolve to 0 silently."""
        versions = {index: (name, file, hidden) for index, name, file, hidden in self.version_names}
        found = []
        used = self.immediate | self.lazy
        for index, (name, info, other, section, _value, _size) in self._rows():
            if section != _UNDEFINED or index not in used or info >> 4 != _GLOBAL or other & 3 in (1, 2):
                continue
            version = self._version(index) & 0x7FFF
            label, library, hidden = (
                versions.get(version, ("", "", False)) if version > 1 else ("", "", False)
            )
            found.append(
                SymbolReference(self._name(name), label or None, library, hidden, index not in self.immediate)
            )
        return found

    def _rows(self) -> list[tuple[int, tuple[int, int, int, int, int, int]]]:
        """(index, (name, info, other, section, value, size)) of each symbol but the null one."""
        if self.elf_class == 64:
            rows = struct.iter_unpack(self.order + "IBBHQQ", self.symbols)
        else:
            rows = (
                (name, info, other, section, value, size)
                for name, value, size, info, other, section in struct.iter_unpack(
                    self.order + "IIIBBH", self.symbols
                )
            )
        return list(enumerate(rows))[1:]

    def _version(self, index: int) -> int:
        place = 2 * index
        if place + 2 > len(self.versions):
            return 1
        return int.from_bytes(self.versions[place : place + 2], "little" if self.order == "<" else "big")

    def _name(self, offset: int) -> str:
        end = self.strings.find(b"\0", offset)
        return self.strings[offset : end if end >= 0 else len(self.strings)].decode(
            "utf-8", "surrogateescape"
        )
