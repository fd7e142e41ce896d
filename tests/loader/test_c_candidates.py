"""Traps T41 to T59: a bad file first on the path, a good one behind it."""

from __future__ import annotations

import struct
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.loader.compile import library, program, zig
from tests.loader.loaders import GLIBC, GLIBC_231, GLIBC_236, GLIBC_241, MUSL, Loader
from tests.loader.outcome import absent, fails, musl_absent, of_link_map, starts
from tests.loader.scene import Scene
from tests.requirements import require_tool

pytestmark = pytest.mark.oracle

NAME = "libv.so.1"
BAD, GOOD = f"/t/bad/{NAME}", f"/t/good/{NAME}"
VARIABLES = {"LD_LIBRARY_PATH": "/t/bad:/t/good"}
MUSL_REFUSES = "Exec format error"


def expect_glibc(
    scene: Scene, reason: str, *, on: Sequence[Loader] = GLIBC, names_file: bool = True, uid: int = 0
) -> None:
    """The reason why glibc stops at the bad file; "" when it goes on to the good one. What it finds
    only while mapping it says of the name and not of the file; imagescan always knows the file."""
    told = fails(f"{BAD}: {reason}") if reason else starts(GOOD)
    real = told if names_file or not reason else fails(f"{NAME}: {reason}")
    scene.expect("/t/app", real, on, variables=VARIABLES, uid=uid, model=told)


def expect_musl(scene: Scene, reason: str, *, uid: int = 0) -> None:
    """The same for musl, which always says the name and not the file."""
    told = fails(f"{BAD}: {reason}") if reason else starts(GOOD)
    real = fails(f"{NAME}: {reason}") if reason else starts(GOOD)
    scene.expect("/t/app", real, MUSL, variables=VARIABLES, uid=uid, model=told)


@pytest.fixture
def two(scene: Scene) -> Scene:
    """A program, and the good library in the second directory."""
    scene.program("/t/app", [NAME])
    scene.library(GOOD)
    scene.directory("/t/bad")
    return scene


def foreign(target: str) -> bytes:
    """A library for another machine."""
    return library("/t/bad/libv.so.1", soname=NAME, compiler=zig(target))


def patched(offset: int, value: bytes) -> bytes:
    """The good library with other bytes at one place."""
    content = bytearray(library(GOOD, soname=NAME))
    content[offset : offset + len(value)] = value
    return bytes(content)


def test_t41_a_32_bit_library_is_passed_over_by_glibc_and_stops_musl(two: Scene) -> None:
    two.library(BAD, compiler=["gcc", "-m32"])
    expect_glibc(two, "")
    expect_musl(two, MUSL_REFUSES)


def test_t41_when_only_a_32_bit_library_is_found_the_message_says_so(two: Scene) -> None:
    two.library(BAD, compiler=["gcc", "-m32"])
    two.remove("/t/good")
    two.expect("/t/app", fails(f"{NAME}: wrong ELF class: ELFCLASS32"), GLIBC, variables=VARIABLES)


def test_t42_a_library_for_another_machine_is_passed_over_by_glibc(two: Scene) -> None:
    two.file(BAD, foreign("aarch64-linux-gnu"))
    expect_glibc(two, "")


def test_t42_a_library_for_another_machine_is_mapped_by_musl(two: Scene) -> None:
    two.file(BAD, patched(18, struct.pack("<H", 183)))  # what it would run is still this machine's
    two.expect("/t/app", starts(BAD), MUSL, variables=VARIABLES)
    two.file(BAD, foreign("aarch64-linux-gnu"))
    for loader in MUSL:
        assert two.run(loader, "/t/app.musl", variables=VARIABLES).code < 0
        faults = two.link_map(loader, "/t/app.musl", variables=VARIABLES).faults
        two.claim([one.code for one in faults] == ["wrong-machine-loaded"], f"{loader}: {faults}")


def test_t43_a_library_of_the_other_byte_order_is_passed_over_by_debians_glibc_and_stops_musl(
    two: Scene,
) -> None:
    two.file(BAD, foreign("s390x-linux-gnu"))
    expect_glibc(two, "")
    expect_musl(two, MUSL_REFUSES)


def test_t43_the_other_byte_order_alone_stops_glibc(two: Scene) -> None:
    two.file(BAD, patched(5, b"\x02"))
    expect_glibc(two, "ELF file data encoding not little-endian")


@pytest.mark.parametrize(
    "text",
    [
        b"/* GNU ld script */\nGROUP ( /lib/libv.so.1 AS_NEEDED ( /x ) )\n" + b" " * 60,
        b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1\n",
    ],
    ids=["linker script", "large file pointer"],
)
def test_t44_a_text_file_stops_both(two: Scene, text: bytes) -> None:
    two.file(BAD, text)
    expect_glibc(two, "invalid ELF header")
    expect_musl(two, MUSL_REFUSES)


