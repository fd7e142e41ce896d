"""Traps T01 to T30: where a name is searched."""

from __future__ import annotations

import struct

import pytest

from tests.loader.compile import find_segment, library, program
from tests.loader.loaders import GLIBC, GLIBC_231, GLIBC_236, GLIBC_241, MUSL
from tests.loader.outcome import absent, fails, musl_absent, starts
from tests.loader.scene import Scene
from tests.oracle.model import host_cpu
from tests.oracle.roots import root
from tests.requirements import require

pytestmark = pytest.mark.oracle

A, B = "/t/d/liba.so.1", "/t/d/libb.so.1"
NEW_GLIBC = (GLIBC_236, GLIBC_241)


def test_t01_an_rpath_serves_the_libraries_of_libraries(scene: Scene) -> None:
    scene.program("/t/app", ["liba.so.1"], rpath="/t/d")
    scene.library(A, ["libb.so.1"])
    scene.library(B)
    scene.expect("/t/app", starts(A, B), GLIBC + MUSL)


def test_t02_a_runpath_is_not_inherited_by_grandchildren_under_glibc_but_is_under_musl(scene: Scene) -> None:
    scene.program("/t/app", ["liba.so.1"], runpath="/t/d")
    scene.library(A, ["libb.so.1"])
    scene.library(B)
    scene.expect("/t/app", absent("libb.so.1"), GLIBC)
    scene.expect("/t/app", starts(A, B), MUSL)


def test_t03_a_runpath_of_the_needing_library_turns_the_programs_rpath_off_under_glibc_only(
    scene: Scene,
) -> None:
    scene.program("/t/app", ["liba.so.1"], rpath="/t/d")
    scene.library(A, ["libb.so.1"], runpath="/nonexistent")
    scene.library(B)
    scene.expect("/t/app", absent("libb.so.1"), GLIBC)
    scene.expect("/t/app", starts(A, B), MUSL)


def test_t04_a_runpath_in_the_middle_does_not_cut_the_rpath_chain(scene: Scene) -> None:
    scene.program("/t/app", ["liba.so.1"], rpath="/t/1")
    scene.library("/t/1/liba.so.1", ["libb.so.1"], runpath="/t/2")
    scene.library("/t/2/libb.so.1", ["libc1.so.1"])
    scene.library("/t/1/libc1.so.1")
    scene.expect("/t/app", starts("/t/1/liba.so.1", "/t/2/libb.so.1", "/t/1/libc1.so.1"), GLIBC + MUSL)


def test_t05_an_rpath_of_a_library_serves_its_own_descendants(scene: Scene) -> None:
    scene.program("/t/app", ["liba.so.1"], runpath="/t/1")
    scene.library("/t/1/liba.so.1", ["libb.so.1"], rpath="/t/2")
    scene.library("/t/2/libb.so.1", ["libc1.so.1"])
    scene.library("/t/2/libc1.so.1")
    scene.expect("/t/app", starts("/t/1/liba.so.1", "/t/2/libb.so.1", "/t/2/libc1.so.1"), GLIBC + MUSL)


def test_t06_the_first_object_to_ask_decides_where_a_library_is_searched(scene: Scene) -> None:
    scene.program("/t/az", ["liba.so.1", "libz.so.1"], runpath="/t/d")
    scene.program("/t/za", ["libz.so.1", "liba.so.1"], runpath="/t/d")
    scene.library(A, ["libq.so.1"], runpath="/t/q")
    scene.library("/t/d/libz.so.1", ["libq.so.1"])
    scene.library("/t/q/libq.so.1")
    scene.expect("/t/az", starts(A, "/t/d/libz.so.1", "/t/q/libq.so.1"), GLIBC + MUSL)
    scene.expect("/t/za", absent("libq.so.1"), GLIBC)
    scene.expect("/t/za", musl_absent("libq.so.1"), MUSL)


