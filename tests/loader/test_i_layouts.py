"""Loaders that are not where Debian has them: each layout made of Debian's own loaders, the strings in
their files changed to those of the other distribution, as its build would have put them there.
"""

from __future__ import annotations

import pytest

from tests.loader.compile import GLIBC_INTERPRETER, MUSL_INTERPRETER, Need, program
from tests.loader.distributions import ALPINE, ARCH, COMPAT, FEDORA, HOME, NIX, STORE, WOLFI, built_for
from tests.loader.loaders import GLIBC, MUSL
from tests.loader.outcome import absent, fails, musl_absent, starts
from tests.loader.scene import Scene

pytestmark = pytest.mark.oracle

GCOMPAT = (
    'char path[4096]; char *exec[64] = {"/lib/ld-musl-x86_64.so.1", "--preload", "/lib/libgcompat.so.0", '
    '"--", path};'
    'path[call_kernel(89, (long)"/proc/self/exe", (long)path, 4095)] = 0;'
    "for (long at = 1; at < stack[0]; at++) exec[4 + at] = (char *)stack[1 + at];"
    "call_kernel(59, (long)exec[0], (long)exec, (long)(stack + stack[0] + 2));"
)


@pytest.fixture
def alpine(scene: Scene) -> Scene:
    """Alpine with a glibc of its own under /usr/glibc-compat, musl where it always is."""
    scene.remove("/etc/ld-musl-x86_64.path")
    scene.directory(f"{COMPAT}/lib")
    scene.move(f"{HOME}/ld-linux-x86-64.so.2", f"{COMPAT}/lib/ld-linux-x86-64.so.2")
    scene.move(f"{HOME}/libc.so.6", f"{COMPAT}/lib/libc.so.6")
    scene.remove(GLIBC_INTERPRETER)
    scene.link(GLIBC_INTERPRETER, f"{COMPAT}/lib/ld-linux-x86-64.so.2")
    scene.edit(
        f"{COMPAT}/lib/ld-linux-x86-64.so.2",
        lambda loader: built_for(loader, *ALPINE, cache="/gnu/ld.so.cache", token="lib"),
    )
    return scene


def test_programs_of_two_libcs_in_one_image_each_get_their_own_loader_and_directories(alpine: Scene) -> None:
    alpine.program("/t/app", ["libx.so.1"])
    alpine.library(f"{COMPAT}/lib/libx.so.1")
    alpine.expect("/t/app", starts(f"{COMPAT}/lib/libx.so.1"), GLIBC)
    alpine.expect("/t/app", musl_absent("libx.so.1"), MUSL)
    alpine.remove(f"{COMPAT}/lib/libx.so.1")
    alpine.library("/usr/lib/libx.so.1")
    alpine.expect("/t/app", absent("libx.so.1"), GLIBC)
    alpine.expect("/t/app", starts("/lib/libx.so.1"), MUSL)


def test_a_glibc_beside_musl_finds_its_libc_in_its_own_prefix(alpine: Scene) -> None:
    alpine.program("/t/app", ["libc.so.6"], calls=[])
    alpine.expect("/t/app", starts(f"{COMPAT}/lib/libc.so.6"), GLIBC)
    alpine.expect("/t/app", starts(), MUSL)


def test_a_glibc_built_for_another_prefix_reads_the_cache_of_that_prefix_only(alpine: Scene) -> None:
    alpine.program("/t/app", ["libx.so.1"])
    alpine.library("/opt/x/libx.so.1")
    alpine.file("/etc/ld.so.conf", b"/opt/x\n")
    alpine.ldconfig("-C", "/etc/ld.so.cache")
    alpine.expect("/t/app", absent("libx.so.1"), GLIBC)
    alpine.directory("/gnu")
    alpine.ldconfig("-C", "/gnu/ld.so.cache")
    alpine.remove("/etc/ld.so.cache")
    alpine.expect("/t/app", starts("/opt/x/libx.so.1"), GLIBC)


def test_a_glibc_library_serves_no_musl_program_that_asks_for_its_name(alpine: Scene) -> None:
    wanted = Need("libv.so.1", "const char *of_v(void) { return 0; }", "")
    alpine.program("/t/app", [wanted], runpath="/t/d")
    alpine.library("/t/d/libv.so.1", ["libc.so.6", "libonly.so.1"])
    alpine.library(f"{COMPAT}/lib/libonly.so.1")
    alpine.expect(
        "/t/app",
        starts("/t/d/libv.so.1", f"{COMPAT}/lib/libc.so.6", f"{COMPAT}/lib/libonly.so.1"),
        GLIBC,
    )
    alpine.expect("/t/app", musl_absent("libonly.so.1"), MUSL)


@pytest.fixture
def gcompat(scene: Scene) -> Scene:
    """Alpine with gcompat: where glibc's loader should be is a program that starts musl's."""
    stub = program(interpreter=None, body=GCOMPAT)
    scene.remove("/etc/ld-musl-x86_64.path", GLIBC_INTERPRETER)
    scene.file(GLIBC_INTERPRETER, stub, 0o755)
    scene.program("/t/app", ["libx.so.1", "libc.so.6"], calls=["of_x"], interpreter=GLIBC_INTERPRETER)
    return scene


def test_gcompat_gives_a_glibc_program_to_musl_and_puts_its_own_library_first(gcompat: Scene) -> None:
    gcompat.library("/usr/lib/libgcompat.so.0")
    gcompat.library("/usr/lib/libx.so.1")
    gcompat.expect("/t/app", starts("/lib/libgcompat.so.0", "/lib/libx.so.1"), MUSL)


