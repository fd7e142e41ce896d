"""Write tiny but valid ELF files for x86-64: a description enters, the bytes of a file leave.

Everything that a loader looks at can be chosen; nothing else is in the file. A library is one
loadable segment with its dynamic section and tables; a program has an entry point besides that writes
``started`` and ends. Follows the gABI, the GNU symbol versioning supplement and the x86-64 psABI.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

GLIBC_INTERPRETER = "/lib64/ld-linux-x86-64.so.2"
MUSL_INTERPRETER = "/lib/ld-musl-x86_64.so.1"
STARTED = b"started\n"

DF_1_NODEFLIB, DF_1_PIE = 0x800, 0x08000000

_FUNCTION, _IFUNC = 2, 10
_GLOBAL, _WEAK, _UNIQUE = 1, 2, 10
_INFORMATION = {
    "function": (_GLOBAL << 4 | _FUNCTION, 0),
    "weak": (_WEAK << 4 | _FUNCTION, 0),
    "ifunc": (_GLOBAL << 4 | _IFUNC, 0),
    "unique": (_UNIQUE << 4 | 1, 0),
    "invisible": (_GLOBAL << 4 | _FUNCTION, 2),  # STV_HIDDEN
}
_GLOB_DAT, _JUMP_SLOT = 6, 7
_HIDDEN, _LOCAL_VERSION, _BASE_VERSION = 0x8000, 0, 1
# write(1, message, 8); exit(0)
_START = bytes.fromhex("b801000000bf01000000488d3514000000ba080000000f05b83c00000031ff0f050f0b9090")
_RESOLVER = bytes.fromhex("488d05f9ffffffc3")  # lea -7(%rip), %rax; ret: any address will do


@dataclass(frozen=True, slots=True)
class Definition:
    """A symbol that the file defines; ``version`` "" is the base, ``hidden`` the non-default bit."""

    name: str
    version: str = ""
    hidden: bool = False
    kind: str = "function"


@dataclass(frozen=True, slots=True)
class Reference:
    """An undefined symbol with one relocation, JUMP_SLOT (``slot``) or GLOB_DAT. ``library`` is the
    file that the version need names."""

    name: str
    version: str = ""
    library: str = ""
    weak: bool = False
    slot: bool = True


@dataclass(frozen=True, slots=True)
class VersionNeed:
    """Versions that are required of one file: (name, weak)."""

    file: str
    versions: tuple[tuple[str, bool], ...]


@dataclass(frozen=True, slots=True)
class Elf:
    """One file. ``versions`` are its version definitions after the base; () is no DT_VERDEF."""

    interpreter: str = ""
    needed: tuple[str, ...] = ()
    soname: str | None = None
    rpath: str | None = None
    runpath: str | None = None
    filters: tuple[str, ...] = ()
    auxiliaries: tuple[str, ...] = ()
    flags_1: int = 0
    bind_now: bool = False
    versions: tuple[str, ...] = ()
    needs: tuple[VersionNeed, ...] = ()
    definitions: tuple[Definition, ...] = ()
    references: tuple[Reference, ...] = ()
    gnu_hash: bool = True
    relr: bool = False
    os_abi: int = 0
    abi_version: int = 0
    machine: int = 62
    type: int = 3
    dynamic: bool = True


class _Strings:
    def __init__(self) -> None:
        self.data = bytearray(b"\0")

    def add(self, text: str) -> int:
        place = len(self.data)
        self.data += text.encode("utf-8", "surrogateescape") + b"\0"
        return place


def write(elf: Elf) -> bytes:
    """The bytes of the file that the description asks for."""
    strings = _Strings()
    indices = _version_indices(elf)
    symbols, versyms, names = _symbols(elf, strings, indices)
    code = _START + STARTED + _RESOLVER if elf.interpreter else _RESOLVER
    headers = 5 if elf.interpreter else 3
    parts: dict[str, tuple[int, bytes]] = {}
    cursor = 64 + 56 * headers

    def place(name: str, content: bytes) -> int:
        nonlocal cursor
        cursor = (cursor + 7) & ~7
        parts[name] = (cursor, content)
        cursor += len(content)
        return parts[name][0]

    interpreter = elf.interpreter.encode() + b"\0" if elf.interpreter else b""
    place("interpreter", interpreter)
    start = place("code", code)
    resolver = start + len(code) - len(_RESOLVER)
    got = place("got", bytes(8 * (3 + len(elf.references))))
    tags: list[tuple[int, int]] = [(1, strings.add(name)) for name in elf.needed]
    tags += _string_tags(elf, strings)
    tags += [(6, place("symbols", _symbol_bytes(symbols, resolver))), (11, 24)]
    if elf.gnu_hash:
        tags.append((0x6FFFFEF5, place("hash", _gnu_hash(names, 1 + len(elf.references)))))
    else:
        tags.append((4, place("hash", _hash(names))))
    if versyms is not None:
        tags.append((0x6FFFFFF0, place("versyms", struct.pack(f"<{len(versyms)}H", *versyms))))
    if elf.versions:
        content = _version_definitions(elf, strings)
        tags += [(0x6FFFFFFC, place("definitions", content)), (0x6FFFFFFD, 1 + len(elf.versions))]
    if elf.needs:
        content = _version_needs(elf, strings, indices)
        tags += [(0x6FFFFFFE, place("needs", content)), (0x6FFFFFFF, len(elf.needs))]
    tags += _relocation_tags(elf, place, got)
    tags += [(5, place("strings", bytes(strings.data))), (10, len(strings.data))]
    if elf.relr:
        tags += [(36, place("relr", b"")), (35, 0), (37, 8)]
    tags.append((0, 0))
    dynamic = b"".join(struct.pack("<qQ", *one) for one in tags)
    dynamic_at = place("dynamic", dynamic)
    segments = [(1, 7, 0, cursor, 4096)]
    segments.append((2 if elf.dynamic else 0, 6, dynamic_at, len(dynamic), 8))
    segments.append((0x6474E551, 6, 0, 0, 16))
    if interpreter:
        segments.insert(0, (3, 4, parts["interpreter"][0], len(interpreter), 1))
        segments.insert(0, (6, 4, 64, 56 * headers, 8))
    image = bytearray(cursor)
    image[:64] = _header(elf, start if interpreter else 0, headers)
    for number, (kind, flags, offset, size, alignment) in enumerate(segments):
        row = struct.pack("<IIQQQQQQ", kind, flags, offset, offset, offset, size, size, alignment)
        image[64 + 56 * number : 120 + 56 * number] = row
    for offset, content in parts.values():
        image[offset : offset + len(content)] = content
    return bytes(image)


def _header(elf: Elf, entry: int, headers: int) -> bytes:
    ident = b"\x7fELF" + bytes((2, 1, 1, elf.os_abi, elf.abi_version)) + bytes(7)
    return ident + struct.pack(
        "<HHIQQQIHHHHHH", elf.type, elf.machine, 1, entry, 64, 0, 0, 64, 56, headers, 64, 0, 0
    )


def other_class() -> bytes:
    """A 32-bit library's header (i386): all that a 64-bit loader looks at."""
    ident = b"\x7fELF" + bytes((1, 1, 1, 0, 0)) + bytes(7)
    return ident + struct.pack("<HHIIIIIHHHHHH", 3, 3, 1, 0, 52, 0, 0, 52, 32, 0, 40, 0, 0) + bytes(64)