def test_t07_rpath_beats_the_library_path_which_beats_runpath_but_under_musl_the_variable_is_first(
    scene: Scene,
) -> None:
    scene.program("/t/rpath", ["libp.so.1"], rpath="/t/built")
    scene.program("/t/runpath", ["libp.so.1"], runpath="/t/built")
    scene.library("/t/built/libp.so.1")
    scene.library("/t/variable/libp.so.1")
    variables = {"LD_LIBRARY_PATH": "/t/variable"}
    scene.expect("/t/rpath", starts("/t/built/libp.so.1"), GLIBC, variables=variables)
    scene.expect("/t/runpath", starts("/t/variable/libp.so.1"), GLIBC, variables=variables)
    scene.expect("/t/rpath", starts("/t/variable/libp.so.1"), MUSL, variables=variables)
    scene.expect("/t/runpath", starts("/t/variable/libp.so.1"), MUSL, variables=variables)


@pytest.mark.parametrize("value", [":", "/nope:", ":/nope", "/nope::/nope2"])
def test_t08_an_empty_element_of_the_library_path_is_the_working_directory_under_glibc_only(
    scene: Scene, value: str
) -> None:
    scene.program("/t/app", ["libp.so.1"])
    scene.library("/t/d/libp.so.1")
    variables = {"LD_LIBRARY_PATH": value}
    scene.expect("/t/app", starts("libp.so.1"), GLIBC, variables=variables, directory="/t/d")
    scene.expect("/t/app", absent("libp.so.1"), GLIBC, variables=variables, directory="/")
    scene.expect("/t/app", musl_absent("libp.so.1"), MUSL, variables=variables, directory="/t/d")


def test_t08_an_empty_library_path_is_ignored(scene: Scene) -> None:
    scene.program("/t/app", ["libp.so.1"])
    scene.library("/t/d/libp.so.1")
    variables = {"LD_LIBRARY_PATH": ""}
    scene.expect("/t/app", absent("libp.so.1"), GLIBC, variables=variables, directory="/t/d")
    scene.expect("/t/app", musl_absent("libp.so.1"), MUSL, variables=variables, directory="/t/d")


@pytest.mark.parametrize("value", ["d", "d/", "./d", "/t//d", "/t/d/."])
def test_t08_elements_of_the_library_path_are_used_as_written(scene: Scene, value: str) -> None:
    scene.program("/t/app", ["libp.so.1"])
    scene.library("/t/d/libp.so.1")
    variables = {"LD_LIBRARY_PATH": value}
    opened = f"{value.rstrip('/')}/libp.so.1"
    scene.expect("/t/app", starts(opened), GLIBC, variables=variables, directory="/t")
    opened = f"{value}/libp.so.1"
    scene.expect("/t/app", starts(opened), MUSL, variables=variables, directory="/t")


def test_t09_a_semicolon_separates_the_library_path_under_glibc_only(scene: Scene) -> None:
    scene.program("/t/app", ["libp.so.1"])
    scene.library("/t/d/libp.so.1")
    variables = {"LD_LIBRARY_PATH": "/nope;/t/d"}
    scene.expect("/t/app", starts("/t/d/libp.so.1"), GLIBC, variables=variables)
    scene.expect("/t/app", musl_absent("libp.so.1"), MUSL, variables=variables)


def test_t10_an_empty_element_of_a_runpath_is_the_working_directory_under_glibc_only(scene: Scene) -> None:
    scene.program("/t/app", ["libp.so.1"], runpath="/nope::/nope2")
    scene.library("/t/d/libp.so.1")
    scene.expect("/t/app", starts("libp.so.1"), GLIBC, directory="/t/d")
    scene.expect("/t/app", absent("libp.so.1"), GLIBC, directory="/")
    scene.expect("/t/app", musl_absent("libp.so.1"), MUSL, directory="/t/d")


