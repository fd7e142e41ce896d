"""Which symbols the relocations of a file ask for, and when.

Enters the dynamic tags and the body; leaves the sets of symbol indices, immediate and lazy apart.
Follows glibc's ``elf/do-rel.h`` (what is processed at start and what lazily) and the psABI
supplements for the relocation numbers. Relative relocations (DT_RELR, the DT_RELACOUNT prefix)
name no symbol and are passed over.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from imagescan.elf import dynamic as tag
from imagescan.elf.facts import Machine
from imagescan.elf.header import ElfHeader
from imagescan.elf.symbols import COPIED, IMMEDIATE, LAZY, RELOCATED_SHIFT
from imagescan.errors import MalformedBinary
from imagescan.layers.values import Body

MAXIMUM_RELOCATION_BYTES = 512 << 20  # one table; libLLVM has 8 MiB

_JUMP_SLOT: dict[int, int] = {
    Machine.I386: 7, Machine.X86_64: 7, Machine.ARM: 22, Machine.AARCH64: 1026, Machine.PPC64: 21,
    Machine.S390: 11, Machine.RISCV: 5, Machine.LOONGARCH: 5, Machine.MIPS: 127, Machine.SPARCV9: 21,
}  # fmt: skip
_COPY: dict[int, int] = {
    Machine.I386: 5, Machine.X86_64: 5, Machine.ARM: 20, Machine.AARCH64: 1024, Machine.PPC64: 19,
    Machine.S390: 9, Machine.RISCV: 4, Machine.LOONGARCH: 4, Machine.MIPS: 126, Machine.SPARCV9: 19,
}  # fmt: skip
_IRELATIVE: dict[int, int] = {
    Machine.I386: 42, Machine.X86_64: 37, Machine.ARM: 160, Machine.AARCH64: 1032, Machine.PPC64: 248,
    Machine.S390: 61, Machine.RISCV: 58, Machine.LOONGARCH: 12,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RelocatedSymbols:
    """Symbol indices used by relocations; an index may be in both sets."""

    immediate: frozenset[int]
    lazy: frozenset[int]
    copied: frozenset[int]
    relative_ifunc: bool


def read_relocations(header: ElfHeader, body: Body, tags: dict[int, int]) -> RelocatedSymbols:
    """Collect the symbols of DT_REL, DT_RELA and DT_JMPREL.

    Raises:
        MalformedBinary: a table is larger than the limit.
    """
    tables = []
    plt_table, plt_size = tags.get(tag.DT_JMPREL, 0), tags.get(tag.DT_PLTRELSZ, 0)
    for table_tag, size_tag, count_tag, has_addend in (
        (tag.DT_RELA, tag.DT_RELASZ, tag.DT_RELACOUNT, True),
        (tag.DT_REL, tag.DT_RELSZ, tag.DT_RELCOUNT, False),
    ):
        if table_tag in tags:
            start, size = tags[table_tag], tags.get(size_tag, 0)
            # Some linkers count the PLT relocations into the table before them (elf/dynamic-link.h).
            if plt_size and start <= plt_table < start + size and start + size == plt_table + plt_size:
                size -= plt_size
            tables.append(_read_table(header, body, start, size, has_addend, tags.get(count_tag, 0)))
    plt = _read_table(header, body, plt_table, plt_size, tags.get(tag.DT_PLTREL) == tag.DT_RELA, 0)
    jump_slot, irelative = _JUMP_SLOT.get(header.machine, -1), _IRELATIVE.get(header.machine, -1)
    immediate, lazy = plt.without(jump_slot), plt.of(jump_slot)
    return RelocatedSymbols(
        immediate=frozenset(immediate.union(*(table.symbols for table in tables)) - {0}),
        lazy=frozenset(lazy - {0}),
        copied=frozenset().union(*(table.of(_COPY.get(header.machine, -1)) for table in tables)),
        relative_ifunc=any(irelative in table.types for table in (*tables, plt)),
    )


def relocated_words(immediate: frozenset[int], lazy: frozenset[int], copied: frozenset[int]) -> array[int]:
    """The sets as one column, ascending (``SymbolColumns.relocated``)."""
    asked = dict.fromkeys(immediate, IMMEDIATE)
    for flag, indices in ((LAZY, lazy), (COPIED, copied)):
        for index in indices:
            asked[index] = asked.get(index, 0) | flag
    return array("I", sorted(index << RELOCATED_SHIFT | flags for index, flags in asked.items()))


class _Table:
    """The distinct symbols and types of one table, and which symbols go with a type."""

    __slots__ = ("_symbol_column", "_type_column", "symbols", "types")

    def __init__(self, symbol_column: Sequence[int], type_column: Sequence[int]) -> None:
        self._symbol_column = symbol_column
        self._type_column = type_column
        self.symbols = frozenset(symbol_column)
        self.types = frozenset(type_column)

    def of(self, kind: int) -> frozenset[int]:
        """The symbols of relocations of one type."""
        if kind not in self.types:
            return frozenset()
        if len(self.types) == 1:
            return self.symbols
        return frozenset(
            symbol for symbol, one in zip(self._symbol_column, self._type_column, strict=True) if one == kind
        )

    def without(self, kind: int) -> frozenset[int]:
        """The symbols of relocations of all other types."""
        if kind not in self.types:
            return self.symbols
        if len(self.types) == 1:
            return frozenset()
        return frozenset(
            symbol for symbol, one in zip(self._symbol_column, self._type_column, strict=True) if one != kind
        )


def _read_table(
    header: ElfHeader, body: Body, address: int, size: int, has_addend: bool, skip: int
) -> _Table:
    """The columns of one table after ``skip`` entries."""
    if size > MAXIMUM_RELOCATION_BYTES:
        raise MalformedBinary("relocation table larger than any real one")
    offset = header.file_offset(address) if size else None
    if offset is None:
        return _Table((), ())
    words = (3 if has_addend else 2) * (2 if header.elf_class == 64 else 1)
    step = 4 * words
    raw = body.read(offset + skip * step, max(0, size - skip * step))
    column = array("I", raw[: len(raw) // step * step])
    if header.order == ">":
        column.byteswap()
    if header.elf_class == 32:
        information = column[1::words]
        return _Table([one >> 8 for one in information], [one & 0xFF for one in information])
    first, second = column[2::words], column[3::words]
    if header.machine == Machine.MIPS:
        # MIPS64 keeps the symbol in the first word and the type in the last byte, whatever the order.
        return _Table(first, [one >> 24 if header.order == "<" else one & 0xFF for one in second])
    return _Table(second, first) if header.order == "<" else _Table(first, second)