@pytest.mark.parametrize("text", [b"", b"GROUP(x)"], ids=["empty", "short"])
def test_t45_a_file_shorter_than_an_elf_header_stops_both(two: Scene, text: bytes) -> None:
    two.file(BAD, text)
    expect_glibc(two, "file too short")
    expect_musl(two, MUSL_REFUSES)


def test_t46_a_directory_of_that_name_stops_both(two: Scene) -> None:
    two.directory(BAD)
    expect_glibc(two, "cannot read file data: Error 21")  # so early that errno has no words yet
    expect_musl(two, "Is a directory")


def test_t47_a_dangling_symlink_is_passed_over_by_both(two: Scene) -> None:
    two.link(BAD, "/nonexistent")
    expect_glibc(two, "")
    expect_musl(two, "")


def test_t48_a_symlink_to_itself_ends_the_list_under_glibc_and_the_search_under_musl(two: Scene) -> None:
    two.link(BAD, NAME)
    two.expect("/t/app", absent(NAME), GLIBC, variables=VARIABLES)
    looped = fails(f"{NAME}: Symbolic link loop")
    two.expect("/t/app", looped, MUSL, variables=VARIABLES)
    two.library(f"/usr/lib/{NAME}")
    two.remove("/etc/ld-musl-x86_64.path")
    two.expect("/t/app", starts(f"/lib/{NAME}"), GLIBC, variables=VARIABLES)
    two.expect("/t/app", looped, MUSL, variables=VARIABLES)


def test_t49_a_file_or_directory_that_the_user_may_not_read_is_passed_over(two: Scene) -> None:
    two.library(BAD)
    two.expect("/t/app", starts(BAD), GLIBC + MUSL, variables=VARIABLES, uid=1000)
    two.mode(BAD, 0o000)
    expect_glibc(two, "", uid=1000)
    expect_musl(two, "", uid=1000)
    two.expect("/t/app", starts(BAD), GLIBC + MUSL, variables=VARIABLES)
    two.mode(BAD, 0o755)
    two.directory("/t/bad", 0o700)
    expect_glibc(two, "", uid=1000)
    expect_musl(two, "", uid=1000)


def test_t49_a_library_without_execute_bit_is_loaded(two: Scene) -> None:
    two.library(BAD, mode=0o444)
    two.expect("/t/app", starts(BAD), GLIBC + MUSL, variables=VARIABLES)


def test_t49_when_only_an_unreadable_file_is_found_the_message_says_so(two: Scene) -> None:
    two.library(BAD, mode=0o000)
    two.remove("/t/good")
    two.expect(
        "/t/app", absent(NAME), GLIBC, variables=VARIABLES, uid=1000
    )  # the last directory searched, a default one, decides the errno
    two.expect("/t/app", musl_absent(NAME), MUSL, variables=VARIABLES, uid=1000)


def test_t50_a_foreign_osabi_stops_glibc_and_not_musl(two: Scene) -> None:
    two.file(BAD, patched(7, b"\x09"))
    expect_glibc(two, "ELF file OS ABI invalid")
    two.expect("/t/app", starts(BAD), MUSL, variables=VARIABLES)


def test_t50_the_gnu_osabi_is_fine(two: Scene) -> None:
    two.file(BAD, patched(7, b"\x03"))
    two.expect("/t/app", starts(BAD), GLIBC + MUSL, variables=VARIABLES)


@pytest.mark.parametrize("value", [b"\x00\x01", b"\x03\x09"], ids=["system v 1", "gnu 9"])
def test_t51_an_abi_version_that_the_loader_does_not_know_stops_glibc_and_not_musl(
    two: Scene, value: bytes
) -> None:
    two.file(BAD, patched(7, value))
    expect_glibc(two, "ELF file ABI version invalid")
    two.expect("/t/app", starts(BAD), MUSL, variables=VARIABLES)


@pytest.mark.parametrize(
    ("offset", "value", "reason"),
    [
        (15, b"\x01", "nonzero padding in e_ident"),
        (20, b"\x02", "ELF file version does not match current one"),
        (54, b"\x39\x00", "ELF file's phentsize not the expected size"),
        (0, b"\x7fELG", "invalid ELF header"),
    ],
    ids=["padding", "version", "program header size", "magic"],
)
def test_t51_a_strange_header_stops_glibc(two: Scene, offset: int, value: bytes, reason: str) -> None:
    two.file(BAD, patched(offset, value))
    expect_glibc(two, reason)


def test_t52_a_file_of_debugging_information_stops_glibc(two: Scene) -> None:
    require_tool("objcopy", "binutils")
    with tempfile.TemporaryDirectory() as directory:
        whole, debugging = Path(directory, "whole"), Path(directory, "debugging")
        whole.write_bytes(library(GOOD, soname=NAME))
        subprocess.run(["objcopy", "--only-keep-debug", whole, debugging], check=True)
        two.file(BAD, debugging.read_bytes())
    expect_glibc(two, "object file has no dynamic section", names_file=False)


