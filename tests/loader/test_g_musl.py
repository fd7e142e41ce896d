"""Traps T103 to T112: what only musl does."""

from __future__ import annotations

import pytest

from tests.loader.compile import Need, hosted
from tests.loader.loaders import GLIBC_236, GLIBC_241, MUSL, MUSL_122, MUSL_125
from tests.loader.outcome import fails, musl_absent, starts
from tests.loader.scene import Scene

pytestmark = pytest.mark.oracle

PATH_FILE = "/etc/ld-musl-x86_64.path"
NOTHING = {"source": "int nothing;"}


def needing(scene: Scene, name: str, **options: object) -> None:
    scene.program("/t/app", [Need(name, "int nothing;")], calls=[], **options)


@pytest.mark.parametrize(
    "name",
    [
        "libc.so.6",
        "libc.musl-x86_64.so.1",
        "libc.so",
        "libpthread.so.0",
        "libm.so.6",
        "libdl.so.2",
        "librt.so.1",
        "libutil.so.1",
        "libxnet.so.1",
        "libdl.dll",
        "libc.",
        "ld-musl-x86_64.so.1",
    ],
)
def test_t103_reserved_names_are_musl_itself(scene: Scene, name: str) -> None:
    needing(scene, name)
    if name == "ld-musl-x86_64.so.1":  # not reserved: found as a file in a default directory
        scene.remove(PATH_FILE)
    scene.expect("/t/app", starts(), MUSL)


@pytest.mark.parametrize(
    "name",
    [
        "libresolv.so.2",
        "libcrypt.so.1",
        "libnsl.so.1",
        "ld-linux-x86-64.so.2",
        "libgcc_s.so.1",
        "libm-2.so",
        "libc",
        "libstdc++.so.6",
        "libanl.so.1",
        "libthread_db.so.1",
        "libintl.so.8",
    ],
)
def test_t104_other_names_of_glibc_are_files(scene: Scene, name: str) -> None:
    needing(scene, name)
    scene.expect("/t/app", musl_absent(name), MUSL)


def test_t103_a_file_of_a_reserved_name_is_never_opened(scene: Scene) -> None:
    needing(scene, "libm.so.6")
    scene.library("/t/d/libm.so.6")
    scene.expect("/t/app", starts(), MUSL, variables={"LD_LIBRARY_PATH": "/t/d"})


@pytest.mark.parametrize("directory", ["/lib", "/usr/local/lib", "/usr/lib"])
def test_t105_without_a_path_file_three_directories_are_searched(scene: Scene, directory: str) -> None:
    scene.remove(PATH_FILE)
    scene.program("/t/app", ["libp.so.1"])
    scene.library(f"{directory}/libp.so.1")
    found = directory.replace("/usr/lib", "/lib")  # merged: /lib is searched first
    scene.expect("/t/app", starts(f"{found}/libp.so.1"), MUSL)


def test_t105_debians_path_file_replaces_them(scene: Scene) -> None:
    scene.program("/t/app", ["libp.so.1"])
    scene.library("/usr/local/lib/libp.so.1")
    scene.expect("/t/app", musl_absent("libp.so.1"), MUSL)
    scene.library("/usr/lib/x86_64-linux-musl/libp.so.1")
    scene.expect("/t/app", starts("/lib/x86_64-linux-musl/libp.so.1"), MUSL)


@pytest.mark.parametrize("directory", ["/usr/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/local/lib64"])
def test_t106_other_directories_are_not_searched(scene: Scene, directory: str) -> None:
    scene.remove(PATH_FILE)
    scene.program("/t/app", ["libp.so.1"])
    scene.library(f"{directory}/libp.so.1")
    scene.expect("/t/app", musl_absent("libp.so.1"), MUSL)


PATH_FILES = {
    "plain": (b"/t/opt\n", "/t/opt/libp.so.1"),
    "no newline": (b"/t/opt", "/t/opt/libp.so.1"),
    "colon": (b"/nope:/t/opt\n", "/t/opt/libp.so.1"),
    "newline": (b"/nope\n/t/opt\n", "/t/opt/libp.so.1"),
    "carriage return": (b"/t/opt\r\n", ""),
    "blank": (b" /t/opt\n", ""),
    "comment": (b"# comment\n/t/opt\n", "/t/opt/libp.so.1"),
    "empty": (b"", ""),
    "empty elements": (b"\n\n::/t/opt", "/t/opt/libp.so.1"),
    "origin": (b"$ORIGIN/opt\n", ""),
    "relative": (b"t/opt\n", "t/opt/libp.so.1"),
    "nul": (b"/nope\0\n/t/opt\n", ""),
}


@pytest.mark.parametrize("kind", PATH_FILES)
def test_t107_the_path_file_is_split_at_colons_and_newlines_and_nothing_else(scene: Scene, kind: str) -> None:
    content, found = PATH_FILES[kind]
    scene.program("/t/app", ["libp.so.1"])
    scene.library("/t/opt/libp.so.1")
    scene.library("/usr/lib/libp.so.1")
    scene.file(PATH_FILE, content)
    if kind == "empty":  # nothing was opened: there is no errno to tell
        nothing = fails("libp.so.1: No error information")
        scene.expect("/t/app", nothing, MUSL, model=musl_absent("libp.so.1"))
    else:
        scene.expect("/t/app", starts(found) if found else musl_absent("libp.so.1"), MUSL)