def test_t11_a_needed_name_with_a_slash_is_a_path_from_the_working_directory(scene: Scene) -> None:
    scene.program("/t/app", ["sub/libs.so"])
    scene.library("/t/sub/libs.so", soname=None)
    variables = {"LD_LIBRARY_PATH": "/t:/t/sub"}
    scene.expect("/t/app", starts("sub/libs.so"), GLIBC + MUSL, directory="/t")
    scene.expect("/t/app", absent("sub/libs.so"), GLIBC, directory="/", variables=variables)
    scene.expect("/t/app", musl_absent("sub/libs.so"), MUSL, directory="/", variables=variables)


def _add_runpath(elf: bytes) -> bytes:
    """Turn the first spare dynamic entry into a DT_RUNPATH whose text is the end of the DT_RPATH."""
    changed = bytearray(elf)
    header = find_segment(elf, 2)
    at, rpath = struct.unpack_from("<Q", elf, header + 8)[0], 0
    while (entry := struct.unpack_from("<qQ", elf, at))[0] != 0:
        rpath = entry[1] if entry[0] == 15 else rpath
        at += 16
    struct.pack_into("<qQ", changed, at, 29, rpath + len("/t/rpath"))
    return bytes(changed)


def test_t12_a_runpath_makes_the_rpath_of_the_same_object_void(scene: Scene) -> None:
    scene.program("/t/app", ["libp.so.1"], rpath="/t/rpath/t/runpath", change=_add_runpath)
    scene.library("/t/rpath/t/runpath/libp.so.1")
    scene.library("/t/runpath/libp.so.1")
    scene.expect("/t/app", starts("/t/runpath/libp.so.1"), GLIBC + MUSL)


def test_t13_a_program_without_default_libraries_takes_cached_files_outside_the_system_directories_only(
    scene: Scene,
) -> None:
    scene.program("/t/app", ["libn.so.1"], flags=["-Wl,-z,nodefaultlib"])
    scene.library("/usr/lib/libn.so.1")
    scene.expect("/t/app", absent("libn.so.1"), GLIBC)
    scene.ldconfig()
    refused = fails("libn.so.1: cannot open shared object file")  # no errno: nothing was opened
    scene.expect("/t/app", refused, GLIBC, model=absent("libn.so.1"))
    scene.move("/usr/lib/libn.so.1", "/usr/local/lib/libn.so.1")
    scene.ldconfig()
    scene.expect("/t/app", starts("/usr/local/lib/libn.so.1"), GLIBC)


def test_t13_the_refusal_of_default_libraries_is_not_inherited(scene: Scene) -> None:
    scene.program("/t/app", ["libm1.so.1"], runpath="/t/d", flags=["-Wl,-z,nodefaultlib"])
    scene.library("/t/d/libm1.so.1", ["libn.so.1"])
    scene.library("/usr/lib/libn.so.1")
    scene.expect("/t/app", starts("/t/d/libm1.so.1", "/lib/libn.so.1"), GLIBC)


@pytest.mark.parametrize("directory", ["/usr/lib64", "/usr/lib32", "/usr/lib/x86_64-linux-gnu/sub"])
def test_t14_directories_that_debians_loader_does_not_name_are_not_searched(
    scene: Scene, directory: str
) -> None:
    scene.program("/t/app", ["libd.so.1"])
    scene.library(f"{directory}/libd.so.1")
    scene.expect("/t/app", absent("libd.so.1"), GLIBC)


def test_t14_debians_loader_searches_its_own_four_directories_in_order(scene: Scene) -> None:
    scene.program("/t/app", ["libd.so.1"])
    scene.library("/usr/lib/libd.so.1")
    scene.expect("/t/app", starts("/lib/libd.so.1"), GLIBC)
    scene.library("/usr/lib/x86_64-linux-gnu/libd.so.1")
    scene.expect("/t/app", starts("/lib/x86_64-linux-gnu/libd.so.1"), GLIBC)


