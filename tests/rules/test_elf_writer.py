"""The stand-ins of examples against pyelftools: each file says what it was asked to say."""

from __future__ import annotations

from io import BytesIO

import pytest
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile

from imagescan.elf.facts import ElfKind
from imagescan.elf.reader import read_elf
from imagescan.layers.column_store import TemporaryColumnStore
from imagescan.rules.examples.elf_writer import MACHINES, ElfStandIn, write_elf

WANTED = ElfStandIn(
    type="program",
    interpreter="/lib/ld.so.1",
    needed=("liba.so", "libc.so.6"),
    soname="me.so",
    runpath="$ORIGIN/lib",
    version_needs={"libc.so.6": ("GLIBC_2.2.5", "GLIBC_2.38"), "liba.so": ("A_1",)},
    versions=("ME_1", "ME_2"),
    defined=("mine@ME_2",),
    undefined=("now@GLIBC_2.38", "plain"),
    undefined_lazy=("later@A_1",),
)


class _Bytes:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self.size = len(content)

    def read(self, offset: int, length: int) -> bytes:
        return self._content[offset : offset + length]


def _text(name: bytes | str | None) -> str | None:
    return name.decode() if isinstance(name, bytes) else name


@pytest.mark.parametrize("machine", MACHINES)
def test_pyelftools_reads_what_was_written(machine: str) -> None:
    values = {name: getattr(WANTED, name) for name in ElfStandIn.__dataclass_fields__}
    file = ELFFile(BytesIO(write_elf(ElfStandIn(**(values | {"machine": machine})))), TemporaryColumnStore())
    segments = list(file.iter_segments())
    (dynamic,) = [segment for segment in segments if isinstance(segment, DynamicSegment)]
    assert [tag.needed for tag in dynamic.iter_tags("DT_NEEDED")] == ["liba.so", "libc.so.6"]
    assert [tag.soname for tag in dynamic.iter_tags("DT_SONAME")] == ["me.so"]
    assert [tag.runpath for tag in dynamic.iter_tags("DT_RUNPATH")] == ["$ORIGIN/lib"]
    assert [one.get_interp_name() for one in segments if one.header.p_type == "PT_INTERP"] == ["/lib/ld.so.1"]
    if machine != "s390x":  # its DT_HASH has 64-bit words, which pyelftools does not know
        names = [symbol.name for symbol in dynamic.iter_symbols()]
        assert names == ["", "now", "plain", "later", "mine"]


@pytest.mark.parametrize("machine", MACHINES)
def test_the_elf_room_reads_what_was_written(machine: str) -> None:
    values = {name: getattr(WANTED, name) for name in ElfStandIn.__dataclass_fields__}
    facts = read_elf(_Bytes(write_elf(ElfStandIn(**(values | {"machine": machine})))), TemporaryColumnStore())
    assert facts.kind is ElfKind.PROGRAM
    assert facts.damage == ""
    assert facts.version_definitions == ("me.so", "ME_1", "ME_2")
    assert [(need.file, [one.name for one in need.versions]) for need in facts.version_needs] == [
        ("libc.so.6", ["GLIBC_2.2.5", "GLIBC_2.38"]),
        ("liba.so", ["A_1"]),
    ]
    assert facts.symbols is not None
    assert [(_text(one.name), _text(one.version), one.lazy) for one in facts.symbols.references()] == [
        ("now", "GLIBC_2.38", False),
        ("plain", None, False),
        ("later", "A_1", True),
    ]
    assert [(_text(one.name), _text(one.version)) for one in facts.symbols.definitions()] == [
        ("mine", "ME_2")
    ]