def _string_tags(elf: Elf, strings: _Strings) -> list[tuple[int, int]]:
    tags = []
    for tag, text in ((14, elf.soname), (15, elf.rpath), (29, elf.runpath)):
        if text is not None:
            tags.append((tag, strings.add(text)))
    tags += [(0x7FFFFFFD, strings.add(name)) for name in elf.auxiliaries]
    tags += [(0x7FFFFFFF, strings.add(name)) for name in elf.filters]
    if elf.flags_1:
        tags.append((0x6FFFFFFB, elf.flags_1))
    if elf.bind_now:
        tags.append((24, 0))
    return tags


def _version_indices(elf: Elf) -> dict[tuple[str, str], int]:
    """The versym index of each (file, version); the file is "" for what the file itself defines."""
    indices = {("", version): number for number, version in enumerate(elf.versions, 2)}
    following = 2 + len(elf.versions)
    for need in elf.needs:
        for version, _ in need.versions:
            if (need.file, version) not in indices:
                indices[need.file, version] = following
                following += 1
    return indices


def _symbols(
    elf: Elf, strings: _Strings, indices: dict[tuple[str, str], int]
) -> tuple[list[tuple[int, int, int, bool]], list[int] | None, list[str]]:
    """(name, info, other, defined) of each symbol, the references first; versyms; names."""
    rows = [(0, 0, 0, False)]
    versyms = [_LOCAL_VERSION]
    names = [""]
    for reference in elf.references:
        rows.append((strings.add(reference.name), (_WEAK if reference.weak else _GLOBAL) << 4, 0, False))
        version = indices.get((reference.library, reference.version), _LOCAL_VERSION)
        versyms.append(version if reference.version else _LOCAL_VERSION)
        names.append(reference.name)
    for definition in elf.definitions:
        information, other = _INFORMATION[definition.kind]
        rows.append((strings.add(definition.name), information, other, True))
        version = indices.get(("", definition.version), _BASE_VERSION)
        versyms.append(version | _HIDDEN if definition.hidden and elf.versions else version)
        names.append(definition.name)
    return rows, versyms if elf.versions or elf.needs else None, names