def _rename_system_directories(loader: bytes) -> bytes:
    return loader.replace(b"\0/usr/lib/\0", b"\0/usr/lob/\0").replace(b"/\0/lib/\0", b"/\0/lob/\0")


def test_t15_the_default_directories_are_those_that_the_loaders_own_file_names(scene: Scene) -> None:
    scene.edit("/lib64/ld-linux-x86-64.so.2", _rename_system_directories)
    scene.program("/t/app", ["libd.so.1"])
    scene.library("/usr/lib/libd.so.1")
    scene.expect("/t/app", absent("libd.so.1"), GLIBC)
    scene.library("/usr/lob/libd.so.1")
    scene.expect("/t/app", starts("/usr/lob/libd.so.1"), GLIBC)


def test_t16_without_a_cache_usr_local_lib_is_not_searched(scene: Scene) -> None:
    scene.program("/t/app", ["libw.so.1"])
    scene.library("/usr/local/lib/libw.so.1")
    scene.expect("/t/app", absent("libw.so.1"), GLIBC)


def test_t17_a_library_in_usr_local_lib_is_found_once_ldconfig_ran(scene: Scene) -> None:
    scene.program("/t/app", ["libw.so.1"])
    scene.library("/usr/local/lib/libw.so.1")
    scene.ldconfig()
    scene.expect("/t/app", starts("/usr/local/lib/libw.so.1"), GLIBC)


def test_t18_a_cached_library_beats_one_in_a_default_directory(scene: Scene) -> None:
    scene.program("/t/app", ["libw.so.1"])
    scene.library("/usr/local/lib/libw.so.1")
    scene.library("/usr/lib/libw.so.1")
    scene.expect("/t/app", starts("/lib/libw.so.1"), GLIBC)
    scene.ldconfig()
    scene.expect("/t/app", starts("/usr/local/lib/libw.so.1"), GLIBC)


def test_t19_the_origin_of_a_program_started_through_a_symlink_is_the_real_directory(scene: Scene) -> None:
    scene.program("/t/opt/bin/app", ["libp.so.1"], runpath="$ORIGIN/../lib")
    scene.library("/t/opt/lib/libp.so.1")
    scene.link("/t/bin/app", "../opt/bin/app")
    scene.link("/t/bin/app.musl", "../opt/bin/app.musl")
    scene.expect("/t/bin/app", starts("/t/opt/bin/../lib/libp.so.1"), GLIBC + MUSL)


def test_t20_the_origin_of_a_library_is_the_directory_that_it_was_opened_in(scene: Scene) -> None:
    scene.program("/t/app", ["libtop.so.1"], runpath="/t/link")
    scene.library("/t/d/libtop.so.1", ["libdep.so.1"], runpath="$ORIGIN")
    scene.library("/t/d/libdep.so.1")
    scene.link("/t/link/libtop.so.1", "../d/libtop.so.1")
    scene.expect("/t/app", absent("libdep.so.1"), GLIBC)
    scene.expect("/t/app", musl_absent("libdep.so.1"), MUSL)
    scene.link("/t/link/libdep.so.1", "../d/libdep.so.1")
    scene.expect("/t/app", starts("/t/link/libtop.so.1", "/t/link/libdep.so.1"), GLIBC + MUSL)


def test_t21_the_lib_token_is_debians_multiarch_directory(scene: Scene) -> None:
    scene.program("/t/app", ["libp.so.1"], runpath="/t/x/$LIB")
    scene.library("/t/x/lib64/libp.so.1")
    scene.expect("/t/app", absent("libp.so.1"), GLIBC)
    scene.library("/t/x/lib/x86_64-linux-gnu/libp.so.1")
    scene.expect("/t/app", starts("/t/x/lib/x86_64-linux-gnu/libp.so.1"), GLIBC)


