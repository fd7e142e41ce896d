"""Traps T31 to T40: the loader cache is believed, whatever the directories hold."""

from __future__ import annotations

import pytest

from tests.loader.loaders import GLIBC, GLIBC_231, GLIBC_236, GLIBC_241
from tests.loader.outcome import absent, fails, starts
from tests.loader.scene import Scene
from tests.oracle.model import host_cpu
from tests.oracle.roots import root
from tests.requirements import require

pytestmark = pytest.mark.oracle

CACHE = "/etc/ld.so.cache"
HEADER = b"glibc-ld.so.cache1.1"
CACHED = "/usr/local/lib/libw.so.1"
NEW_GLIBC = (GLIBC_236, GLIBC_241)
BITS_32 = ["gcc", "-m32"]


def cached_program(scene: Scene) -> None:
    scene.program("/t/app", ["libw.so.1"])
    scene.library(CACHED)
    scene.ldconfig()


def test_t31_a_cache_entry_whose_file_is_gone_finds_nothing(scene: Scene) -> None:
    cached_program(scene)
    scene.remove(CACHED)
    scene.expect("/t/app", absent("libw.so.1"), GLIBC)


def test_t32_after_a_stale_cache_entry_the_default_directories_are_searched(scene: Scene) -> None:
    cached_program(scene)
    scene.remove(CACHED)
    scene.library("/usr/lib/libw.so.1")
    scene.expect("/t/app", starts("/lib/libw.so.1"), GLIBC)


def test_t33_a_stale_first_entry_hides_a_good_second_entry_of_the_same_name(scene: Scene) -> None:
    scene.program("/t/app", ["libw.so.1"])
    scene.file("/etc/ld.so.conf.d/00-first.conf", b"/opt/one\n/opt/two\n")
    scene.library("/opt/one/libw.so.1")
    scene.library("/opt/two/libw.so.1")
    scene.ldconfig()
    scene.expect("/t/app", starts("/opt/one/libw.so.1"), GLIBC)
    scene.remove("/opt/one/libw.so.1")
    scene.expect("/t/app", absent("libw.so.1"), GLIBC)


def test_t34_a_cached_file_that_became_text_stops_the_loader(scene: Scene) -> None:
    cached_program(scene)
    scene.file(CACHED, b"#!/bin/sh\n" * 20)
    scene.library("/usr/lib/libw.so.1")
    scene.expect("/t/app", fails(f"{CACHED}: invalid ELF header"), GLIBC)


def test_t35_a_cached_file_that_became_32_bit_is_passed_over(scene: Scene) -> None:
    cached_program(scene)
    scene.library(CACHED, compiler=BITS_32)
    scene.library("/usr/lib/libw.so.1")
    scene.expect("/t/app", starts("/lib/libw.so.1"), GLIBC)


def test_t36_the_cache_knows_libraries_by_soname_not_by_file_name(scene: Scene) -> None:
    scene.program("/t/by_file", ["libfn.so.1"], calls=[])
    scene.program("/t/by_soname", ["libsn.so.9"], calls=[])
    scene.library("/usr/local/lib/libfn.so.1", soname="libsn.so.9")
    scene.ldconfig("-X")
    scene.expect("/t/by_file", absent("libfn.so.1"), GLIBC)
    scene.expect("/t/by_soname", absent("libsn.so.9"), GLIBC)
    scene.ldconfig()
    scene.expect("/t/by_file", absent("libfn.so.1"), GLIBC)
    scene.expect("/t/by_soname", starts("/usr/local/lib/libsn.so.9"), GLIBC)


def test_t36_a_default_directory_knows_libraries_by_file_name_not_by_soname(scene: Scene) -> None:
    scene.program("/t/by_file", ["libfn.so.1"], calls=[])
    scene.program("/t/by_soname", ["libsn.so.9"], calls=[])
    scene.library("/usr/lib/libfn.so.1", soname="libsn.so.9")
    scene.expect("/t/by_file", starts("/lib/libfn.so.1"), GLIBC)
    scene.expect("/t/by_soname", absent("libsn.so.9"), GLIBC)


@pytest.mark.parametrize("needed", ["libnum.so.01", "libnum.so.001"])
def test_t37_digits_in_the_cache_compare_as_numbers(scene: Scene, needed: str) -> None:
    scene.program("/t/app", [needed], calls=[])
    scene.library("/usr/local/lib/libnum.so.1")
    scene.ldconfig()
    scene.expect("/t/app", starts("/usr/local/lib/libnum.so.1"), GLIBC)


def test_t37_digits_in_a_directory_do_not_compare_as_numbers(scene: Scene) -> None:
    scene.program("/t/app", ["libnum.so.01"], calls=[])
    scene.library("/usr/lib/libnum.so.1")
    scene.expect("/t/app", absent("libnum.so.01"), GLIBC)


