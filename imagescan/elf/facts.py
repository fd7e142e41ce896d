"""What an ELF file is: the frozen facts that its headers and dynamic section state.

Follows the System V gABI (ELF header, program header, dynamic section), the Linux gABI
supplement (symbol versioning), and ``loader.md`` sections 2 to 6. Nothing here interprets:
what a loader makes of it is the ``loader`` room's business.
"""

from __future__ import annotations

import struct
from enum import IntEnum, StrEnum

from imagescan.dataclasses import NamedTuple, dataclass
from imagescan.elf.symbols import SymbolTable


class Machine(IntEnum):
    """``e_machine`` of the platforms in ``loader.md`` section 3.1 (elf.h EM_*)."""

    I386 = 3
    MIPS = 8
    PPC64 = 21
    S390 = 22
    ARM = 40
    SPARCV9 = 43
    X86_64 = 62
    AARCH64 = 183
    RISCV = 243
    LOONGARCH = 258


class ElfType(IntEnum):
    """``e_type``."""

    REL = 1
    EXEC = 2
    DYN = 3
    CORE = 4


class ElfKind(StrEnum):
    """What a file is for, as ``loader.md`` section 2.3 classifies."""

    PROGRAM = "program"  # has PT_INTERP, or is an executable with a dynamic section
    LIBRARY = "library"  # a shared object that is not a program
    STATIC = "static"  # an executable without loader
    OTHER = "other"  # relocatable, core, kernel module: never started, never loaded


@dataclass(frozen=True, slots=True)
class VersionRequirement:
    """One Vernaux: a version name that ``file`` must define; weak ones only warn."""

    name: str
    weak: bool = False


@dataclass(frozen=True, slots=True)
class VersionNeed:
    """One Verneed: the file name (equal to a needed entry) and its required versions."""

    file: str
    versions: tuple[VersionRequirement, ...]


class LoadSegment(NamedTuple):
    """One PT_LOAD program header; offsets, addresses and sizes in bytes."""

    offset: int
    address: int
    file_size: int
    memory_size: int
    alignment: int
    flags: int


_SEGMENT = struct.Struct("<QQQQQI")
pack_segment = _SEGMENT.pack  # the values of one ``LoadSegment``, as ``ElfFacts`` keeps them


@dataclass(frozen=True, slots=True)
class DlopenNote:
    """One entry of a ``.note.dlopen`` (UAPI.12): alternatives best first."""

    sonames: tuple[str, ...]
    feature: str = ""
    description: str = ""
    priority: str = "recommended"


@dataclass(frozen=True, slots=True)
class LoaderStrings:
    """Strings that a dynamic loader or libc carries in its file (``loader.md`` section 3).

    Empty where the file does not carry them. ``system_directories`` keeps order and duplicates.
    """

    system_directories: tuple[str, ...] = ()
    cache_path: str = ""
    preload_path: str = ""
    library_token: str = ""  # what $LIB expands to
    glibc_version: tuple[int, int] | None = None
    glibc_banner: str = ""
    musl_version: str = ""
    musl_architecture: str = ""
    is_gcompat_stub: bool = False
    data_encoding_patch: bool = False  # Debian: a foreign byte order is skipped, not fatal
    refuses_old_cpus: bool = False  # built for x86-64-v2 or newer, and looks before it does anything


@dataclass(frozen=True, slots=True)
class ElfFacts:
    """One ELF file. Optional strings are None when the tag is absent (empty is a value).

    ``needed`` keeps tag order and duplicates. ``rpath`` and ``runpath`` are raw, unexpanded.
    ``flags_1`` is DT_FLAGS_1, ``dynamic_flags`` DT_FLAGS. ``relr_without_version`` etc. are
    decided later: here only presence counts.
    """

    elf_class: int  # 32 or 64
    little_endian: bool
    machine: int
    type: int
    flags: int  # e_flags
    os_abi: int
    abi_version: int
    header_faults: tuple[str, ...]  # e_ident padding, e_version, e_phentsize: what glibc refuses
    kind: ElfKind
    interpreter: str | None
    interpreter_fault: str  # PT_INTERP that the kernel refuses (not terminated, too long), or ""
    has_dynamic: bool
    needed: tuple[str, ...] = ()
    soname: str | None = None
    rpath: str | None = None
    runpath: str | None = None
    filters: tuple[str, ...] = ()
    auxiliaries: tuple[str, ...] = ()
    audit: str | None = None
    dependency_audit: str | None = None
    dynamic_flags: int = 0
    flags_1: int = 0
    bind_now: bool = False
    symbolic: bool = False
    has_relr: bool = False
    has_static_tls: bool = False
    version_needs: tuple[VersionNeed, ...] = ()
    version_definitions: tuple[str, ...] = ()  # in index order, the base (file) name included
    has_version_definitions: bool = False
    symbols: SymbolTable | None = None
    packed_segments: bytes = b""  # what ``segments`` shows, in a quarter of the memory
    executable_stack: bool | None = None  # None: no PT_GNU_STACK
    abi_tag: tuple[int, int, int] | None = None  # .note.ABI-tag kernel floor (Linux only)
    isa_needed: int = 0  # GNU_PROPERTY_X86_ISA_1_NEEDED bits
    build_id: str = ""
    dlopen_notes: tuple[DlopenNote, ...] = ()
    is_go: bool = False
    loader_strings: LoaderStrings | None = None
    file_size: int = 0
    truncated: bool = False  # a PT_LOAD reaches past the end of the file
    damage: str = ""  # what could not be read, in one phrase

    @property
    def segments(self) -> tuple[LoadSegment, ...]:
        """The PT_LOAD program headers in the file's order."""
        return tuple(map(LoadSegment._make, _SEGMENT.iter_unpack(self.packed_segments)))

    @property
    def no_default_libraries(self) -> bool:
        """DF_1_NODEFLIB."""
        return bool(self.flags_1 & 0x800)

    @property
    def is_pie(self) -> bool:
        """DF_1_PIE."""
        return bool(self.flags_1 & 0x08000000)

    @property
    def may_be_refused_by_dlopen(self) -> bool:
        """Whether it may load at start-up and not later: DF_1_NOOPEN, an executable stack, static
        thread-local storage."""
        static_tls = self.symbols is not None and self.symbols.static_tls is not None
        return bool(self.executable_stack) or self.refuses_dlopen or static_tls

    @property
    def refuses_dlopen(self) -> bool:
        """DF_1_NOOPEN."""
        return bool(self.flags_1 & 0x40)