def test_t21_the_lib_token_is_what_the_loaders_own_file_says(scene: Scene) -> None:
    scene.edit(
        "/lib64/ld-linux-x86-64.so.2",
        lambda loader: loader.replace(b"lib/x86_64-linux-gnu", b"lib/x86_64-linux-abc"),
    )
    scene.program("/t/app", ["libp.so.1"], runpath="/t/x/${LIB}")
    scene.library("/t/x/lib/x86_64-linux-gnu/libp.so.1")
    scene.library("/t/x/lib/x86_64-linux-abc/libp.so.1")
    scene.expect("/t/app", starts("/t/x/lib/x86_64-linux-abc/libp.so.1"), GLIBC)


def test_t22_one_unknown_token_makes_musl_ignore_the_whole_run_path(scene: Scene) -> None:
    scene.program("/t/app", ["libp.so.1"], runpath="$ORIGIN/q:/t/x/$LIB/q")
    scene.library("/t/q/libp.so.1")
    scene.expect("/t/app", starts("/t/q/libp.so.1"), GLIBC)
    scene.expect("/t/app", musl_absent("libp.so.1"), MUSL)


def test_t23_an_unknown_token_is_a_directory_of_that_name_under_glibc(scene: Scene) -> None:
    scene.program("/t/app", ["libp.so.1"], runpath="/t/$FOO/z")
    scene.library("/t/$FOO/z/libp.so.1")
    scene.expect("/t/app", starts("/t/$FOO/z/libp.so.1"), GLIBC)
    scene.expect("/t/app", musl_absent("libp.so.1"), MUSL)


def test_t24_a_token_ends_where_the_identifier_ends_under_glibc_but_not_under_musl(scene: Scene) -> None:
    scene.program("/t/app", ["libp.so.1"], runpath="$ORIGINx")
    scene.library("/tx/libp.so.1")
    scene.expect("/t/app", absent("libp.so.1"), GLIBC)
    scene.expect("/t/app", starts("/tx/libp.so.1"), MUSL)


def test_t24_a_token_in_braces_is_the_same_token(scene: Scene) -> None:
    scene.program("/t/app", ["libp.so.1"], runpath="${ORIGIN}/d")
    scene.library("/t/d/libp.so.1")
    scene.expect("/t/app", starts("/t/d/libp.so.1"), GLIBC + MUSL)


def test_t25_a_token_in_a_needed_name_is_expanded_by_glibc_and_literal_under_musl(scene: Scene) -> None:
    scene.program("/t/app", ["$ORIGIN/lib/libt.so.1"])
    scene.library("/t/lib/libt.so.1")
    scene.expect("/t/app", starts("/t/lib/libt.so.1"), GLIBC)
    scene.expect("/t/app", musl_absent("$ORIGIN/lib/libt.so.1"), MUSL)


@pytest.mark.parametrize("value", ["/t/$LIB", "/t/${LIB}", "$ORIGIN/$LIB"])
def test_t26_tokens_in_the_library_path_are_expanded_by_glibc(scene: Scene, value: str) -> None:
    scene.program("/t/app", ["libp.so.1"])
    scene.library("/t/lib/x86_64-linux-gnu/libp.so.1")
    variables = {"LD_LIBRARY_PATH": value}
    scene.expect("/t/app", starts("/t/lib/x86_64-linux-gnu/libp.so.1"), GLIBC, variables=variables)
    scene.expect("/t/app", musl_absent("libp.so.1"), MUSL, variables=variables)


def _need_level_3() -> None:
    require("x86-64-v3" in host_cpu(root("trixie")), "needs a CPU of level x86-64-v3")


BASELINE = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-SSE4_2,-SSE4_2_Usable"}


def test_t27_the_best_hwcaps_copy_that_the_cpu_can_run_is_taken_since_glibc_2_33(scene: Scene) -> None:
    _need_level_3()
    scene.program("/t/app", ["libh.so.1"], runpath="/t/d")
    for path in ("/t/d", "/t/d/glibc-hwcaps/x86-64-v2", "/t/d/glibc-hwcaps/x86-64-v3"):
        scene.library(f"{path}/libh.so.1")
    scene.expect("/t/app", starts("/t/d/libh.so.1"), [GLIBC_231])
    scene.expect("/t/app", starts("/t/d/glibc-hwcaps/x86-64-v3/libh.so.1"), NEW_GLIBC)
    scene.expect("/t/app", starts("/t/d/libh.so.1"), NEW_GLIBC, variables=BASELINE, cpu=())


