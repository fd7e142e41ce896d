"""Read one ELF file: a ``Body`` enters, ``ElfFacts`` leave.

Everything is found through program headers and the dynamic section, as the kernel and the
loaders do it, so files with stripped section headers read the same. A file with a whole ELF
header always gives facts; what further in is damaged is named in ``damage``.
Follows the System V gABI and ``loader.md`` sections 2 to 6.
"""

from __future__ import annotations

import struct
from array import array

from imagescan.elf import dynamic as tag
from imagescan.elf.dynamic import DynamicSection, read_dynamic
from imagescan.elf.facts import ElfFacts, ElfKind, ElfType, LoaderStrings, Machine, pack_segment
from imagescan.elf.hash_table import MAXIMUM_SYMBOLS, read_hash_table
from imagescan.elf.header import EXECUTE, PT_DYNAMIC, PT_GNU_STACK, PT_INTERP, ElfHeader, read_header
from imagescan.elf.loader_strings import MAXIMUM_LOADER_SIZE, is_gcompat_stub, read_loader_strings
from imagescan.elf.notes import read_notes
from imagescan.elf.relocations import RelocatedSymbols, read_relocations
from imagescan.elf.symbols import SymbolColumns, SymbolTable, pack_columns, word_column
from imagescan.errors import MalformedBinary
from imagescan.layers.body import NotKept
from imagescan.layers.values import Body, ColumnStore
from imagescan.patterns import pattern

MAXIMUM_INTERPRETER = 4096  # fs/binfmt_elf.c PATH_MAX
_MAXIMUM_STUB_SIZE = 64 << 10  # bytes; gcompat's loader has 18 KiB

_DF_SYMBOLIC, _DF_BIND_NOW, _DF_STATIC_TLS = 0x2, 0x8, 0x10
_DF_1_NOW, _DF_1_PIE = 0x1, 0x08000000
_EXECUTABLE, _SHARED_OBJECT = int(ElfType.EXEC), int(ElfType.DYN)
_NO_DYNAMIC_SECTION = DynamicSection({}, b"", (), (), (), (), (), array("I"))
_GLIBC = "libc.so.6"
_LIBC_SONAME = pattern(r"libc(?:\.so\.6|\.so|\.musl-.*)|ld-.*|ld\.so.*|ld64\.so.*")


def read_elf(body: Body, store: ColumnStore) -> ElfFacts:
    """Read the facts of a file that begins with the ELF magic; its symbols go to ``store``.

    Raises:
        MalformedBinary: not even a whole ELF header.
        LimitExceeded: the store is full.
    """
    header = read_header(body)
    damage = "program headers reach past the end of the file" if header.segments_cut else ""
    section: DynamicSection | None = None
    symbols: SymbolTable | None = None
    try:
        section = read_dynamic(header, body)
        if section is not None:
            symbols = _read_symbols(header, body, section, store)
    except (MalformedBinary, NotKept, struct.error, OverflowError) as error:
        damage = damage or str(error)
    return _facts(header, body, section, symbols, damage)


