"""What a regular file is, told from its bytes: the one inspector that layers are read with.

A path and a ``Body`` enter; ``ElfFacts``, ``Script``, ``ForeignBinary``, ``Archive``, ``KeptFile``,
``DatabaseFile`` or None leave. Mode and name do not matter for programs; archives are told by both;
a handful of small files that loaders and the runtime read (caches, path files, accounts) are kept by
name, and the package databases compressed. Formats: gABI, fs/binfmt_script.c,
Mach-O ``loader.h``, Microsoft's PE format.
"""

from __future__ import annotations

import struct

from imagescan.archives.reader import ARCHIVE_SUFFIXES, read_archive
from imagescan.archives.values import Archive
from imagescan.dataclasses import dataclass
from imagescan.elf.facts import ElfFacts
from imagescan.elf.header import MAGIC as ELF_MAGIC
from imagescan.elf.kept import kept_ranges
from imagescan.elf.reader import read_elf
from imagescan.errors import LimitExceeded
from imagescan.layers.values import Body, ColumnStore, ImagePath, Interest
from imagescan.packages.values import MAXIMUM_DATABASE, DatabaseFile
from imagescan.patterns import pattern
from imagescan.scripts import TEXT_LIMIT, Script, read_script

MAXIMUM_KEPT_FILE = 16 << 20  # bytes; an ld.so.cache of 100,000 entries has 10 MiB
MAXIMUM_DATABASES = 256 << 20  # compressed bytes of all package database files of one image
TOO_MANY_DATABASES = f"the package databases have more than {MAXIMUM_DATABASES >> 20} MiB"

