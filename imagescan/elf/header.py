"""ELF header and program headers: bytes in, plain values out.

Enters a ``Body``; leaves ``ElfHeader`` with its segments. Follows the System V gABI chapters
"ELF Header" and "Program Header"; the faults are those that glibc's ``open_verify``
(elf/dl-load.c) refuses a file for.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

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

_HEADERS = {
    (order, elf_class): struct.Struct(order + layout)
    for order in "<>"
    for elf_class, layout in ((64, "HHIQQQIHHHHHH"), (32, "HHIIIIIHHHHHH"))
}
_SEGMENTS_64 = {order: struct.Struct(order + "IIQQQQQQ") for order in "<>"}

EXECUTE = 1  # PF_X
_READ = 4
_EXTENDED_NUMBERING = 0xFFFF  # PN_XNUM


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


# ProgramHeader._make without its check of the length, which the struct has made.
_new_program_header: Callable[[Iterable[int]], ProgramHeader] = partial(tuple.__new__, ProgramHeader)


class ElfHeader(NamedTuple):
    """The ELF header with its program headers. ``order`` is the struct prefix ``<`` or ``>``."""

    elf_class: int
    order: str
    os_abi: int
    abi_version: int
    type: int
    machine: int
    entry: int
    flags: int
    faults: tuple[str, ...]
    segments: tuple[ProgramHeader, ...]
    segments_cut: bool  # the program headers reach past the end of the file

    def file_offset(self, address: int) -> int | None:
        """The file offset that a virtual address is loaded from, or None when no segment has it."""
        for kind, _, offset, start, _, size, _, _ in self.segments:
            if kind == PT_LOAD and start <= address < start + size:
                return offset + address - start
        return None

    @property
    def parts_code_from_data(self) -> bool:
        """Whether the first segment is read-only and holds the file's start, so that the linker kept
        tables and constants out of the segments with code."""
        for kind, flags, offset, *_ in self.segments:
            if kind == PT_LOAD:
                return offset == 0 and flags == _READ
        return False

    def first(self, kind: int) -> ProgramHeader | None:
        """The first program header of a type: the only one that kernel and loaders look at."""
        for segment in self.segments:
            if segment[0] == kind:
                return segment
        return None


def read_header(body: Body) -> ElfHeader:
    """Read the header and program headers of a file that begins with the ELF magic.

    Raises:
        MalformedBinary: shorter than an ELF header, or neither 32- nor 64-bit, little nor big.
    """
    head = body.read(0, 64)
    if len(head) < 52 or head[:4] != MAGIC:
        raise MalformedBinary("shorter than an ELF header")
    elf_class = {1: 32, 2: 64}.get(head[4])
    order = {1: "<", 2: ">"}.get(head[5])
    if elf_class is None or order is None or (elf_class == 64 and len(head) < 64):
        raise MalformedBinary("ELF class or byte order unknown, or header cut short")
    layout = _HEADERS[order, elf_class]
    (
        kind, machine, version, entry, table, _sections, flags,
        _header_size, entry_size, count, _section_entry_size, _section_count, _names,
    ) = layout.unpack_from(head, 16)  # fmt: skip
    segments, cut = _read_segments(body, elf_class, order, table, entry_size, count)
    return ElfHeader(
        elf_class=elf_class,
        order=order,
        os_abi=head[7],
        abi_version=head[8],
        type=kind,
        machine=machine,
        entry=entry,
        flags=flags,
        faults=_faults(head, version, entry_size, 56 if elf_class == 64 else 32),
        segments=segments,
        segments_cut=cut,
    )


def _faults(head: bytes, version: int, entry_size: int, expected_entry_size: int) -> tuple[str, ...]:
    faults = []
    if head[6] != 1:
        faults.append("ELF file version ident does not match current one")
    if head[9:16] != bytes(7):
        faults.append("nonzero padding in e_ident")
    if version != 1:
        faults.append("ELF file version does not match current one")
    if entry_size != expected_entry_size:
        faults.append("ELF file's phentsize not the expected size")
    return tuple(faults)


def _read_segments(
    body: Body, elf_class: int, order: str, table: int, entry_size: int, count: int
) -> tuple[tuple[ProgramHeader, ...], bool]:
    size = 56 if elf_class == 64 else 32
    if entry_size != size or count == _EXTENDED_NUMBERING or count > MAXIMUM_PROGRAM_HEADERS:
        return (), count > 0
    raw = body.read(table, size * count) if count else b""
    whole = raw[: len(raw) // size * size]
    if elf_class == 64:
        segments = tuple(map(_new_program_header, _SEGMENTS_64[order].iter_unpack(whole)))
    else:
        rows = struct.iter_unpack(order + "IIIIIIII", whole)
        segments = tuple(
            ProgramHeader(kind, flags, offset, address, physical, file_size, memory_size, alignment)
            for kind, offset, address, physical, file_size, memory_size, flags, alignment in rows
        )
    return segments, len(segments) < count