def _facts(
    header: ElfHeader, body: Body, section: DynamicSection | None, symbols: SymbolTable | None, damage: str
) -> ElfFacts:
    interpreter, interpreter_fault = _read_interpreter(header, body)
    section = section or _NO_DYNAMIC_SECTION
    tags, string = section.tags, section.string
    flags, flags_1 = tags.get(tag.DT_FLAGS, 0), tags.get(tag.DT_FLAGS_1, 0)
    soname, runpath = string(tag.DT_SONAME), string(tag.DT_RUNPATH)
    notes = read_notes(header, body)
    stack = header.first(PT_GNU_STACK)
    packed_segments, is_truncated = _pack_segments(header, body.size)
    encoding, has_dynamic = header.encoding, section is not _NO_DYNAMIC_SECTION
    return ElfFacts(
        elf_class=encoding.elf_class,
        little_endian=encoding.order == "<",
        machine=header.machine,
        type=header.type,
        flags=header.flags,
        os_abi=header.os_abi,
        abi_version=header.abi_version,
        header_faults=header.faults,
        kind=_kind(header, interpreter is not None, flags_1, soname, has_dynamic),
        interpreter=interpreter,
        interpreter_fault=interpreter_fault,
        has_dynamic=has_dynamic,
        needed=section.needed,
        soname=soname,
        # glibc drops RPATH where RUNPATH exists (elf_get_dynamic_info); musl overwrites it.
        rpath=string(tag.DT_RPATH) if runpath is None else None,
        runpath=runpath,
        filters=section.filters,
        auxiliaries=section.auxiliaries,
        audit=string(tag.DT_AUDIT),
        dependency_audit=string(tag.DT_DEPAUDIT),
        dynamic_flags=flags,
        flags_1=flags_1,
        bind_now=tag.DT_BIND_NOW in tags or bool(flags & _DF_BIND_NOW or flags_1 & _DF_1_NOW),
        symbolic=tag.DT_SYMBOLIC in tags or bool(flags & _DF_SYMBOLIC),
        has_relr=tag.DT_RELR in tags,
        has_static_tls=bool(flags & _DF_STATIC_TLS),
        version_needs=section.version_needs,
        version_definitions=section.version_definitions,
        has_version_definitions=tag.DT_VERDEF in tags,
        symbols=symbols,
        packed_segments=packed_segments,
        executable_stack=bool(stack.flags & EXECUTE) if stack else None,
        abi_tag=notes.abi_tag,
        isa_needed=notes.isa_needed,
        build_id=notes.build_id,
        dlopen_notes=notes.dlopen,
        is_go=notes.is_go,
        loader_strings=_read_loader_strings(body, header, section, interpreter, soname),
        file_size=body.size,
        truncated=is_truncated,
        damage=damage,
    )


def _pack_segments(header: ElfHeader, file_size: int) -> tuple[bytes, bool]:
    """The PT_LOAD segments as ``ElfFacts`` keeps them, and whether one reaches past the end of the file."""
    packed = b""
    is_truncated = False
    for _, flags, offset, address, _, size, memory_size, alignment in header.loads:
        packed += pack_segment(offset, address, size, memory_size, alignment, flags)
        if size and offset + size > file_size:
            is_truncated = True
    return packed, is_truncated


def _kind(
    header: ElfHeader, has_interpreter: bool, flags_1: int, soname: str | None, dynamic: bool
) -> ElfKind:
    """Program, library, static or other, as ``loader.md`` section 2.3 tells them apart."""
    segment = header.first(PT_DYNAMIC)
    debug_only = segment is not None and segment.file_size == 0
    if header.type not in (_EXECUTABLE, _SHARED_OBJECT) or debug_only:
        return ElfKind.OTHER
    is_pie = bool(flags_1 & _DF_1_PIE)
    if header.type == _EXECUTABLE or is_pie or (has_interpreter and soname is None):
        return ElfKind.PROGRAM if has_interpreter else ElfKind.STATIC
    return ElfKind.LIBRARY if dynamic else ElfKind.OTHER


def _read_interpreter(header: ElfHeader, body: Body) -> tuple[str | None, str]:
    """PT_INTERP and why the kernel would refuse it (fs/binfmt_elf.c load_elf_binary)."""
    segment = header.first(PT_INTERP)
    if segment is None:
        return None, ""
    if not 2 <= segment.file_size <= MAXIMUM_INTERPRETER:
        return "", "interpreter name shorter than 2 or longer than 4096 bytes"
    raw = body.read(segment.offset, segment.file_size)
    name = raw.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
    if len(raw) < segment.file_size:
        return name, "interpreter name reaches past the end of the file"
    return name, "" if raw.endswith(b"\0") else "interpreter name not terminated"


