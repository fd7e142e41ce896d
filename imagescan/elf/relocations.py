"""Which symbols the relocations of a file ask for, and when.

Enters the dynamic tags and the body; leaves the sets of symbol indices, immediate and lazy apart.
Follows glibc's ``elf/do-rel.h`` (what is processed at start and what lazily) and the psABI
supplements for the relocation numbers. Relative relocations (DT_RELR, the DT_RELACOUNT prefix)
name no symbol and are passed over.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator
from typing import NamedTuple

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
# The offset of a variable in the thread-local storage that exists at start-up (initial-exec).
_STATIC_TLS: dict[int, int] = {
    Machine.I386: 14, Machine.X86_64: 18, Machine.ARM: 19, Machine.AARCH64: 1030, Machine.PPC64: 73,
    Machine.S390: 56, Machine.RISCV: 11, Machine.LOONGARCH: 11, Machine.MIPS: 48,
}  # fmt: skip
_TABLES = (
    (tag.DT_RELA, tag.DT_RELASZ, tag.DT_RELACOUNT, True),
    (tag.DT_REL, tag.DT_RELSZ, tag.DT_RELCOUNT, False),
)


class RelocatedSymbols(NamedTuple):
    """Symbol indices used by relocations; an index may be in both sets. ``static_tls`` are those whose
    storage must exist at start-up, in order; 0 stands for a variable of the file's own without a name."""

    immediate: set[int]
    lazy: set[int]
    copied: set[int]
    relative_ifunc: bool
    static_tls: list[int]

    def words(self) -> list[int]:
        """The sets as one column, ascending (``SymbolColumns.relocated``); hostile indices may be too
        large for it."""
        immediate, lazy, copied = self.immediate, self.lazy, self.copied
        special = immediate & lazy | copied
        if special:
            immediate, lazy = immediate - special, lazy - special
        words = [index << RELOCATED_SHIFT | IMMEDIATE for index in immediate]
        words += [index << RELOCATED_SHIFT | LAZY for index in lazy]
        for index in special:
            flags = (IMMEDIATE if index in self.immediate else 0) | (LAZY if index in self.lazy else 0)
            words.append(index << RELOCATED_SHIFT | flags | (COPIED if index in copied else 0))
        words.sort()
        return words


class _Column(NamedTuple):
    """The symbols and types of one table's entries."""

    symbols: array[int] | list[int]
    types: array[int] | list[int]
    kinds: frozenset[int]  # the distinct types


_NOTHING = _Column([], [], frozenset())


def read_relocations(header: ElfHeader, body: Body, tags: dict[int, int]) -> RelocatedSymbols:
    """Collect the symbols of DT_REL, DT_RELA and DT_JMPREL.

    Raises:
        MalformedBinary: a table is larger than the limit.
    """
    machine = header.machine
    found = RelocatedSymbols(set(), set(), set(), False, [])
    plt_table, plt_size = tags.get(tag.DT_JMPREL, 0), tags.get(tag.DT_PLTRELSZ, 0)
    tables = []
    for table_tag, size_tag, count_tag, has_addend in _TABLES:
        if table_tag in tags:
            start, size = tags[table_tag], tags.get(size_tag, 0)
            # Some linkers count the PLT relocations into the table before them (elf/dynamic-link.h).
            if plt_size and start <= plt_table < start + size and start + size == plt_table + plt_size:
                size -= plt_size
            column = _read_table(header, body, start, size, has_addend, tags.get(count_tag, 0))
            tables.append(column)
            found.immediate.update(column.symbols)
    copy, irelative = _COPY.get(machine, -1), _IRELATIVE.get(machine, -1)
    static_tls = _STATIC_TLS.get(machine, -1)
    for column in tables:
        if copy in column.kinds:
            found.copied.update(_of(column, copy))
        if static_tls in column.kinds:
            found.static_tls.extend(dict.fromkeys(_of(column, static_tls)))
    if plt_size:
        has_addend = tags.get(tag.DT_PLTREL) == tag.DT_RELA
        column = _read_table(header, body, plt_table, plt_size, has_addend, 0)
        tables.append(column)
        _sort_plt(column, _JUMP_SLOT.get(machine, -1), found)
    found.immediate.discard(0)
    found.lazy.discard(0)
    return found._replace(relative_ifunc=True) if any(irelative in one.kinds for one in tables) else found


def _sort_plt(column: _Column, jump_slot: int, found: RelocatedSymbols) -> None:
    """Relocations of the procedure linkage table: those of functions wait for the first call."""
    if column.kinds == {jump_slot}:
        found.lazy.update(column.symbols)
        return
    found.lazy.update(_of(column, jump_slot))
    found.immediate.update(
        symbol for symbol, kind in zip(column.symbols, column.types, strict=True) if kind != jump_slot
    )


def _of(column: _Column, wanted: int) -> Iterator[int]:
    """The symbols of relocations of one type."""
    return (symbol for symbol, kind in zip(column.symbols, column.types, strict=True) if kind == wanted)


def _read_table(
    header: ElfHeader, body: Body, address: int, size: int, has_addend: bool, skip: int
) -> _Column:
    """The columns of one table after ``skip`` entries."""
    if size > MAXIMUM_RELOCATION_BYTES:
        raise MalformedBinary("relocation table larger than any real one")
    offset = header.file_offset(address) if size else None
    if offset is None:
        return _NOTHING
    words = (3 if has_addend else 2) * (2 if header.elf_class == 64 else 1)
    step = 4 * words
    raw = body.read(offset + skip * step, max(0, size - skip * step))
    column = array("I", raw if not len(raw) % step else raw[: len(raw) // step * step])
    if (header.order == ">") is (sys.byteorder == "little"):
        column.byteswap()
    if header.elf_class == 32:
        information = column[1::words]
        return _column([one >> 8 for one in information], [one & 0xFF for one in information])
    first, second = column[2::words], column[3::words]
    if header.machine == Machine.MIPS:
        # MIPS64 keeps the symbol in the first word and the type in the last byte, whatever the order.
        return _column(first, [one >> 24 if header.order == "<" else one & 0xFF for one in second])
    return _column(second, first) if header.order == "<" else _column(first, second)


def _column(symbols: array[int] | list[int], types: array[int] | list[int]) -> _Column:
    alike = types[:1]  # most tables of procedure linkage have one type, and comparing is fast
    return _Column(symbols, types, frozenset(alike if types == alike * len(types) else types))