def test_t27_hwcaps_directories_of_the_default_directories_and_of_the_cache_are_searched_too(
    scene: Scene,
) -> None:
    _need_level_3()
    scene.program("/t/app", ["libh.so.1"])
    scene.library("/usr/lib/x86_64-linux-gnu/libh.so.1")
    scene.library("/usr/lib/x86_64-linux-gnu/glibc-hwcaps/x86-64-v3/libh.so.1")
    best = starts("/lib/x86_64-linux-gnu/glibc-hwcaps/x86-64-v3/libh.so.1")
    scene.expect("/t/app", best, NEW_GLIBC)
    scene.ldconfig()
    scene.expect("/t/app", best, NEW_GLIBC)
    scene.expect("/t/app", starts("/lib/x86_64-linux-gnu/libh.so.1"), [GLIBC_231])
    scene.expect("/t/app", starts("/lib/x86_64-linux-gnu/libh.so.1"), NEW_GLIBC, variables=BASELINE, cpu=())


def test_t28_a_library_that_only_a_hwcaps_directory_has_is_found_on_that_cpu_alone(scene: Scene) -> None:
    _need_level_3()
    scene.program("/t/app", ["libo.so.1"], runpath="/t/d")
    scene.library("/t/d/glibc-hwcaps/x86-64-v2/libo.so.1")
    scene.expect("/t/app", absent("libo.so.1"), [GLIBC_231])
    scene.expect("/t/app", starts("/t/d/glibc-hwcaps/x86-64-v2/libo.so.1"), NEW_GLIBC)
    scene.expect("/t/app", absent("libo.so.1"), NEW_GLIBC, variables=BASELINE, cpu=())


def test_t28_an_unknown_hwcaps_name_is_not_searched(scene: Scene) -> None:
    scene.program("/t/app", ["libo.so.1"], runpath="/t/d")
    scene.library("/t/d/glibc-hwcaps/x86-64-v9/libo.so.1")
    scene.expect("/t/app", absent("libo.so.1"), GLIBC)


@pytest.mark.parametrize("name", ["tls", "x86_64", "tls/x86_64"])
def test_t29_the_old_subdirectories_are_searched_up_to_glibc_2_36(scene: Scene, name: str) -> None:
    scene.program("/t/app", ["libl.so.1"], runpath="/t/d")
    scene.library(f"/t/d/{name}/libl.so.1")
    scene.expect("/t/app", starts(f"/t/d/{name}/libl.so.1"), [GLIBC_231, GLIBC_236])
    scene.expect("/t/app", absent("libl.so.1"), [GLIBC_241])


def test_t30_a_broken_hwcaps_copy_stops_the_loader_although_the_plain_copy_is_good(scene: Scene) -> None:
    _need_level_3()
    scene.program("/t/app", ["libh.so.1"], runpath="/t/d")
    scene.library("/t/d/libh.so.1")
    scene.file("/t/d/glibc-hwcaps/x86-64-v3/libh.so.1", b"garbage" * 30)
    scene.expect("/t/app", fails("/t/d/glibc-hwcaps/x86-64-v3/libh.so.1: invalid ELF header"), NEW_GLIBC)
    scene.expect("/t/app", starts("/t/d/libh.so.1"), [GLIBC_231])


def test_the_pieces_are_compiled_once_and_kept() -> None:
    assert library("/t/liba.so", soname="liba.so") is not library("/t/liba.so", soname="liba.so")
    assert library("/t/liba.so", soname="liba.so") == library("/t/liba.so", soname="liba.so")
    assert program() == program()
