"""Whether a loader takes a file that it found: accept, skip, or give up.

A directory entry and the loader's own ABI enter, a ``Judgement`` leaves. Mirrors glibc
``open_verify`` and ``_dl_map_object_from_fd`` (elf/dl-load.c) and musl ``map_library``
(ldso/dynlink.c); ``loader.md`` sections 4.3 and 7.4.
"""

from __future__ import annotations

from imagescan.dataclasses import dataclass
from imagescan.elf.facts import ElfFacts, ElfType, LoadSegment, Machine
from imagescan.filesystem.values import FileEntry
from imagescan.layers.values import EntryKind
from imagescan.loader.values import Outcome

PAGE_SIZE = 4096  # the smallest page: what every kernel of these platforms maps at least

_SYSV, _GNU, _ARM_AEABI = 0, 3, 64
_ABI_VERSION_LIMIT: dict[int, int] = {
    Machine.X86_64: 4,
    Machine.I386: 4,
    Machine.PPC64: 4,
    Machine.RISCV: 4,
    Machine.MIPS: 6,
}
_ARM_FLOAT = 0x600
_ARM_SOFT, _ARM_HARD = 0x200, 0x400
_RISCV_FLOAT = 0x6
_MIPS_NAN2008 = 0x400


@dataclass(frozen=True, slots=True)
class Judgement:
    """The loader's view of one file: FOUND, a skip, or STOPS with the loader's words."""

    outcome: Outcome
    detail: str = ""


_FOUND = Judgement(Outcome.FOUND)


