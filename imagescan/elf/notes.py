"""ELF notes that loaders and readers act on: ABI tag, properties, build ID, dlopen metadata.

Enters the header and body; leaves ``Notes``. Follows the gABI "Note Section", the Linux
extensions to the gABI (.note.gnu.property), glibc's ``elf/dl-load.c`` (ABI tag) and UAPI.12
(``.note.dlopen``). Notes are found by program header and type, never by section name.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator

from imagescan.dataclasses import NamedTuple
from imagescan.elf.facts import DlopenNote, Machine
from imagescan.elf.header import PT_GNU_PROPERTY, PT_NOTE, ElfHeader
from imagescan.layers.values import Body

MAXIMUM_NOTE_SEGMENT = 1 << 20  # bytes looked at in one PT_NOTE

_GNU_ABI_TAG, _GNU_BUILD_ID, _GNU_PROPERTY = 1, 3, 5
_FDO_DLOPEN = 0x407C0C0A
_X86 = frozenset((int(Machine.I386), int(Machine.X86_64)))
_X86_ISA_1_NEEDED = 0xC0008002
_LINUX = 0
_NOTE_SEGMENTS = frozenset((PT_NOTE, PT_GNU_PROPERTY))
_NOTES = {order: struct.Struct(order + "III") for order in "<>"}
_PROPERTIES = {order: struct.Struct(order + "II") for order in "<>"}


class Notes(NamedTuple):
    """What the notes of one file say; see ``ElfFacts`` for the meaning of each field."""

    abi_tag: tuple[int, int, int] | None = None
    isa_needed: int = 0
    build_id: str = ""
    dlopen: tuple[DlopenNote, ...] = ()
    is_go: bool = False


def read_notes(header: ElfHeader, body: Body) -> Notes:
    """Read every PT_NOTE and PT_GNU_PROPERTY segment; damaged notes end their segment quietly,
    because neither kernel nor loaders refuse a file for them."""
    abi_tag: tuple[int, int, int] | None = None
    isa_needed = 0
    build_id = ""
    dlopen: list[DlopenNote] = []
    is_go = False
    for owner, kind, content in _notes(header, body):
        if owner == b"GNU":
            if kind == _GNU_BUILD_ID:
                build_id = content[:64].hex()
            elif kind == _GNU_PROPERTY:
                isa_needed |= _isa_needed(header, content)
            elif kind == _GNU_ABI_TAG and len(content) >= 16:
                system, major, minor, patch = struct.unpack_from(header.encoding.order + "4I", content)
                if system == _LINUX:
                    abi_tag = (major, minor, patch)
        elif owner == b"FDO" and kind == _FDO_DLOPEN:
            dlopen.extend(_dlopen_entries(content))
        elif owner == b"Go":
            is_go = True
    return Notes(abi_tag, isa_needed, build_id, tuple(dlopen), is_go)


def _notes(header: ElfHeader, body: Body) -> Iterator[tuple[bytes, int, bytes]]:
    seen: set[int] = set()
    unpack = _NOTES[header.encoding.order].unpack_from
    for kind, _, offset, _, _, size, _, segment_alignment in header.segments:
        if kind not in _NOTE_SEGMENTS or offset in seen:
            continue
        seen.add(offset)
        raw = body.read(offset, min(size, MAXIMUM_NOTE_SEGMENT))
        padding = 7 if segment_alignment == 8 else 3
        place, last = 0, len(raw) - 12
        while place <= last:
            name_size, content_size, note = unpack(raw, place)
            start = place + 12
            content = start + name_size + padding & ~padding
            end = content + content_size
            if end > len(raw):
                break
            yield raw[start : start + name_size].rstrip(b"\0"), note, raw[content:end]
            place = end + padding & ~padding


def _align(value: int, alignment: int) -> int:
    return (value + alignment - 1) // alignment * alignment


def _isa_needed(header: ElfHeader, content: bytes) -> int:
    """The ISA_1_NEEDED bits of a property note (sysdeps/x86/dl-prop.h)."""
    if header.machine not in _X86:
        return 0
    unpack = _PROPERTIES[header.encoding.order].unpack_from
    alignment = 8 if header.encoding.elf_class == 64 else 4
    place = 0
    while place + 8 <= len(content):
        kind, size = unpack(content, place)
        if kind == _X86_ISA_1_NEEDED and size >= 4 and place + 12 <= len(content):
            return int(struct.unpack_from(header.encoding.order + "I", content, place + 8)[0])
        place = _align(place + 8 + size, alignment)
    return 0


def _dlopen_entries(content: bytes) -> Iterator[DlopenNote]:
    try:
        entries = json.loads(content.rstrip(b"\0"))
    except (ValueError, RecursionError):
        return
    for entry in entries if isinstance(entries, list) else ():
        sonames = entry.get("soname") if isinstance(entry, dict) else None
        if isinstance(sonames, list) and all(isinstance(name, str) for name in sonames):
            yield DlopenNote(
                tuple(sonames),
                str(entry.get("feature", "")),
                str(entry.get("description", "")),
                str(entry.get("priority", "recommended")),
            )