def test_under_gcompat_libraries_are_searched_as_musl_searches(gcompat: Scene) -> None:
    gcompat.library("/usr/lib/libgcompat.so.0")
    gcompat.library(f"{HOME}/libx.so.1")
    gcompat.expect("/t/app", musl_absent("libx.so.1"), MUSL)


def test_gcompats_library_may_be_missing_as_any_preload_of_musl(gcompat: Scene) -> None:
    gcompat.library("/usr/lib/libx.so.1")
    gcompat.expect("/t/app", starts("/lib/libx.so.1"), MUSL)


@pytest.fixture
def nix(scene: Scene) -> Scene:
    """A NixOS image: the loader and its directories in the store, nothing under /lib64."""
    scene.directory(f"{STORE}/lib")
    scene.move(f"{HOME}/ld-linux-x86-64.so.2", f"{STORE}/lib/ld-linux-x86-64.so.2")
    scene.move(f"{HOME}/libc.so.6", f"{STORE}/lib/libc.so.6")
    scene.remove("/lib64", "/usr/lib64")
    scene.edit(
        f"{STORE}/lib/ld-linux-x86-64.so.2",
        lambda loader: built_for(loader, *NIX, cache="/nix/ld.so.cache", token="lib"),
    )
    return scene


NIX_INTERPRETER = f"{STORE}/lib/ld-linux-x86-64.so.2"


def test_a_loader_in_the_nix_store_searches_its_own_store_path_and_no_fhs_directory(nix: Scene) -> None:
    nix.program("/t/app", ["libx.so.1", "libc.so.6"], calls=["of_x"], interpreter=NIX_INTERPRETER)
    nix.library("/usr/lib/libx.so.1")
    nix.ldconfig()
    nix.expect("/t/app", absent("libx.so.1"), GLIBC, interpreter=NIX_INTERPRETER)
    nix.library(f"{STORE}/lib/libx.so.1")
    nix.expect(
        "/t/app",
        starts(f"{STORE}/lib/libx.so.1", f"{STORE}/lib/libc.so.6"),
        GLIBC,
        interpreter=NIX_INTERPRETER,
    )


def test_a_run_path_into_the_nix_store_serves_a_program_of_the_store(nix: Scene) -> None:
    nix.program("/t/app", ["libx.so.1"], runpath="/nix/store/x-1.0/lib", interpreter=NIX_INTERPRETER)
    nix.library("/nix/store/x-1.0/lib/libx.so.1")
    nix.expect("/t/app", starts("/nix/store/x-1.0/lib/libx.so.1"), GLIBC, interpreter=NIX_INTERPRETER)


def test_a_program_of_any_other_distribution_does_not_start_on_nixos(nix: Scene) -> None:
    nix.program("/t/app", [])
    nix.expect("/t/app", fails("ENOENT"), GLIBC)


@pytest.mark.parametrize(
    ("directories", "found"),
    [
        pytest.param(WOLFI, "/lib/", id="Wolfi"),
        pytest.param(FEDORA, "/lib64".ljust(22, "/"), id="Fedora, RHEL, SUSE"),
        pytest.param(ARCH, "/usr/lib/", id="Arch"),
    ],
)
def test_the_system_directories_of_another_distribution_are_searched_and_no_others(
    scene: Scene, directories: tuple[str, ...], found: str
) -> None:
    scene.edit(GLIBC_INTERPRETER, lambda loader: built_for(loader, *directories))
    scene.program("/t/app", ["libx.so.1"])
    for elsewhere in (HOME, f"/usr{HOME}", "/usr/local/lib"):
        scene.library(f"{elsewhere}/libx.so.1")
    scene.expect("/t/app", absent("libx.so.1"), GLIBC)
    scene.library(f"{found}libx.so.1")
    scene.expect("/t/app", starts(f"{found}libx.so.1"), GLIBC)


@pytest.mark.parametrize("token", ["lib", "lib64"])
def test_the_lib_token_of_a_loader_of_another_distribution_is_its_own(scene: Scene, token: str) -> None:
    directories = {"lib": ARCH, "lib64": FEDORA}[token]
    scene.edit(GLIBC_INTERPRETER, lambda loader: built_for(loader, *directories, token=token))
    scene.program("/t/app", ["libx.so.1"], runpath="/t/x/$LIB")
    scene.library(f"/t/x{HOME}/libx.so.1")
    scene.expect("/t/app", absent("libx.so.1"), GLIBC)
    scene.library(f"/t/x/{token}/libx.so.1")
    scene.expect("/t/app", starts(f"/t/x/{token}/libx.so.1"), GLIBC)


def test_a_program_for_the_lsb_starts_only_where_the_lsb_name_leads_to_a_loader(scene: Scene) -> None:
    lsb = "/lib64/ld-lsb-x86-64.so.3"
    scene.program("/t/app", ["libx.so.1"], runpath="/t/d", interpreter=lsb)
    scene.library("/t/d/libx.so.1")
    scene.expect("/t/app", fails("ENOENT"), GLIBC, interpreter=lsb)
    scene.link(lsb, "ld-linux-x86-64.so.2")
    scene.expect("/t/app", starts("/t/d/libx.so.1"), GLIBC, interpreter=lsb)


def test_a_program_that_asks_for_the_other_libcs_loader_gets_that_one(scene: Scene) -> None:
    scene.program("/t/app", ["libx.so.1"], interpreter=MUSL_INTERPRETER)
    scene.library("/usr/local/lib/libx.so.1")
    scene.remove("/etc/ld-musl-x86_64.path")
    scene.expect("/t/app", starts("/usr/local/lib/libx.so.1"), MUSL)
    scene.link("/t/musl", MUSL_INTERPRETER)
    scene.program("/t/two", ["libx.so.1"], interpreter="/t/musl")
    scene.expect("/t/two", starts("/usr/local/lib/libx.so.1"), MUSL, interpreter="/t/musl")