def _flag(value: int) -> object:
    def change(content: bytes) -> bytes:
        at = content.index(HEADER) + len(HEADER) + 8
        return content[:at] + bytes([value]) + content[at + 1 :]

    return change


@pytest.mark.parametrize("value", [1, 3])
def test_t38_a_cache_of_the_other_byte_order_is_no_cache_since_glibc_2_33(scene: Scene, value: int) -> None:
    cached_program(scene)
    scene.edit(CACHE, _flag(value))  # type: ignore[arg-type]
    scene.expect("/t/app", absent("libw.so.1"), NEW_GLIBC)


@pytest.mark.parametrize("value", [0, 2])
def test_t38_a_cache_of_unknown_or_own_byte_order_is_read(scene: Scene, value: int) -> None:
    cached_program(scene)
    scene.edit(CACHE, _flag(value))  # type: ignore[arg-type]
    scene.expect("/t/app", starts(CACHED), GLIBC)


@pytest.mark.parametrize("length", [0, 5, 30, 47])
def test_t38_a_cache_cut_inside_its_header_is_no_cache(scene: Scene, length: int) -> None:
    cached_program(scene)
    scene.edit(CACHE, lambda content: content[:length])
    scene.expect("/t/app", absent("libw.so.1"), GLIBC)


def test_t38_a_cache_that_claims_too_many_entries_is_no_cache_since_glibc_2_33(scene: Scene) -> None:
    cached_program(scene)
    at = len(HEADER)
    scene.edit(CACHE, lambda content: content[:at] + b"\xff\xff\xff" + content[at + 3 :])
    scene.expect("/t/app", absent("libw.so.1"), NEW_GLIBC)


def test_t38_a_cache_that_is_a_directory_is_no_cache(scene: Scene) -> None:
    cached_program(scene)
    scene.remove(CACHE)
    scene.directory(CACHE)
    scene.expect("/t/app", absent("libw.so.1"), GLIBC)


def test_t38_a_cache_that_the_user_may_not_read_is_no_cache(scene: Scene) -> None:
    cached_program(scene)
    scene.expect("/t/app", starts(CACHED), GLIBC, uid=1000)
    scene.mode(CACHE, 0o600)
    scene.expect("/t/app", absent("libw.so.1"), GLIBC, uid=1000)
    scene.expect("/t/app", starts(CACHED), GLIBC)


def test_t39_a_cache_entry_for_32_bit_does_not_serve_a_64_bit_program(scene: Scene) -> None:
    scene.program("/t/app", ["libw.so.1"])
    scene.file("/etc/ld.so.conf.d/00-first.conf", b"/opt/i386\n")
    scene.library("/opt/i386/libw.so.1", compiler=BITS_32)
    scene.ldconfig()
    scene.expect("/t/app", absent("libw.so.1"), GLIBC)
    scene.library("/usr/local/lib/libw.so.1")
    scene.ldconfig()
    scene.expect("/t/app", starts(CACHED), GLIBC)


@pytest.mark.parametrize("form", ["old", "compat", "new"])
def test_t40_every_format_of_the_cache_is_read(scene: Scene, form: str) -> None:
    scene.program("/t/app", ["libw.so.1"])
    scene.library(CACHED)
    scene.ldconfig("-c", form)
    scene.expect("/t/app", starts(CACHED), GLIBC)


def test_t40_hwcaps_entries_of_a_compatible_cache_are_not_used(scene: Scene) -> None:
    require("x86-64-v3" in host_cpu(root("trixie")), "needs a CPU of level x86-64-v3")
    scene.program("/t/app", ["libw.so.1"])
    scene.library(CACHED)
    best = "/usr/local/lib/glibc-hwcaps/x86-64-v3/libw.so.1"
    scene.library(best)
    scene.ldconfig("-c", "compat")
    scene.expect("/t/app", starts(CACHED), GLIBC)
    scene.ldconfig("-c", "new")
    scene.expect("/t/app", starts(best), NEW_GLIBC)
    scene.expect("/t/app", starts(CACHED), [GLIBC_231])


def test_t40_a_hwcaps_cache_entry_whose_file_is_gone_hides_the_plain_entry(scene: Scene) -> None:
    require("x86-64-v3" in host_cpu(root("trixie")), "needs a CPU of level x86-64-v3")
    scene.program("/t/app", ["libw.so.1"])
    scene.library(CACHED)
    scene.library("/usr/local/lib/glibc-hwcaps/x86-64-v3/libw.so.1")
    scene.ldconfig()
    scene.remove("/usr/local/lib/glibc-hwcaps")
    scene.expect("/t/app", absent("libw.so.1"), NEW_GLIBC)
