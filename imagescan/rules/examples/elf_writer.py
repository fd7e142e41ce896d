"""Write the smallest ELF file with a given dynamic section: stand-ins for programs and libraries.

``ElfStandIn`` enters, the bytes of a file without code leave. Follows the System V gABI and the GNU
symbol versioning supplement. Everything lies in one PT_LOAD at address 0, so that addresses are
file offsets.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from imagescan.dataclasses import dataclass, field

_ET_EXEC, _ET_DYN = 2, 3
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP, _PT_NOTE, _PT_GNU_STACK = 1, 2, 3, 4, 0x6474E551
_SEGMENTS = 6
CPU_LEVELS = {"": 0, "x86-64-v2": 2, "x86-64-v3": 4, "x86-64-v4": 8}
_NOTE_ABI_TAG, _NOTE_GNU_PROPERTY, _NOTE_DLOPEN, _ISA_1_NEEDED = 1, 5, 0x407C0C0A, 0xC0008002
_READ_EXECUTE, _READ_WRITE_EXECUTE = 5, 7
_DF_1_PIE, _DF_1_NOOPEN = 0x08000000, 0x40
_R_X86_64_TPOFF64 = 18
_R_X86_64_IRELATIVE = 37
_DT = {
    "needed": 1, "pltrelsz": 2, "hash": 4, "strtab": 5, "symtab": 6, "rela": 7, "relasz": 8, "strsz": 10,
    "soname": 14, "rpath": 15, "pltrel": 20, "jmprel": 23, "runpath": 29, "relr": 36,
    "versym": 0x6FFFFFF0, "flags_1": 0x6FFFFFFB, "verdef": 0x6FFFFFFC, "verdefnum": 0x6FFFFFFD,
    "verneed": 0x6FFFFFFE, "verneednum": 0x6FFFFFFF,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Machine:
    number: int
    bits: int
    order: str
    flags: int
    data_relocation: int
    jump_slot: int


MACHINES: Mapping[str, _Machine] = {
    "x86-64": _Machine(62, 64, "<", 0, 6, 7),
    "i386": _Machine(3, 32, "<", 0, 6, 7),
    "aarch64": _Machine(183, 64, "<", 0, 1025, 1026),
    "armhf": _Machine(40, 32, "<", 0x05000400, 21, 22),
    "riscv64": _Machine(243, 64, "<", 4, 2, 5),
    "ppc64le": _Machine(21, 64, "<", 2, 20, 21),
    "s390x": _Machine(22, 64, ">", 0, 10, 11),
}


@dataclass(frozen=True, slots=True)
class ElfStandIn:
    """What the file is to say. Symbols are ``name`` or ``name@VERSION``; ``version_needs`` maps a
    needed file to version names; ``marks`` are bytes that lie in the file and mean nothing to ELF."""

    machine: str = "x86-64"
    type: str = "library"  # library, program (a PIE), executable (fixed address), static
    interpreter: str | None = None
    needed: tuple[str, ...] = ()
    soname: str | None = None
    rpath: str | None = None
    runpath: str | None = None
    version_needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    versions: tuple[str, ...] = ()
    defined: tuple[str, ...] = ()
    undefined: tuple[str, ...] = ()
    undefined_lazy: tuple[str, ...] = ()
    relative_relocations: bool = False
    executable_stack: bool = False
    indirect_functions: bool = False  # relocations of type IRELATIVE (x86-64 only)
    not_for_dlopen: bool = False  # DF_1_NOOPEN
    initial_exec_tls: bool = False  # a relocation of type TPOFF64 for the first defined symbol (x86-64 only)
    cpu_level: str = ""  # x86-64-v2 ...: GNU_PROPERTY_X86_ISA_1_NEEDED
    dlopen: str = ""  # the JSON text of a .note.dlopen
    abi_tag: str = ""  # 3.2.0: the oldest kernel of a .note.ABI-tag
    alignment: int = 0  # bytes; p_align of two PT_LOAD (otherwise there is one, aligned to 4096)
    marks: bytes = b""


def write_elf(wanted: ElfStandIn) -> bytes:
    """The bytes of a file that says what is wanted."""
    return _Writer(wanted).write()


class _Writer:
    def __init__(self, wanted: ElfStandIn) -> None:
        self._wanted = wanted
        self._machine = MACHINES[wanted.machine]
        self._wide = self._machine.bits == 64
        self._strings = bytearray(b"\0")
        self._body = bytearray()
        self._tags: list[tuple[int, int]] = []
        self._start = 64 + _SEGMENTS * 56 if self._wide else 52 + _SEGMENTS * 32
        # Version index 1 is the base; definitions come first, needs after them.
        self._indices: dict[str, int] = {}
        needed = [name for names in wanted.version_needs.values() for name in names]
        for name in (*wanted.versions, *needed):
            self._indices.setdefault(name, len(self._indices) + 2)

    def write(self) -> bytes:
        wanted = self._wanted
        interpreter = (0, 0)
        if wanted.interpreter is not None:
            interpreter = self._put(wanted.interpreter.encode("utf-8", "surrogateescape") + b"\0")
        self._put(wanted.marks)
        self._name_tags()
        self._symbol_tables()
        self._version_tables()
        place, length = self._put(bytes(self._strings))
        self._tags += [(_DT["strtab"], place), (_DT["strsz"], length)]
        flags = _DF_1_PIE * (wanted.type == "program") | _DF_1_NOOPEN * wanted.not_for_dlopen
        if flags:
            self._tags.append((_DT["flags_1"], flags))
        dynamic = (0, 0)
        if wanted.type != "static":
            word = "qQ" if self._wide else "iI"
            dynamic = self._put(b"".join(self._pack(word, *tag) for tag in (*self._tags, (0, 0))))
        notes = self._put(self._notes())
        return self._header(interpreter, dynamic, notes) + bytes(self._body)

    def _pack(self, layout: str, *values: int) -> bytes:
        return struct.pack(self._machine.order + layout, *values)

    def _put(self, content: bytes) -> tuple[int, int]:
        self._body += b"\0" * (-len(self._body) % 8)
        place = self._start + len(self._body)
        self._body += content
        return place, len(content)

    def _string(self, text: str) -> int:
        place = len(self._strings)
        self._strings += text.encode("utf-8", "surrogateescape") + b"\0"
        return place

    def _name_tags(self) -> None:
        wanted = self._wanted
        self._tags += [(_DT["needed"], self._string(name)) for name in wanted.needed]
        for tag in ("soname", "rpath", "runpath"):
            text = getattr(wanted, tag)
            if text is not None:
                self._tags.append((_DT[tag], self._string(text)))
        if wanted.relative_relocations:
            self._tags.append((_DT["relr"], 0))

    def _symbol_tables(self) -> None:
        wanted = self._wanted
        undefined = (*wanted.undefined, *wanted.undefined_lazy)
        rows = [self._symbol("", 0, 0)]
        rows += [self._symbol(name.partition("@")[0], 0x10, 0) for name in undefined]
        rows += [self._symbol(name.partition("@")[0], 0x10, 1) for name in wanted.defined]
        names = ("", *undefined, *wanted.defined)
        versions = [0, *(self._indices.get(name.partition("@")[2].lstrip("@"), 1) for name in names[1:])]
        self._tag_table("symtab", b"".join(rows))
        if self._indices:
            self._tag_table("versym", b"".join(self._pack("H", version) for version in versions))
        self._tag_table("hash", self._pack("QQ" if self._is_s390() else "II", 0, len(rows)))
        slots = range(1, len(undefined) + 1)
        immediate, lazy = slots[: len(wanted.undefined)], slots[len(wanted.undefined) :]
        for tag, size, numbers, kind in (
            ("rela", "relasz", immediate, self._machine.data_relocation),
            ("jmprel", "pltrelsz", lazy, self._machine.jump_slot),
        ):
            table = b"".join(self._relocation(number, kind) for number in numbers)
            if tag == "rela" and wanted.indirect_functions:
                table += self._relocation(0, _R_X86_64_IRELATIVE)
            if tag == "rela" and wanted.initial_exec_tls:
                table += self._relocation(len(undefined) + 1, _R_X86_64_TPOFF64)
            if table:
                self._tag_table(tag, table)
                self._tags.append((_DT[size], len(table)))
        if lazy:
            self._tags.append((_DT["pltrel"], _DT["rela"]))

    def _is_s390(self) -> bool:
        return self._wanted.machine == "s390x"

    def _tag_table(self, tag: str, content: bytes) -> None:
        place, _ = self._put(content)
        self._tags.append((_DT[tag], place))

    def _symbol(self, name: str, info: int, section: int) -> bytes:
        place = self._string(name) if name else 0
        value = 0x1000 if section else 0
        if self._wide:
            return self._pack("IBBHQQ", place, info, 0, section, value, 0)
        return self._pack("IIIBBH", place, value, 0, info, 0, section)

    def _relocation(self, number: int, kind: int) -> bytes:
        if self._wide:
            return self._pack("QQq", 0x2000, number << 32 | kind, 0)
        return self._pack("IIi", 0x2000, number << 8 | kind, 0)

    def _version_tables(self) -> None:
        wanted = self._wanted
        if wanted.versions:
            names = (wanted.soname or "", *wanted.versions)
            table = b""
            for index, name in enumerate(names, 1):
                following = 28 if index < len(names) else 0
                base = 1 if index == 1 else 0
                table += self._pack("HHHHIII", 1, base, index, 1, 0, 20, following)
                table += self._pack("II", self._string(name), 0)
            self._tag_table("verdef", table)
            self._tags.append((_DT["verdefnum"], len(names)))
        if wanted.version_needs:
            table = b""
            for position, (file, versions) in enumerate(wanted.version_needs.items(), 1):
                size = 16 + 16 * len(versions)
                following = size if position < len(wanted.version_needs) else 0
                table += self._pack("HHIII", 1, len(versions), self._string(file), 16, following)
                for place, name in enumerate(versions, 1):
                    step = 16 if place < len(versions) else 0
                    table += self._pack("IHHII", 0, 0, self._indices[name], self._string(name), step)
            self._tag_table("verneed", table)
            self._tags.append((_DT["verneednum"], len(wanted.version_needs)))

    def _notes(self) -> bytes:
        notes = b""
        if self._wanted.cpu_level:
            bits = CPU_LEVELS[self._wanted.cpu_level]
            content = self._pack("IIII" if self._wide else "III", _ISA_1_NEEDED, 4, bits, *([0] * self._wide))
            notes += self._note(b"GNU\0", _NOTE_GNU_PROPERTY, content)
        if self._wanted.abi_tag:
            release = (int(part) for part in self._wanted.abi_tag.split("."))
            notes += self._note(b"GNU\0", _NOTE_ABI_TAG, self._pack("IIII", 0, *release))
        if self._wanted.dlopen:
            notes += self._note(b"FDO\0", _NOTE_DLOPEN, self._wanted.dlopen.encode() + b"\0")
        return notes

    def _note(self, owner: bytes, kind: int, content: bytes) -> bytes:
        head = self._pack("III", len(owner), len(content), kind) + owner
        return head + content + bytes(-len(content) % 8)

    def _header(
        self, interpreter: tuple[int, int], dynamic: tuple[int, int], notes: tuple[int, int]
    ) -> bytes:
        machine = self._machine
        fixed = self._wanted.type in ("executable", "static")
        ident = b"\x7fELF" + bytes((2 if self._wide else 1, 1 if machine.order == "<" else 2, 1)) + bytes(9)
        word = "Q" if self._wide else "I"
        sizes = (64, 56) if self._wide else (52, 32)
        head = ident + self._pack(
            f"HHI{word * 3}IHHHHHH",
            _ET_EXEC if fixed else _ET_DYN,
            machine.number, 1, 0, sizes[0], 0, machine.flags, sizes[0], sizes[1], _SEGMENTS, 0, 0, 0,
        )  # fmt: skip
        whole = (0, self._start + len(self._body))
        kinds = (
            (_PT_INTERP, interpreter),
            (_PT_LOAD, whole),
            (_PT_DYNAMIC, dynamic),
            (_PT_NOTE, notes),
            (_PT_GNU_STACK, (0, int(self._wanted.executable_stack))),
        )
        segments = b"".join(self._segment(kind if place[1] else 0, *place) for kind, place in kinds)
        return head + segments + self._second_load(sum(whole))

    def _second_load(self, end: int) -> bytes:
        """A segment of zeros behind the file, as .bss is; only where an alignment is asked for."""
        align = self._wanted.alignment
        if not align:
            return self._segment(0, 0, 0)
        place = -(-end // align) * align
        if self._wide:
            return self._pack("IIQQQQQQ", _PT_LOAD, _READ_EXECUTE, place, place, place, 0, 8, align)
        return self._pack("IIIIIIII", _PT_LOAD, place, place, place, 0, 8, _READ_EXECUTE, align)

    def _segment(self, kind: int, offset: int, size: int) -> bytes:
        align = {_PT_LOAD: self._wanted.alignment or 0x1000, _PT_NOTE: 8}.get(kind, 1)
        flags = _READ_WRITE_EXECUTE if kind == _PT_GNU_STACK else _READ_EXECUTE
        if kind == _PT_GNU_STACK:
            size = 0
        if self._wide:
            return self._pack("IIQQQQQQ", kind, flags, offset, offset, offset, size, size, align)
        return self._pack("IIIIIIII", kind, offset, offset, offset, size, size, flags, align)
