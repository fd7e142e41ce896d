"""ELF header and program headers: bytes in, plain values out.

Enters a ``Body``; leaves ``ElfHeader`` with its segments. Follows the System V gABI chapters
"ELF Header" and "Program Header"; the faults are those that glibc's ``open_verify``
(elf/dl-load.c) refuses a file for.
"""

from __future__ import annotations

import sys
from array import array
from struct import Struct

from imagescan.dataclasses import NamedTuple, dataclass
from imagescan.errors import MalformedBinary
from imagescan.layers.values import Body

MAGIC = b"\x7fELF"
MAXIMUM_PROGRAM_HEADERS = 4096  # the kernel refuses more than 64 KiB of them; real files have < 20

PT_LOAD = 1
PT_DYNAMIC = 2
PT_INTERP = 3
PT_NOTE = 4
PT_GNU_STACK = 0x6474E551
PT_GNU_PROPERTY = 0x6474E553

EXECUTE = 1  # PF_X
_READ = 4
_SMALLEST_HEADER = 52  # bytes, of a 32-bit file
_END_OF_IDENTIFICATION = bytes(7)  # e_ident from EI_PAD on


class Encoding(NamedTuple):
    """How files of one class and byte order (e_ident EI_CLASS, EI_DATA) write their numbers.

    ``order`` is the struct prefix ``<`` or ``>``; ``address`` the array type of an address; ``is_swapped``
    tells that this machine's byte order is the other one.
    """

    elf_class: int
    order: str
    address: str
    is_swapped: bool
    header_bytes: int
    header: Struct  # e_type, e_machine, e_version, e_phoff, e_flags, e_phentsize, e_phnum, from byte 16 on
    segment: Struct  # of the class's own order of fields

    def addresses(self, raw: bytes) -> array[int]:
        """Raw bytes as numbers of an address's length; what does not fill one at the end is left out."""
        size = 8 if self.elf_class == 64 else 4
        found = array(self.address, raw if not len(raw) % size else raw[: len(raw) // size * size])
        if self.is_swapped:
            found.byteswap()
        return found

    def words(self, raw: bytes) -> array[int]:
        """Raw bytes as numbers of four bytes; what does not fill one at the end is left out."""
        found = array("I", raw if not len(raw) & 3 else raw[: len(raw) & ~3])
        if self.is_swapped:
            found.byteswap()
        return found


def _encoding(elf_class: int, order: str) -> Encoding:
    is_swapped = (order == ">") is (sys.byteorder == "little")
    if elf_class == 64:
        header, segment = Struct(order + "HHI8xQ8xI2xHH"), Struct(order + "IIQQQQQQ")
        return Encoding(64, order, "Q", is_swapped, 64, header, segment)
    header, segment = Struct(order + "HHI4xI4xI2xHH"), Struct(order + "IIIIIIII")
    return Encoding(32, order, "I", is_swapped, 52, header, segment)


_ENCODINGS = {
    bytes((class_code, data_code)): _encoding(elf_class, order)
    for class_code, elf_class in ((1, 32), (2, 64))
    for data_code, order in ((1, "<"), (2, ">"))
}


class ProgramHeader(NamedTuple):
    """One program header; offsets, addresses and sizes in bytes."""

    type: int
    flags: int
    offset: int
    address: int
    physical_address: int
    file_size: int
    memory_size: int
    alignment: int


# The fields of a ``ProgramHeader``, as the tables of thousands of files are walked.
Segment = tuple[int, int, int, int, int, int, int, int]


@dataclass(slots=True)
class ElfHeader:
    """The ELF header with its program headers: all, those of PT_LOAD, and the first one of each type."""

    encoding: Encoding
    os_abi: int
    abi_version: int
    type: int
    machine: int
    flags: int
    faults: tuple[str, ...]
    segments: list[Segment]
    loads: list[Segment]
    firsts: dict[int, Segment]
    segments_cut: bool  # the program headers reach past the end of the file

    def file_offset(self, address: int) -> int | None:
        """The file offset that a virtual address is loaded from, or None when no segment has it."""
        for _, _, offset, start, _, size, _, _ in self.loads:
            if start <= address < start + size:
                return offset + address - start
        return None

    @property
    def parts_code_from_data(self) -> bool:
        """Whether the first segment is read-only and holds the file's start, so that the linker kept
        tables and constants out of the segments with code."""
        if not self.loads:
            return False
        _, flags, offset, *_ = self.loads[0]
        return offset == 0 and flags == _READ

    def first(self, kind: int) -> ProgramHeader | None:
        """The first program header of a type: the only one that kernel and loaders look at."""
        found = self.firsts.get(kind)
        return None if found is None else ProgramHeader._make(found)


def read_header(body: Body) -> ElfHeader:
    """Read the header and program headers of a file that begins with the ELF magic.

    Raises:
        MalformedBinary: shorter than an ELF header, or neither 32- nor 64-bit, little nor big.
    """
    head = body.read(0, 64)
    if len(head) < _SMALLEST_HEADER or head[:4] != MAGIC:
        raise MalformedBinary("shorter than an ELF header")
    encoding = _ENCODINGS.get(head[4:6])
    if encoding is None or len(head) < encoding.header_bytes:
        raise MalformedBinary("ELF class or byte order unknown, or header cut short")
    kind, machine, version, table, flags, entry_size, count = encoding.header.unpack_from(head, 16)
    segments = _read_segments(body, encoding, table, entry_size, count)
    return ElfHeader(
        encoding,
        head[7],
        head[8],
        kind,
        machine,
        flags,
        _faults(head, version, entry_size, encoding.segment.size),
        segments,
        [segment for segment in segments if segment[0] == PT_LOAD],
        {segment[0]: segment for segment in reversed(segments)},
        len(segments) < count,
    )


def _faults(head: bytes, version: int, entry_size: int, expected_entry_size: int) -> tuple[str, ...]:
    faults = []
    if head[6] != 1:
        faults.append("ELF file version ident does not match current one")
    if head[9:16] != _END_OF_IDENTIFICATION:
        faults.append("nonzero padding in e_ident")
    if version != 1:
        faults.append("ELF file version does not match current one")
    if entry_size != expected_entry_size:
        faults.append("ELF file's phentsize not the expected size")
    return tuple(faults)


def _read_segments(body: Body, encoding: Encoding, table: int, entry_size: int, count: int) -> list[Segment]:
    size = encoding.segment.size
    if entry_size != size or count > MAXIMUM_PROGRAM_HEADERS:
        return []
    raw = body.read(table, size * count) if count else b""
    rows = encoding.segment.iter_unpack(raw if len(raw) == size * count else raw[: len(raw) // size * size])
    if encoding.elf_class == 64:
        return list(rows)
    return [
        (kind, flags, offset, address, physical, file_size, memory_size, alignment)
        for kind, offset, address, physical, file_size, memory_size, flags, alignment in rows
    ]