@dataclass(frozen=True, slots=True)
class GlibcAcceptance:
    """What a glibc loader of one ABI and version accepts.

    ``skips_foreign_byte_order`` is Debian's and Ubuntu's patch, ``maps_by_page_size`` holds from
    2.35 (before, a segment's own alignment counted); ``checks_abi_tag`` holds up to
    glibc 2.35; ``kernel`` is compared with the tag.
    """

    abi: ElfFacts
    skips_foreign_byte_order: bool
    checks_abi_tag: bool
    refuses_pie: bool
    maps_by_page_size: bool
    kernel: tuple[int, int, int]

    def open_verify(self, entry: FileEntry) -> Judgement:
        """Judge a file before it is identified with one already loaded."""
        elf = entry.content
        if not isinstance(elf, ElfFacts):
            return _not_elf(entry)
        if elf.elf_class != self.abi.elf_class:
            return Judgement(Outcome.WRONG_CLASS, f"wrong ELF class: ELFCLASS{elf.elf_class}")
        same_order = elf.little_endian == self.abi.little_endian
        # The loader reads e_machine in its own byte order, whatever e_ident says.
        machine = elf.machine if same_order else (elf.machine >> 8 | elf.machine << 8) & 0xFFFF
        foreign = machine != self.abi.machine or (same_order and not matches_machine(self.abi, elf))
        if foreign and (self.skips_foreign_byte_order or same_order):
            return Judgement(Outcome.WRONG_MACHINE, f"e_machine {elf.machine}")
        fault = self._identification_fault(elf)
        if fault:
            return Judgement(Outcome.STOPS, fault)
        if self.checks_abi_tag and elf.abi_tag and elf.abi_tag > self.kernel:
            return Judgement(
                Outcome.KERNEL_TOO_OLD, "ABI tag asks for Linux " + ".".join(map(str, elf.abi_tag))
            )
        return _FOUND

    def _identification_fault(self, elf: ElfFacts) -> str:
        if elf.little_endian != self.abi.little_endian:
            return f"ELF file data encoding not {'little' if self.abi.little_endian else 'big'}-endian"
        if elf.os_abi not in (_SYSV, _GNU) and not (elf.machine == Machine.ARM and elf.os_abi == _ARM_AEABI):
            return "ELF file OS ABI invalid"
        if elf.abi_version and not self._accepts_abi_version(elf):
            return "ELF file ABI version invalid"
        if elf.header_faults:
            return elf.header_faults[0]
        if elf.type not in (ElfType.DYN, ElfType.EXEC):
            return "only ET_DYN and ET_EXEC can be loaded"
        if elf.damage.startswith("program headers"):
            return "cannot read file data"
        return ""

    @staticmethod
    def _accepts_abi_version(elf: ElfFacts) -> bool:
        limit = _ABI_VERSION_LIMIT.get(elf.machine, 3)
        return elf.abi_version < limit and (elf.os_abi == _GNU or elf.machine == Machine.MIPS)

    def map_object(self, elf: ElfFacts) -> Judgement:
        """Judge a file that is not yet loaded as it is mapped."""
        if not elf.segments:
            return Judgement(Outcome.STOPS, "object file has no loadable segments")
        fault = self._segment_fault(elf.segments)
        if fault:
            return Judgement(Outcome.STOPS, fault)
        if elf.type == ElfType.EXEC:
            return Judgement(Outcome.STOPS, "cannot dynamically load executable")
        if not elf.has_dynamic:
            return Judgement(Outcome.STOPS, "object file has no dynamic section")
        if elf.is_pie and self.refuses_pie:
            return Judgement(Outcome.STOPS, "cannot dynamically load position-independent executable")
        return _FOUND

    def _segment_fault(self, segments: tuple[LoadSegment, ...]) -> str:
        """The page alignment of the segments, and from 2.35 their order where they leave holes
        (``_dl_map_segments``, elf/dl-map-segments.h)."""
        if not self.maps_by_page_size:
            if any(one.alignment % PAGE_SIZE for one in segments):
                return "ELF load command alignment not page-aligned"
            aligned = all((one.address - one.offset) % max(one.alignment, 1) == 0 for one in segments)
            return "" if aligned else "ELF load command address/offset not properly aligned"
        starts = [one.address // PAGE_SIZE for one in segments]
        ends = [-(-(one.address + one.file_size) // PAGE_SIZE) for one in segments]
        has_holes = any(end != start for end, start in zip(ends, starts[1:], strict=False))
        unaligned = any((one.address - one.offset) % PAGE_SIZE for one in segments)
        if unaligned or (has_holes and starts[-1] < ends[0]):
            return "ELF load command address/offset not page-aligned"
        return ""


def _not_elf(entry: FileEntry) -> Judgement:
    if entry.kind == EntryKind.DIRECTORY:
        return Judgement(Outcome.STOPS, "cannot read file data: Is a directory")
    if entry.kind != EntryKind.FILE or entry.size < 52:
        return Judgement(Outcome.STOPS, "file too short")
    return Judgement(Outcome.STOPS, "invalid ELF header")


def matches_machine(abi: ElfFacts, elf: ElfFacts) -> bool:
    """Whether a file's machine and ABI flags suit a loader: ``elf_machine_matches_host`` of each
    architecture with Debian's treatment of the float ABIs."""
    if elf.machine != abi.machine or elf.little_endian != abi.little_endian:
        return False
    if elf.machine == Machine.ARM:
        marks = {elf.flags & _ARM_FLOAT, abi.flags & _ARM_FLOAT}
        return not {_ARM_SOFT, _ARM_HARD} <= marks
    if elf.machine == Machine.PPC64:
        return elf.flags & 3 in (0, 2) or elf.flags & 3 == abi.flags & 3
    if elf.machine == Machine.RISCV:
        return elf.flags & _RISCV_FLOAT == abi.flags & _RISCV_FLOAT
    if elf.machine == Machine.MIPS:
        return elf.flags & _MIPS_NAN2008 == abi.flags & _MIPS_NAN2008
    return True


def judge_for_musl(abi: ElfFacts, entry: FileEntry) -> Judgement:
    """musl takes the first file that opens and looks only at its type and dynamic section."""
    if entry.kind == EntryKind.DIRECTORY:
        return Judgement(Outcome.STOPS, "Is a directory")
    elf = entry.content
    if not isinstance(elf, ElfFacts) or elf.type not in (ElfType.DYN, ElfType.EXEC):
        return Judgement(Outcome.STOPS, "Exec format error")
    if elf.elf_class != abi.elf_class or elf.little_endian != abi.little_endian or not elf.segments:
        return Judgement(Outcome.STOPS, "Exec format error")
    if not elf.has_dynamic:
        return Judgement(Outcome.STOPS, "Exec format error")
    return _FOUND