def _read_symbols(
    header: ElfHeader, body: Body, section: DynamicSection, store: ColumnStore
) -> SymbolTable | None:
    tags, encoding = section.tags, header.encoding
    start = header.file_offset(tags[tag.DT_SYMTAB]) if tag.DT_SYMTAB in tags else None
    if start is None:
        return None
    relocated = read_relocations(header, body, tags)
    hashed = read_hash_table(header, body, tags)
    highest = relocated.highest()
    count = max(hashed.symbols, highest + 1 if highest else 0)
    got_first, got_end = tags.get(tag.DT_MIPS_GOTSYM), tags.get(tag.DT_MIPS_SYMTABNO)
    if got_first is not None and got_end is not None:
        count = max(count, got_end)
    if count > MAXIMUM_SYMBOLS:
        raise MalformedBinary("more dynamic symbols than any real file has")
    row = 24 if encoding.elf_class == 64 else 16
    symbols = body.read(start, count * row)
    versions = b""
    if tag.DT_VERSYM in tags:
        place = header.file_offset(tags[tag.DT_VERSYM])
        versions = body.read(place, 2 * count) if place is not None else b""
    if got_first is not None and got_end is not None and header.machine == Machine.MIPS:
        _add_mips_got(header, symbols, got_first, got_end, relocated)
    columns = SymbolColumns(
        symbols if not len(symbols) % row else symbols[: len(symbols) // row * row],
        section.strings,
        versions,
        hashed.table,
        word_column(section.version_names),
        relocated.column(),
    )
    offset, length = store.append(pack_columns(columns))
    return SymbolTable(
        elf_class=encoding.elf_class,
        order=encoding.order,
        first_hashed=hashed.first,
        hash_kind=hashed.kind,
        has_versions=bool(versions),
        relative_ifunc=relocated.relative_ifunc,
        static_tls=_static_tls(header, columns, relocated.static_tls) if relocated.static_tls else None,
        offset=offset,
        length=length,
        store=store,
    )


def _static_tls(header: ElfHeader, columns: SymbolColumns, indices: list[int]) -> str:
    """The first name among the variables that need static thread-local storage."""
    row = 24 if header.encoding.elf_class == 64 else 16
    first = next((index for index in indices if 0 < index < len(columns.symbols) // row), None)
    if first is None:
        return ""
    (place,) = struct.unpack_from(header.encoding.order + "I", columns.symbols, first * row)
    name = columns.strings[place : columns.strings.find(b"\0", place)]
    return name.decode("utf-8", "surrogateescape")


def _add_mips_got(
    header: ElfHeader, symbols: bytes, first: int, end: int, relocated: RelocatedSymbols
) -> None:
    """MIPS binds global offset table entries without relocations; functions have lazy stubs."""
    row, layout = (24, "IBBHQQ") if header.encoding.elf_class == 64 else (16, "IIIBBH")
    for index in range(first, min(end, len(symbols) // row)):
        fields = struct.unpack_from(header.encoding.order + layout, symbols, index * row)
        info, section, value = (
            (fields[1], fields[3], fields[4]) if row == 24 else (fields[3], fields[5], fields[1])
        )
        is_stub = section == 0 and value != 0 and info & 15 == 2
        (relocated.lazy if is_stub else relocated.immediate).append(index)


def _read_loader_strings(
    body: Body, header: ElfHeader, section: DynamicSection, interpreter: str | None, soname: str | None
) -> LoaderStrings | None:
    """Look for a loader's strings where a loader could be: in shared objects that need nothing, in
    files that carry a libc's or loader's soname, and in small files (gcompat's stub)."""
    if header.type != _SHARED_OBJECT or body.size > MAXIMUM_LOADER_SIZE:
        return None
    is_pie = bool(section.tags.get(tag.DT_FLAGS_1, 0) & _DF_1_PIE)
    named = soname is not None and _LIBC_SONAME.fullmatch(soname) is not None
    if named or (not section.needed and interpreter is None and not is_pie):
        return read_loader_strings(_constants(header, body))
    if body.size <= _MAXIMUM_STUB_SIZE and _GLIBC not in section.needed:
        # Everything else that is linked statically repeats its libc's strings (ldconfig does).
        content = _constants(header, body)
        strings = read_loader_strings(content) if is_gcompat_stub(content) else None
        return strings if strings is not None and strings.is_gcompat_stub else None
    return None


def _constants(header: ElfHeader, body: Body) -> bytes:
    """What a file loads, without its code where that is in segments of its own."""
    without_code = header.parts_code_from_data
    parts: list[bytes] = []
    room = MAXIMUM_LOADER_SIZE  # segments of a hostile file overlap
    for _, flags, offset, _, _, size, _, _ in header.loads:
        if not (without_code and flags & EXECUTE) and size <= room:
            parts.append(body.read(offset, size))
            room -= len(parts[-1])
    return b"\0".join(parts)
