"""Traps T60 to T66: an object that is already loaded answers before any search."""

from __future__ import annotations

import pytest

from tests.loader.compile import Need, library
from tests.loader.loaders import GLIBC, MUSL
from tests.loader.outcome import absent, fails, musl_absent, starts
from tests.loader.scene import Scene

pytestmark = pytest.mark.oracle

LIBC = "/lib/x86_64-linux-gnu/libc.so.6"


def soname_tree(scene: Scene) -> None:
    """``libfile.so`` calls itself libreal.so.1; one library needs either name."""
    scene.library("/t/d/lib1.so", ["libfile.so"])
    scene.library("/t/d/lib2.so", ["libreal.so.1"])
    scene.library("/t/d/libfile.so", soname="libreal.so.1")


def test_t60_a_soname_answers_under_glibc_for_a_file_that_does_not_exist(scene: Scene) -> None:
    soname_tree(scene)
    scene.program("/t/app", ["lib1.so", "lib2.so"], rpath="/t/d")
    scene.expect("/t/app", starts("/t/d/lib1.so", "/t/d/lib2.so", "/t/d/libfile.so"), GLIBC)
    scene.expect("/t/app", musl_absent("libreal.so.1"), MUSL)


def test_t60_a_soname_answers_only_once_its_object_is_loaded(scene: Scene) -> None:
    soname_tree(scene)
    scene.program("/t/app", ["lib2.so", "lib1.so"], rpath="/t/d")
    scene.expect("/t/app", absent("libreal.so.1"), GLIBC)
    scene.expect("/t/app", musl_absent("libreal.so.1"), MUSL)


def test_t61_a_preloaded_object_answers_by_its_soname_under_glibc(scene: Scene) -> None:
    soname_tree(scene)
    scene.program("/t/app", ["lib2.so", "lib1.so"], rpath="/t/d")
    variables = {"LD_PRELOAD": "/t/d/libfile.so"}
    scene.expect(
        "/t/app", starts("/t/d/libfile.so", "/t/d/lib2.so", "/t/d/lib1.so"), GLIBC, variables=variables
    )
    scene.expect("/t/app", musl_absent("libreal.so.1"), MUSL, variables=variables)


def test_t62_a_symlink_to_a_loaded_object_is_that_object(scene: Scene) -> None:
    scene.program("/t/app", ["libx.so.1", "liby.so.1"], calls=["of_x"], rpath="/t/d")
    scene.library("/t/d/libx.so.1")
    scene.link("/t/d/liby.so.1", "libx.so.1")
    scene.expect("/t/app", starts("/t/d/libx.so.1"), GLIBC + MUSL)


def test_t62_a_copy_is_another_object_unless_its_soname_is_taken(scene: Scene) -> None:
    scene.program("/t/copy_last", ["libx.so.1", "libz.so.1"], calls=["of_x"], rpath="/t/d")
    scene.program("/t/copy_first", ["libz.so.1", "libx.so.1"], calls=["of_x"], rpath="/t/d")
    content = scene.library("/t/d/libx.so.1")
    scene.file("/t/d/libz.so.1", content)
    scene.expect("/t/copy_last", starts("/t/d/libx.so.1", "/t/d/libz.so.1"), GLIBC + MUSL)
    scene.expect("/t/copy_first", starts("/t/d/libz.so.1"), GLIBC)
    scene.expect("/t/copy_first", starts("/t/d/libz.so.1", "/t/d/libx.so.1"), MUSL)


NEW = 'const char *of_foo(void) { return ""; } const char *of_new(void) { return ""; }'
NEW_VERSIONS = "V1 { global: of_foo; local: *; }; V2 { global: of_new; } V1;"


@pytest.mark.parametrize("order", [("libfoo.so.1", "liba.so.1"), ("liba.so.1", "libfoo.so.1")])
def test_t63_the_older_copy_that_the_program_needs_shadows_the_newer_one_of_a_library(
    scene: Scene, order: tuple[str, str]
) -> None:
    old = Need("libfoo.so.1", "void of_foo(void) {}", "V1 { global: of_foo; local: *; };")
    new = Need("libfoo.so.1", NEW, NEW_VERSIONS)
    needs = [old if name == "libfoo.so.1" else name for name in order]
    scene.program("/t/app", needs, runpath="/t/d")
    scene.library("/t/d/libfoo.so.1", versions="V1 { global: of_foo; local: *; };")
    source = "const char *of_new(void); const char *of_a(void) { return of_new(); }"
    scene.library("/t/d/liba.so.1", [new], runpath="/t/new", source=source)
    scene.library("/t/new/libfoo.so.1", source=NEW, versions=NEW_VERSIONS)
    reason = "version V2 not in /t/d/libfoo.so.1 for /t/d/liba.so.1"
    scene.expect("/t/app", fails(reason), GLIBC)


def test_t63_musl_has_no_version_check_and_misses_the_symbol(scene: Scene) -> None:
    scene.program("/t/app", ["libfoo.so.1", "liba.so.1"], runpath="/t/d")
    scene.library("/t/d/libfoo.so.1")
    source = "const char *of_new(void); const char *of_a(void) { return of_new(); }"
    scene.library("/t/d/liba.so.1", [Need("libfoo.so.1", NEW, NEW_VERSIONS)], source=source)
    scene.expect("/t/app", fails("undefined symbol of_new of /t/d/liba.so.1"), MUSL)


@pytest.mark.parametrize("needed", ["ld-linux-x86-64.so.2", "linux-vdso.so.1"])
def test_t64_the_loader_and_the_vdso_answer_to_their_names_without_a_file(scene: Scene, needed: str) -> None:
    scene.copy("/t/x/loader", "/lib64/ld-linux-x86-64.so.2")
    scene.remove("/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "/usr/lib64/ld-linux-x86-64.so.2")
    scene.program("/t/app", [needed, "libc.so.6"], calls=[], interpreter="/t/x/loader")
    scene.expect("/t/app", starts(LIBC), GLIBC, interpreter="/t/x/loader")


def test_t64_the_loader_answers_to_its_own_path(scene: Scene) -> None:
    scene.program("/t/app", ["/lib64/ld-linux-x86-64.so.2", "libc.so.6"], calls=[])
    scene.expect("/t/app", starts(LIBC), GLIBC)


def test_t66_two_names_of_one_library_need_one_file_under_glibc_and_two_under_musl(scene: Scene) -> None:
    scene.program("/t/app", ["libfoo.so", "libfoo.so.1"], calls=["of_foo"], rpath="/t/d")
    scene.library("/t/d/libfoo.so", soname="libfoo.so.1")
    scene.expect("/t/app", starts("/t/d/libfoo.so"), GLIBC)
    scene.expect("/t/app", musl_absent("libfoo.so.1"), MUSL)


def test_t66_the_file_at_a_path_is_one_object_however_it_is_asked_for(scene: Scene) -> None:
    scene.program("/t/app", ["/t/d/../d/libfoo.so", "libfoo.so"], calls=["of_foo"], rpath="/t/d")
    scene.file("/t/d/libfoo.so", library("/t/d/libfoo.so", soname=None))
    scene.expect("/t/app", starts("/t/d/../d/libfoo.so"), GLIBC)
    scene.expect("/t/app", starts("/t/d/../d/libfoo.so"), MUSL)
