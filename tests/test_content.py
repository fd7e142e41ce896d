"""What a regular file is, told from its bytes; lief is the second opinion on foreign formats."""

from __future__ import annotations

import struct
from pathlib import Path

import lief
import pytest

from imagescan import content
from imagescan.content import FileInspector, ForeignBinary, KeptFile
from imagescan.elf.facts import ElfFacts
from imagescan.errors import LimitExceeded
from imagescan.layers.column_store import TemporaryColumnStore
from imagescan.layers.values import ImagePath
from imagescan.scripts import Script
from tests.elf.compile import Body, compile_elf, library

MACHINES = {"ARM64": "arm64", "X86_64": "x86-64", "AMD64": "x86-64"}


def inspect(data: bytes, path: str = "srv/file") -> object:
    inspector = FileInspector()
    if not inspector.wants(ImagePath(path), len(data), data[:512]):
        return None
    return inspector.inspect(ImagePath(path), Body(data), TemporaryColumnStore())


def foreign(target: str) -> Path:
    """A shared library of another system."""
    is_macos = "macos" in target
    flags = ("-Wl,-undefined,dynamic_lookup",) if is_macos else ("-Wl,--entry=answer",)
    return compile_elf(target, "foreign", "int answer(void) { return 42; }", "-shared", *flags)


@pytest.mark.parametrize("target", ["aarch64-macos", "x86_64-macos"])
def test_a_mach_o_file_is_named_as_lief_names_it(target: str) -> None:
    path = foreign(target)
    found = inspect(path.read_bytes())
    fat = lief.MachO.parse(str(path))
    assert fat is not None
    assert found == ForeignBinary("Mach-O", tuple(MACHINES[one.header.cpu_type.name] for one in fat))


def test_a_universal_mach_o_file_names_every_machine() -> None:
    fat = struct.pack(">II", 0xCAFEBABE, 2)
    fat += struct.pack(">5I", 0x01000007, 3, 4096, 10, 12) + struct.pack(">5I", 0x0100000C, 0, 8192, 10, 12)
    assert inspect(fat) == ForeignBinary("Mach-O", ("x86-64", "arm64"))


def test_a_java_class_is_not_a_universal_mach_o_file() -> None:
    assert inspect(struct.pack(">IHH", 0xCAFEBABE, 0, 61) + bytes(100)) is None


@pytest.mark.parametrize("target", ["x86_64-windows-gnu", "aarch64-windows-gnu"])
def test_a_pe_file_is_named_as_lief_names_it(target: str) -> None:
    path = foreign(target)
    found = inspect(path.read_bytes())
    parsed = lief.PE.parse(str(path))
    assert parsed is not None
    assert isinstance(found, ForeignBinary)
    assert (found.format, found.managed) == ("PE", False)
    assert found.machines == (MACHINES[parsed.header.machine.name],)


def test_a_dotnet_assembly_is_told_from_a_windows_program() -> None:
    data = bytearray(foreign("x86_64-windows-gnu").read_bytes())
    (header,) = struct.unpack_from("<I", data, 60)
    struct.pack_into("<II", data, header + 24 + 112 + 8 * 14, 0x2000, 72)
    parsed = lief.PE.parse(list(data))
    assert parsed is not None
    assert parsed.data_directory(lief.PE.DataDirectory.TYPES.CLR_RUNTIME_HEADER).rva == 0x2000
    found = inspect(bytes(data))
    assert isinstance(found, ForeignBinary)
    assert found.managed


def test_a_program_is_known_by_content_and_not_by_name_or_mode() -> None:
    assert isinstance(inspect(library("x86_64-linux-gnu").read_bytes(), "usr/share/doc/notes.txt"), ElfFacts)
    assert isinstance(inspect(b"#!/bin/sh\n", "usr/share/doc/notes.txt"), Script)


@pytest.mark.parametrize(
    "path",
    [
        "etc/ld.so.cache",
        "usr/glibc-compat/etc/ld.so.cache",
        "nix/store/x-glibc/etc/ld.so.cache",
        "etc/ld-musl-x86_64.path",
        "usr/etc/ld-musl-aarch64.path",
        "etc/ld.so.preload",
        "etc/ld-nix.so.preload",
        "etc/passwd",
        "etc/group",
        "usr/lib/os-release",
    ],
)
def test_small_files_that_loaders_and_runtimes_read_are_kept_whole(path: str) -> None:
    assert inspect(b"text\xff", path) == KeptFile(b"text\xff")


def test_a_file_with_the_magic_alone_is_too_short_to_say_anything() -> None:
    assert inspect(b"\x7fELF\x02\x01\x01") is None


def test_a_kept_file_above_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "MAXIMUM_KEPT_FILE", 10)
    with pytest.raises(LimitExceeded):
        inspect(b"x" * 11, "etc/ld.so.cache")
