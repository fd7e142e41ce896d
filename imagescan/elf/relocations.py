"""Which symbols the relocations of a file ask for, and when.

Enters the dynamic tags and the body; leaves sets of symbol indices, immediate and lazy apart.
Follows glibc's ``elf/do-rel.h`` (what is processed at start and what lazily) and the psABI
supplements for the relocation numbers. Relative relocations (DT_RELR, the DT_RELACOUNT prefix)
name no symbol and are passed over.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from imagescan.elf import dynamic as tag
from imagescan.elf.facts import Machine
from imagescan.elf.header import ElfHeader
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
    """Collect the symbols of DT_REL, DT_RELA and DT_JMPREL, and of the MIPS global offset table.

    Raises:
        MalformedBinary: a table is larger than the limit.
    """
    pairs: set[tuple[int, int]] = set()
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
            skip = tags.get(count_tag, 0)
            pairs |= _table(header, body, start, size, has_addend, skip)
    plt = _table(header, body, plt_table, plt_size, tags.get(tag.DT_PLTREL) == tag.DT_RELA, 0)
    jump_slot = _JUMP_SLOT.get(header.machine)
    irelative = _IRELATIVE.get(header.machine)
    copy = _COPY.get(header.machine)
    immediate = {symbol for symbol, _ in pairs}
    lazy = {symbol for symbol, kind in plt if kind == jump_slot}
    immediate |= {symbol for symbol, kind in plt if kind != jump_slot}
    return RelocatedSymbols(
        immediate=frozenset(immediate - {0}),
        lazy=frozenset(lazy - {0}),
        copied=frozenset(symbol for symbol, kind in pairs if kind == copy),
        relative_ifunc=any(kind == irelative for _, kind in pairs | plt),
    )


def _table(
    header: ElfHeader, body: Body, address: int, size: int, has_addend: bool, skip: int
) -> set[tuple[int, int]]:
    """The distinct (symbol index, relocation type) pairs of one table after ``skip`` entries."""
    if size == 0:
        return set()
    if size > MAXIMUM_RELOCATION_BYTES:
        raise MalformedBinary("relocation table larger than any real one")
    offset = header.file_offset(address)
    if offset is None:
        return set()
    words = 3 if has_addend else 2
    width = 8 if header.elf_class == 64 else 4
    step = words * width
    raw = body.read(offset + skip * step, max(0, size - skip * step))
    column = array("Q" if width == 8 else "I", raw[: len(raw) // step * step])
    if header.order == ">":
        column.byteswap()
    return {_split(header, info) for info in set(column[1::words])}


def _split(header: ElfHeader, info: int) -> tuple[int, int]:
    if header.elf_class == 32:
        return info >> 8, info & 0xFF
    if header.machine == Machine.MIPS and header.order == "<":
        # MIPS64 keeps the symbol in the first word and the type in the last byte, whatever the order.
        return info & 0xFFFFFFFF, info >> 56
    if header.machine == Machine.MIPS:
        return info >> 32, info & 0xFF
    return info >> 32, info & 0xFFFFFFFF