def test_t107_an_unreadable_path_file_or_a_directory_disables_the_defaults_a_dangling_one_does_not(
    scene: Scene,
) -> None:
    scene.program("/t/app", ["libp.so.1"])
    scene.library("/usr/lib/libp.so.1")
    scene.file(PATH_FILE, b"/lib\n", 0o600)
    absent = musl_absent("libp.so.1")  # the real one tells the errno of opening its path file
    scene.expect("/t/app", fails("libp.so.1: Permission denied"), MUSL, uid=1000, model=absent)
    scene.expect("/t/app", starts("/lib/libp.so.1"), MUSL)
    scene.remove(PATH_FILE)
    scene.directory(PATH_FILE)
    scene.expect("/t/app", fails("libp.so.1: Is a directory"), MUSL, model=absent)
    scene.remove(PATH_FILE)
    scene.link(PATH_FILE, "/nonexistent")
    scene.expect("/t/app", starts("/lib/libp.so.1"), MUSL)


def test_t108_the_path_file_lies_beside_the_loader_that_the_program_names(scene: Scene) -> None:
    usr = "/usr/lib/ld-musl-x86_64.so.1"
    scene.program("/t/app", ["libp.so.1"], interpreter=usr)
    scene.library("/t/opt/libp.so.1")
    scene.file("/usr/etc/ld-musl-x86_64.path", b"/t/opt\n")
    scene.expect("/t/app", starts("/t/opt/libp.so.1"), MUSL, interpreter=usr)
    scene.remove("/usr/etc")
    scene.library("/usr/local/lib/libp.so.1")
    scene.expect("/t/app", starts("/usr/local/lib/libp.so.1"), MUSL, interpreter=usr)


IFUNC = 'static const char *one(void) { return "one"; } static void *choose(void) { return one; }'


def test_t109_an_indirect_function_is_not_visible_to_musl(scene: Scene) -> None:
    scene.program("/t/app", ["libi.so"], runpath="/t/d")
    scene.library("/t/d/libi.so", source=IFUNC + 'const char *of_i(void) __attribute__((ifunc("choose")));')
    scene.expect("/t/app", starts("/t/d/libi.so"), [GLIBC_236, GLIBC_241])
    scene.expect("/t/app", fails("undefined symbol of_i of /t/app.musl"), MUSL)


def test_t109_an_indirect_relocation_is_not_supported_by_musl(scene: Scene) -> None:
    source = IFUNC + (
        'static const char *inner(void) __attribute__((ifunc("choose")));'
        "const char *of_i(void) { return inner(); }"
    )
    scene.program("/t/app", ["libi.so"], runpath="/t/d")
    scene.library("/t/d/libi.so", source=source)
    scene.expect("/t/app", starts("/t/d/libi.so"), [GLIBC_236, GLIBC_241])
    scene.expect("/t/app", fails("Error relocating /t/d/libi.so: unsupported relocation type 37"), MUSL)


def glibc_program(scene: Scene, source: str, *flags: str) -> None:
    """A program of glibc in a root where glibc's loader path leads to musl."""
    scene.file("/t/app", hosted(source, ["gcc", "-O2"], *flags), 0o755)
    scene.remove("/usr/lib64/ld-linux-x86-64.so.2", PATH_FILE)
    scene.link("/usr/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1")


def test_t110_a_plain_program_of_glibc_starts_under_musl(scene: Scene) -> None:
    glibc_program(scene, '#include <stdio.h>\nint main(void) { puts("started"); return 0; }\n')
    scene.expect("/t/app", starts(), MUSL)


def test_t110_a_fortified_program_of_glibc_misses_the_checking_functions(scene: Scene) -> None:
    source = (
        "#include <stdio.h>\nint main(int count, char **words) { char text[8];"
        ' snprintf(text, sizeof text, "%d", count); return printf("%s %s\\n", words[0], text); }\n'
    )
    glibc_program(scene, source, "-D_FORTIFY_SOURCE=2")
    for loader in MUSL:
        ended = scene.run(loader, "/t/app")
        told = {line.split(": ")[-2] for line in ended.err.splitlines() if "symbol not found" in line}
        assert "__printf_chk" in told and ended.code == 127
        said = {miss.symbol for miss in scene.link_map(loader, "/t/app").missing_symbols}
        scene.claim(said == told, f"{loader}: {said}, not {told}")


@pytest.mark.parametrize("loader", [MUSL_122, MUSL_125], ids=str)
def test_t110_large_file_names_are_known_to_the_loader_itself(scene: Scene, loader: object) -> None:
    source = (
        "#define _LARGEFILE64_SOURCE\n#include <stdio.h>\n#include <fcntl.h>\n#include <sys/stat.h>\n"
        'int main(void) { struct stat64 s; FILE *file = fopen64("/nope", "r");'
        ' puts("started"); return stat64("/", &s) + (open64("/", 0) < 0) + (file != 0); }\n'
    )
    glibc_program(scene, source)
    scene.expect("/t/app", starts(), [loader])  # type: ignore[list-item]


def test_t112_a_libc_under_another_name_is_replaced_by_musl_itself(scene: Scene) -> None:
    scene.program("/t/app", [Need("libglibc.so", "int nothing;")], calls=[], runpath="/t/d")
    scene.copy("/t/d/libglibc.so", "/lib/x86_64-linux-gnu/libc.so.6", GLIBC_236)
    scene.expect("/t/app", starts(), MUSL)