_SCRIPT_STARTS = (b"#!", b"\xef\xbb\xbf#!")
_KEPT = pattern(
    r"(?:.*/)?(?:ld\.so\.cache|ld-musl-[^/]*\.path|etc/[^/]*\.preload|etc/(?:passwd|group)|os-release"
    r"|pyvenv\.cfg"
    r"|[^/]*\.dist-info/WHEEL)"
)
_KEPT_ENDS = ("ld.so.cache", ".path", ".preload", "passwd", "group", "os-release", "WHEEL", "pyvenv.cfg")
_KEPT_TAILS = frozenset(one[-2:] for one in _KEPT_ENDS)  # asked of every file
_DATABASE = pattern(
    r"var/lib/dpkg/(?:status|diversions|status\.d/[^/]+|info/[^/]+\.list)"
    r"|(?:usr/)?lib/apk/db/installed"
    r"|(?:var/lib|usr/lib/sysimage|usr/share)/rpm/(?:rpmdb\.sqlite(?:-wal)?|Packages(?:\.db)?)"
)
_DATABASE_STARTS = ("var/lib/", "lib/apk/", "usr/lib/apk/", "usr/lib/sysimage/", "usr/share/rpm/")
_ARCHIVE_START = b"PK\3\4"
_MACH_O_STARTS = (b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe")
_MACH_O_FAT = b"\xca\xfe\xba\xbe"
_STARTS = frozenset((ELF_MAGIC, *_MACH_O_STARTS, _MACH_O_FAT))
_SHORT_STARTS = frozenset((b"#!", b"MZ"))
_POSSIBLE_STARTS = frozenset(one[:2] for one in (*_STARTS, *_SHORT_STARTS, *_SCRIPT_STARTS, _ARCHIVE_START))
_MAXIMUM_FAT_ARCHITECTURES = 30  # Java class files share the magic; their version there is 45 or more
_MACH_O_MACHINES = {7: "i386", 0x01000007: "x86-64", 12: "arm", 0x0100000C: "arm64", 18: "powerpc"}
_PE_MACHINES = {0x14C: "i386", 0x8664: "x86-64", 0x1C0: "arm", 0x1C4: "arm", 0xAA64: "arm64"}
_PE_MANAGED_DIRECTORY = 14  # IMAGE_DIRECTORY_ENTRY_COM_DESCRIPTOR


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A small file that a later room reads whole."""

    data: bytes

    @property
    def text(self) -> str:
        """The content as UTF-8 text, undecodable bytes as lone surrogates."""
        return self.data.decode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class ForeignBinary:
    """A program or library of another operating system.

    ``format`` is "Mach-O" or "PE"; ``machines`` what it is built for (several in a universal
    Mach-O file); ``managed`` marks a .NET assembly, which Linux runtimes do load.
    """

    format: str
    machines: tuple[str, ...]
    managed: bool = False


Content = ElfFacts | Script | ForeignBinary | Archive | KeptFile | DatabaseFile
"""What the inspector makes of a file; the layer cache keeps values of these classes and no others."""


class FileInspector:
    """Looks at every regular file of a layer (``layers.values.ContentInspector``)."""

    NAME = "content"
    VERSION = 4
    INTEREST = Interest(
        starts=_POSSIBLE_STARTS,
        endings=frozenset(one.encode() for one in _KEPT_TAILS),
        folders=tuple(one.removesuffix("/").encode() for one in _DATABASE_STARTS),
    )

    def __init__(self) -> None:
        self._databases = 0

    def wants(self, path: ImagePath, size: int, head: bytes) -> bool:
        """Whether the first bytes or the name promise facts."""
        if head[:2] in _POSSIBLE_STARTS:
            start = head[:4]
            if start in _STARTS or start[:2] in _SHORT_STARTS or head[:5] == _SCRIPT_STARTS[1]:
                return True
            if start == _ARCHIVE_START and _is_archive(path, start):
                return True
        return _is_kept(path) or _is_database(path)

    def parts(self, path: ImagePath, start: Body) -> tuple[range, ...] | None:
        """Of a large ELF file what a loader reads, of other files everything."""
        if _is_kept(path) or _is_database(path) or start.read(0, 4) != ELF_MAGIC:
            return None
        return kept_ranges(start)

    def inspect(self, path: ImagePath, body: Body, store: ColumnStore) -> object | None:
        """The facts of one file; symbols of ELF files go to ``store``.

        Raises:
            MalformedBinary: an ELF file without a whole header.
            LimitExceeded: a file to be kept is larger than ``MAXIMUM_KEPT_FILE``; or a package
                database than ``MAXIMUM_DATABASE``, or all together than ``MAXIMUM_DATABASES``.
        """
        if _is_database(path):
            return self._keep_database(body)
        if _is_kept(path):
            return _keep(body)
        head = body.read(0, 512)
        if head.startswith(ELF_MAGIC):
            # Too short to be one: what a loader says of it follows from its size alone.
            return read_elf(body, store) if body.size >= 52 else None
        if _is_archive(path, head[:4]):
            return read_archive(body, store)
        if head.startswith(_SCRIPT_STARTS):
            whole = body.read(0, TEXT_LIMIT) if body.size <= TEXT_LIMIT else head
            return read_script(path, whole, body.size)
        return _read_mach_o(head) or _read_pe(body, head)

    def _keep_database(self, body: Body) -> DatabaseFile:
        if body.size > MAXIMUM_DATABASE:
            raise LimitExceeded(f"larger than {MAXIMUM_DATABASE >> 20} MiB, so it was not read")
        if self._databases > MAXIMUM_DATABASES:
            raise LimitExceeded(TOO_MANY_DATABASES)
        kept = DatabaseFile.pack(body.read(0, body.size))
        self._databases += len(kept.packed)
        return kept


def _is_kept(path: ImagePath) -> bool:
    return path[-2:] in _KEPT_TAILS and path.endswith(_KEPT_ENDS) and _KEPT.fullmatch(path) is not None


def _is_database(path: ImagePath) -> bool:
    return path.startswith(_DATABASE_STARTS) and _DATABASE.fullmatch(path) is not None


def _is_archive(path: ImagePath, start: bytes) -> bool:
    return start == _ARCHIVE_START and path.lower().endswith(ARCHIVE_SUFFIXES)


def _keep(body: Body) -> KeptFile:
    if body.size > MAXIMUM_KEPT_FILE:
        raise LimitExceeded(f"larger than {MAXIMUM_KEPT_FILE >> 20} MiB, so it was not read")
    return KeptFile(body.read(0, body.size))


def _read_mach_o(head: bytes) -> ForeignBinary | None:
    if head[:4] in _MACH_O_STARTS and len(head) >= 8:
        order = ">" if head[:2] == b"\xfe\xed" else "<"
        (machine,) = struct.unpack_from(order + "I", head, 4)
        return ForeignBinary("Mach-O", (_MACH_O_MACHINES.get(machine, f"cputype {machine}"),))
    if head[:4] == _MACH_O_FAT and len(head) >= 8:
        (count,) = struct.unpack_from(">I", head, 4)
        if 0 < count <= _MAXIMUM_FAT_ARCHITECTURES:
            machines = [
                struct.unpack_from(">I", head, 8 + 20 * index)[0]
                for index in range(count)
                if 28 + 20 * index <= len(head)
            ]
            return ForeignBinary(
                "Mach-O", tuple(_MACH_O_MACHINES.get(one, f"cputype {one}") for one in machines)
            )
    return None


def _read_pe(body: Body, head: bytes) -> ForeignBinary | None:
    if head[:2] != b"MZ" or len(head) < 64:
        return None
    (offset,) = struct.unpack_from("<I", head, 60)
    raw = body.read(offset, 256)
    if raw[:4] != b"PE\0\0" or len(raw) < 26:
        return None
    (machine,) = struct.unpack_from("<H", raw, 4)
    (magic,) = struct.unpack_from("<H", raw, 24)
    place = 24 + (112 if magic == 0x20B else 96) + 8 * _PE_MANAGED_DIRECTORY
    managed = len(raw) >= place + 8 and struct.unpack_from("<I", raw, place)[0] != 0
    return ForeignBinary("PE", (_PE_MACHINES.get(machine, f"machine {machine:#x}"),), managed)