def test_t53_a_position_independent_program_stops_glibc(two: Scene) -> None:
    two.file(BAD, program())
    expect_glibc(two, "cannot dynamically load position-independent executable", names_file=False)
    two.expect("/t/app", fails("undefined symbol of_v of /t/app.musl"), MUSL, variables=VARIABLES)


def test_t53_a_fixed_position_program_stops_glibc(two: Scene) -> None:
    two.file(BAD, program(kind=["-no-pie"], needs=["libx.so"], calls=[]))
    expect_glibc(two, "cannot dynamically load executable", names_file=False)


def test_t54_a_relocatable_file_stops_both(two: Scene) -> None:
    two.file(BAD, patched(16, b"\x01\x00"))
    expect_glibc(two, "only ET_DYN and ET_EXEC can be loaded")
    expect_musl(two, MUSL_REFUSES)


NARROW = ["-Wl,-z,max-page-size=16", "-Wl,-z,common-page-size=16"]


def test_t55_segments_that_share_a_page_stop_glibc_since_2_35(two: Scene) -> None:
    two.library(BAD, flags=NARROW)
    expect_glibc(
        two,
        "ELF load command address/offset not page-aligned",
        on=[GLIBC_236, GLIBC_241],
        names_file=False,
    )


def test_t55_a_segment_alignment_below_the_page_size_stopped_glibc_before_2_35(two: Scene) -> None:
    two.library(BAD, flags=NARROW)
    expect_glibc(two, "ELF load command alignment not page-aligned", on=[GLIBC_231], names_file=False)


def _shifted(elf: bytes) -> bytes:
    """The last PT_LOAD with another offset than its address, modulo the page size."""
    changed = bytearray(elf)
    at = max(at for at in range(64, 64 + 56 * elf[56], 56) if struct.unpack_from("<I", elf, at)[0] == 1)
    struct.pack_into("<Q", changed, at + 8, struct.unpack_from("<Q", elf, at + 8)[0] - 16)
    return bytes(changed)


def test_t55_an_offset_that_does_not_fit_the_address_stops_glibc(two: Scene) -> None:
    two.library(BAD, change=_shifted)
    expect_glibc(
        two,
        "ELF load command address/offset not page-aligned",
        on=[GLIBC_236, GLIBC_241],
        names_file=False,
    )


ABI_TAG = """
__asm__(".section \\".note.ABI-tag\\",\\"a\\"\\n.p2align 2\\n.long 4,16,1\\n.asciz \\"GNU\\"\\n"
        ".long 0,%d,%d,0\\n.previous\\n");
const char *of_v(void) { return ""; }
"""


def test_t58_a_library_that_asks_for_a_newer_kernel_is_passed_over_up_to_glibc_2_35(two: Scene) -> None:
    two.library(BAD, source=ABI_TAG % (9, 9))
    two.expect("/t/app", starts(GOOD), [GLIBC_231], variables=VARIABLES)
    two.expect("/t/app", starts(BAD), [GLIBC_236, GLIBC_241], variables=VARIABLES)


def test_t58_a_library_that_asks_for_an_older_kernel_is_loaded(two: Scene) -> None:
    two.library(BAD, source=ABI_TAG % (4, 19))
    two.expect("/t/app", starts(BAD), GLIBC, variables=VARIABLES)


ISA_NEEDED = """
__asm__(".section \\".note.gnu.property\\",\\"a\\"\\n.p2align 3\\n.long 4,16,5\\n.asciz \\"GNU\\"\\n"
        ".long 0xc0008002,4,%#x,0\\n.previous\\n");
const char *of_v(void) { return ""; }
"""


def test_t59_an_instruction_set_beyond_the_cpu_is_refused_since_glibc_2_33(two: Scene) -> None:
    two.library(BAD, source=ISA_NEEDED % 0x80000001)
    two.expect("/t/app", starts(BAD), [GLIBC_231], variables=VARIABLES)
    two.expect(
        "/t/app",
        fails(f"{BAD}: CPU ISA level is lower than required"),
        [GLIBC_236, GLIBC_241],
        variables=VARIABLES,
    )


def test_t59_a_library_for_a_higher_cpu_level_is_refused_on_a_baseline_cpu(two: Scene) -> None:
    two.library(BAD, source=ISA_NEEDED % 0x3)
    two.expect("/t/app", starts(BAD), GLIBC, variables=VARIABLES)
    for loader in (GLIBC_236, GLIBC_241):  # no tunable lowers the level of this machine
        said = of_link_map(two.link_map(loader, "/t/app", variables=VARIABLES, cpu=()))
        two.claim(said == fails(f"{BAD}: CPU ISA level is lower than required"), f"{loader}: {said}")


def test_t59_the_baseline_instruction_set_is_enough_for_every_cpu(two: Scene) -> None:
    two.library(BAD, source=ISA_NEEDED % 1)
    two.expect("/t/app", starts(BAD), GLIBC, variables=VARIABLES, cpu=())