def _symbol_bytes(rows: list[tuple[int, int, int, bool]], value: int) -> bytes:
    return b"".join(
        struct.pack("<IBBHQQ", name, information, other, 1 if defined else 0, value if defined else 0, 0)
        for name, information, other, defined in rows
    )


def _hash(names: list[str]) -> bytes:
    """DT_HASH with one bucket, so that the chain is every symbol."""
    count = len(names)
    chain = [0] + [index + 1 if index + 1 < count else 0 for index in range(1, count)]
    return struct.pack(f"<III{count}I", 1, count, 1 if count > 1 else 0, *chain)


def _gnu_hash(names: list[str], first: int) -> bytes:
    """DT_GNU_HASH with one bucket and a Bloom filter that lets everything through."""
    defined = names[first:]
    hashes = [_gnu_hash_of(name) & ~1 for name in defined]
    if hashes:
        hashes[-1] |= 1
    head = struct.pack("<IIIIQI", 1, first, 1, 0, 0xFFFFFFFFFFFFFFFF, first if hashes else 0)
    return head + struct.pack(f"<{len(hashes)}I", *hashes)


def _gnu_hash_of(name: str) -> int:
    value = 5381
    for byte in name.encode():
        value = (value * 33 + byte) & 0xFFFFFFFF
    return value


def _elf_hash(name: str) -> int:
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        value ^= (value & 0xF0000000) >> 24
        value &= 0x0FFFFFFF
    return value


def _version_definitions(elf: Elf, strings: _Strings) -> bytes:
    names = [elf.soname or "base", *elf.versions]
    rows = b""
    for number, name in enumerate(names, 1):
        flags, following = (1 if number == 1 else 0), (28 if number < len(names) else 0)
        rows += struct.pack("<HHHHIII", 1, flags, number, 1, _elf_hash(name), 20, following)
        rows += struct.pack("<II", strings.add(name), 0)
    return rows


def _version_needs(elf: Elf, strings: _Strings, indices: dict[tuple[str, str], int]) -> bytes:
    rows = b""
    for number, need in enumerate(elf.needs, 1):
        size = 16 + 16 * len(need.versions)
        following = size if number < len(elf.needs) else 0
        rows += struct.pack("<HHIII", 1, len(need.versions), strings.add(need.file), 16, following)
        for position, (name, weak) in enumerate(need.versions, 1):
            step = 16 if position < len(need.versions) else 0
            index = indices[need.file, name]
            rows += struct.pack("<IHHII", _elf_hash(name), 2 if weak else 0, index, strings.add(name), step)
    return rows


def _relocation_tags(elf: Elf, place, got: int) -> list[tuple[int, int]]:
    rows: dict[bool, bytes] = {True: b"", False: b""}
    for number, reference in enumerate(elf.references, 1):
        kind = _JUMP_SLOT if reference.slot else _GLOB_DAT
        rows[reference.slot] += struct.pack("<QQq", got + 8 * (2 + number), number << 32 | kind, 0)
    tags: list[tuple[int, int]] = []
    if rows[False]:
        tags += [(7, place("relocations", rows[False])), (8, len(rows[False])), (9, 24)]
    if rows[True]:
        tags += [(23, place("slots", rows[True])), (2, len(rows[True])), (20, 7), (3, got)]
    return tags
