"""Which symbols the relocations of a file ask for, and when.

Enters the dynamic tags and the body; leave the columns of symbol indices, immediate and lazy apart.
Follows glibc's ``elf/do-rel.h`` (what is processed at start and what lazily) and the psABI
supplements for the relocation numbers. Relative relocations (DT_RELR, the DT_RELACOUNT prefix)
name no symbol and are passed over.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import compress

from imagescan.dataclasses import NamedTuple
from imagescan.elf import dynamic as tag
from imagescan.elf.facts import Machine
from imagescan.elf.header import ElfHeader
from imagescan.elf.symbols import word_column
from imagescan.errors import MalformedBinary
from imagescan.layers.values import Body

MAXIMUM_RELOCATION_BYTES = 512 << 20  # one table; libLLVM has 8 MiB
MAXIMUM_REPEATED = 4096  # entries of one table that may name a symbol more than once


class _Types(NamedTuple):
    """The numbers of relocations that matter here; -1 where a machine has none. ``static_tls`` is the
    offset of a variable in the thread-local storage that exists at start-up (initial-exec)."""

    jump_slot: int
    copy: int
    irelative: int
    static_tls: int


_TYPES: dict[int, _Types] = {
    Machine.I386: _Types(7, 5, 42, 14),
    Machine.X86_64: _Types(7, 5, 37, 18),
    Machine.ARM: _Types(22, 20, 160, 19),
    Machine.AARCH64: _Types(1026, 1024, 1032, 1030),
    Machine.PPC64: _Types(21, 19, 248, 73),
    Machine.S390: _Types(11, 9, 61, 56),
    Machine.RISCV: _Types(5, 4, 58, 11),
    Machine.LOONGARCH: _Types(5, 4, 12, 11),
    Machine.MIPS: _Types(127, 126, -1, 48),
    Machine.SPARCV9: _Types(21, 19, -1, -1),
}
_NO_TYPES = _Types(-1, -1, -1, -1)
_MIPS = int(Machine.MIPS)
_TABLES = (
    (tag.DT_RELA, tag.DT_RELASZ, tag.DT_RELACOUNT, True),
    (tag.DT_REL, tag.DT_RELSZ, tag.DT_RELCOUNT, False),
)


class RelocatedSymbols(NamedTuple):
    """Symbol indices used by relocations, as the tables have them: with repetitions and in their order,
    and 0 where a relocation names no symbol. An index may be both ``immediate`` and ``lazy``; ``copied``
    are also among the immediate ones. ``static_tls`` are those whose storage must exist at start-up;
    0 stands for a variable of the file's own without a name."""

    immediate: array[int]
    lazy: array[int]
    copied: array[int]
    relative_ifunc: bool
    static_tls: list[int]

    def highest(self) -> int:
        """The highest index; hostile ones may be beyond any symbol."""
        return max(
            max(self.immediate) if self.immediate else 0,
            max(self.lazy) if self.lazy else 0,
        )

    def column(self) -> bytes:
        """As ``SymbolColumns.relocated`` keeps them."""
        lengths = array("I", (len(self.immediate), len(self.lazy)))
        return word_column(lengths + self.immediate + self.lazy + self.copied)


class _Table(NamedTuple):
    """The symbols and types of one table's entries."""

    symbols: array[int]
    types: array[int]

    def kinds(self) -> set[int]:
        """The distinct types."""
        first = self.types[:1]
        return set(first if self.types == first * len(self.types) else self.types)

    def of(self, wanted: int) -> Iterator[int]:
        """The symbols of relocations of one type."""
        return compress(self.symbols, map(wanted.__eq__, self.types))


def read_relocations(header: ElfHeader, body: Body, tags: dict[int, int]) -> RelocatedSymbols:
    """Collect the symbols of DT_REL, DT_RELA and DT_JMPREL.

    Raises:
        MalformedBinary: a table is larger than the limit.
    """
    wanted = _TYPES.get(header.machine, _NO_TYPES)
    immediate, lazy, copied = array("I"), array("I"), array("I")
    static_tls: list[int] = []
    kinds: set[int] = set()
    plt_start, plt_size = tags.get(tag.DT_JMPREL, 0), tags.get(tag.DT_PLTRELSZ, 0)
    for table_tag, size_tag, count_tag, has_addend in _TABLES:
        if table_tag not in tags:
            continue
        start, size = tags[table_tag], tags.get(size_tag, 0)
        # Some linkers count the PLT relocations into the table before them (elf/dynamic-link.h).
        if plt_size and start <= plt_start < start + size and start + size == plt_start + plt_size:
            size -= plt_size
        table = _read_table(header, body, start, size, has_addend, tags.get(count_tag, 0))
        immediate += table.symbols
        found = table.kinds()
        if wanted.copy in found:
            copied.extend(table.of(wanted.copy))
        if wanted.static_tls in found:
            static_tls += dict.fromkeys(table.of(wanted.static_tls))
        kinds |= found
    if plt_size:
        table = _read_table(header, body, plt_start, plt_size, tags.get(tag.DT_PLTREL) == tag.DT_RELA, 0)
        found = table.kinds()
        if found == {wanted.jump_slot}:  # as nearly always
            lazy = table.symbols
        else:  # only relocations of functions wait for the first call
            lazy.extend(table.of(wanted.jump_slot))
            immediate.extend(compress(table.symbols, map(wanted.jump_slot.__ne__, table.types)))
            kinds |= found
    return RelocatedSymbols(
        _distinct(immediate), _distinct(lazy), copied, wanted.irelative in kinds, static_tls
    )


def _distinct(symbols: array[int]) -> array[int]:
    """Without the repetitions of tables that have many; of others they are cheaper to keep."""
    return symbols if len(symbols) <= MAXIMUM_REPEATED else array("I", sorted(set(symbols)))


def _read_table(
    header: ElfHeader, body: Body, address: int, size: int, has_addend: bool, skip: int
) -> _Table:
    """The columns of one table after ``skip`` entries."""
    if size > MAXIMUM_RELOCATION_BYTES:
        raise MalformedBinary("relocation table larger than any real one")
    offset = header.file_offset(address) if size else None
    words = (3 if has_addend else 2) * (2 if header.encoding.elf_class == 64 else 1)
    step = 4 * words
    if offset is None or size <= skip * step:
        return _Table(array("I"), array("I"))
    raw = body.read(offset + skip * step, size - skip * step)
    column = header.encoding.words(raw if not len(raw) % step else raw[: len(raw) // step * step])
    if words < 4:  # of a 32-bit file
        information = column[1::words]
        return _Table(
            array("I", [one >> 8 for one in information]), array("I", [one & 0xFF for one in information])
        )
    first, second = column[2::words], column[3::words]
    is_little = header.encoding.order == "<"
    if header.machine == _MIPS:
        # MIPS64 keeps the symbol in the first word and the type in the last byte, whatever the order.
        shift = 24 if is_little else 0
        return _Table(first, array("I", [one >> shift & 0xFF for one in second]))
    return _Table(second, first) if is_little else _Table(first, second)
