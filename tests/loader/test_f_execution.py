"""Traps T86 to T102: what the kernel says before any library matters, scripts, and secure mode."""

from __future__ import annotations

import struct

import pytest

from imagescan.filesystem.values import Credentials
from imagescan.reference import Platform
from imagescan.sources.values import ImageConfig
from imagescan.startup.chain import startup_chain
from imagescan.startup.lookup import Surroundings
from tests.loader.compile import Need, find_segment, program, zig
from tests.loader.loaders import GLIBC, GLIBC_231, GLIBC_236, GLIBC_241, MUSL
from tests.loader.outcome import absent, fails, musl_absent, starts
from tests.loader.scene import Scene

pytestmark = pytest.mark.oracle

LOADER = "/lib64/ld-linux-x86-64.so.2"


@pytest.mark.parametrize("interpreter", ["/lib64/ld-nope.so.2", "/lib64/ld-lsb-x86-64.so.3"])
def test_t86_a_missing_interpreter_is_no_such_file_for_the_program(scene: Scene, interpreter: str) -> None:
    scene.program("/t/app", [], interpreter=interpreter)
    scene.expect("/t/app", fails("ENOENT"), [GLIBC_236])


def test_t86_an_interpreter_that_is_a_dangling_symlink_is_no_such_file(scene: Scene) -> None:
    scene.program("/t/app", [], interpreter="/t/dangling")
    scene.link("/t/dangling", "/nonexistent/ld.so")
    scene.expect("/t/app", fails("ENOENT"), [GLIBC_236])


def test_t86_without_the_lib64_symlink_no_program_starts(scene: Scene) -> None:
    scene.program("/t/app", ["libc.so.6"], calls=[])
    scene.expect("/t/app", starts("/lib/x86_64-linux-gnu/libc.so.6"), GLIBC)
    scene.remove("/lib64")
    scene.expect("/t/app", fails("ENOENT"), GLIBC)
    scene.directory("/lib64")
    scene.expect("/t/app", fails("ENOENT"), GLIBC)


INTERPRETERS = {
    "not executable": ("EACCES", lambda scene: scene.mode("/t/interpreter", 0o644)),
    "directory": (
        "EACCES",
        lambda scene: (scene.remove("/t/interpreter"), scene.directory("/t/interpreter")),
    ),
    "text": ("ELIBBAD", lambda scene: scene.file("/t/interpreter", b"#!/bin/sh\n" * 20, 0o755)),
    "short": ("EIO", lambda scene: scene.file("/t/interpreter", b"x", 0o755)),
    "empty": ("EIO", lambda scene: scene.file("/t/interpreter", b"", 0o755)),
    "other machine": (
        "ELIBBAD",
        lambda scene: scene.library("/t/interpreter", soname=None, compiler=zig("aarch64-linux-gnu")),
    ),
    "other class": (
        "ELIBBAD",
        lambda scene: scene.library("/t/interpreter", soname=None, compiler=["gcc", "-m32"]),
    ),
}


@pytest.mark.parametrize("kind", INTERPRETERS)
def test_t87_a_bad_interpreter_is_told_by_the_kernels_errno(scene: Scene, kind: str) -> None:
    errno, spoil = INTERPRETERS[kind]
    scene.program("/t/app", [], interpreter="/t/interpreter")
    scene.copy("/t/interpreter", LOADER)
    scene.expect("/t/app", starts(), [GLIBC_236], interpreter="/t/interpreter")
    spoil(scene)
    scene.expect("/t/app", fails(errno), [GLIBC_236])


def _cut_interpreter(elf: bytes) -> bytes:
    """Leave the NUL out of PT_INTERP."""
    changed = bytearray(elf)
    at = find_segment(elf, 3) + 32
    struct.pack_into("<Q", changed, at, struct.unpack_from("<Q", elf, at)[0] - 1)
    return bytes(changed)


def _huge_interpreter(elf: bytes) -> bytes:
    changed = bytearray(elf)
    struct.pack_into("<Q", changed, find_segment(elf, 3) + 32, 5000)
    return bytes(changed)


@pytest.mark.parametrize("change", [_cut_interpreter, _huge_interpreter])
def test_t87_an_interpreter_path_that_does_not_end_makes_the_file_no_program(
    scene: Scene, change: object
) -> None:
    scene.file("/t/app", change(program()), 0o755)  # type: ignore[operator]
    scene.expect("/t/app", fails("ENOEXEC"), [GLIBC_236])


def test_t88_a_relative_interpreter_is_looked_for_in_the_working_directory(scene: Scene) -> None:
    scene.program("/t/app", [], interpreter="./ld.so")
    scene.copy("/t/d/ld.so", LOADER)
    scene.expect("/t/app", starts(), [GLIBC_236], directory="/t/d", interpreter="./ld.so")
    scene.expect("/t/app", fails("ENOENT"), [GLIBC_236], directory="/t")


def test_t89_a_program_with_needs_and_without_interpreter_crashes(scene: Scene) -> None:
    scene.program("/t/app", ["liba.so.1"], interpreter=None, runpath="/t/d")
    scene.library("/t/d/liba.so.1")
    for loader in GLIBC:
        ended = scene.run(loader, "/t/app")
        assert ended.code == -11, ended
        model = scene.link_map(loader, "/t/app")
        scene.claim(bool(model.faults or model.interpreter_fault), f"{loader}: {model}")


SAY_ARGUMENTS = {"body": 'for (long at = 1; at <= stack[0]; at++) line("argument ", (char *)stack[at]);'}


def start_script(scene: Scene, path: str, content: bytes, mode: int = 0o755) -> None:
    scene.file("/t/say", program(interpreter=None, kind=["-static"], **SAY_ARGUMENTS), 0o755)  # type: ignore[arg-type]
    scene.file(path, content, mode)


def expect_script(scene: Scene, path: str, errno: str, *arguments: str, directory: str = "/t") -> None:
    """The kernel ends with this errno, or starts the program with these arguments."""
    ended = scene.run(GLIBC_236, path, directory=directory)
    assert ended.exec_error == errno, ended
    if not errno:
        assert ended.out.count("argument ") == len(arguments)
        assert [f"argument {word}" in ended.out for word in arguments] == [True] * len(arguments), ended
    around = Surroundings(scene.filesystem(GLIBC_236), Credentials(), directory, "/usr/bin:/bin")
    chain = startup_chain(ImageConfig(Platform.host(), entrypoint=(path,)), around)
    said = chain.failing.fault.errno if chain.failing and chain.failing.fault else ""
    last = chain.steps[-1].entry
    if not said and last and last.content is None:
        said = "ENOEXEC"  # neither ELF nor script: the facts room says so, knowing what was read
    scene.claim(said == errno, f"{path}: the kernel says {errno!r}, imagescan {said!r}")


SCRIPTS: dict[str, tuple[bytes, str, tuple[str, ...]]] = {
    "plain": (b"#!/t/say one two\nx\n", "", ("/t/say", "one two", "/t/script")),
    "carriage return": (b"#!/t/say\r\nx\n", "ENOENT", ()),
    "carriage return after an argument": (b"#!/t/say a\r\n", "", ("/t/say", "a\r", "/t/script")),
    "byte order mark": (b"\xef\xbb\xbf#!/t/say\n", "ENOEXEC", ()),
    "no interpreter line": (b"echo hi\n", "ENOEXEC", ()),
    "empty file": (b"", "ENOEXEC", ()),
    "empty interpreter": (b"#!\n", "ENOEXEC", ()),
    "blank interpreter": (b"#!   \nfoo", "ENOEXEC", ()),
    "blanks": (b"#!  \t/t/say  a  b  \nx\n", "", ("/t/say", "a  b", "/t/script")),
    "no newline": (b"#!/t/say", "", ("/t/say", "/t/script")),
    "missing interpreter": (b"#!/nope/python\n", "ENOENT", ()),
    "directory as interpreter": (b"#!/t\n", "EACCES", ()),
    "relative interpreter": (b"#!./say\n", "", ("./say", "/t/script")),
    "long path": (b"#!/t/" + b"./" * 140 + b"say\n", "ENOEXEC", ()),
    "long argument": (b"#!/t/say " + b"A" * 300 + b"\n", "", ("/t/say", "/t/script", "A" * 246)),
    "nul": (b"#!/t/say\0 x\n", "", ("/t/say", "/t/script")),
}


@pytest.mark.parametrize("kind", SCRIPTS)
def test_t90_to_t92_the_kernel_reads_the_first_line_of_a_script(scene: Scene, kind: str) -> None:
    content, errno, arguments = SCRIPTS[kind]
    start_script(scene, "/t/script", content)
    expect_script(scene, "/t/script", errno, *arguments)


def test_t92_a_relative_interpreter_is_looked_for_in_the_working_directory(scene: Scene) -> None:
    start_script(scene, "/t/script", b"#!./say\n")
    expect_script(scene, "/t/script", "ENOENT", directory="/")


def test_t93_five_scripts_may_interpret_each_other_and_six_may_not(scene: Scene) -> None:
    start_script(scene, "/t/1", b"#!/t/say\n")
    for number in range(2, 7):
        scene.file(f"/t/{number}", b"#!/t/%d\n" % (number - 1), 0o755)
    expect_script(scene, "/t/5", "", "/t/say", "/t/1", "/t/2", "/t/3", "/t/4", "/t/5")
    expect_script(scene, "/t/6", "ELOOP")
    scene.file("/t/self", b"#!/t/self\n", 0o755)
    expect_script(scene, "/t/self", "ELOOP")


def test_t94_a_program_that_may_be_executed_but_not_read_runs(scene: Scene) -> None:
    scene.program("/t/app", ["liba.so.1"], runpath="/t/d", mode=0o711)
    scene.library("/t/d/liba.so.1")
    scene.expect("/t/app", starts("/t/d/liba.so.1"), GLIBC + MUSL, uid=1000)


SECURE, SECURE_GROUP = 0o4755, 0o2755


def test_t95_a_set_user_id_program_ignores_the_library_path(scene: Scene) -> None:
    scene.program("/t/app", ["libs.so.1"], mode=SECURE)
    scene.library("/t/d/libs.so.1")
    variables = {"LD_LIBRARY_PATH": "/t/d"}
    scene.expect("/t/app", absent("libs.so.1"), GLIBC, variables=variables, uid=1000)
    scene.expect("/t/app", musl_absent("libs.so.1"), MUSL, variables=variables, uid=1000)
    scene.expect("/t/app", starts("/t/d/libs.so.1"), GLIBC + MUSL, variables=variables)


def test_t95_a_set_group_id_program_ignores_the_library_path_under_both(scene: Scene) -> None:
    scene.program("/t/app", ["libs.so.1"], mode=SECURE_GROUP)
    scene.library("/t/d/libs.so.1")
    variables = {"LD_LIBRARY_PATH": "/t/d"}
    scene.expect("/t/app", absent("libs.so.1"), GLIBC, variables=variables, uid=1000)
    scene.expect("/t/app", musl_absent("libs.so.1"), MUSL, variables=variables, uid=1000)


def test_t95_a_set_user_id_program_has_no_origin(scene: Scene) -> None:
    scene.program("/t/app", ["libs.so.1"], runpath="$ORIGIN/d", mode=SECURE)
    scene.library("/t/d/libs.so.1")
    scene.expect("/t/app", absent("libs.so.1"), GLIBC, uid=1000)
    scene.expect("/t/app", musl_absent("libs.so.1"), MUSL, uid=1000)
    scene.expect("/t/app", starts("/t/d/libs.so.1"), GLIBC + MUSL)


def test_t95_the_origin_of_a_set_user_id_program_below_a_system_directory_is_trusted(scene: Scene) -> None:
    scene.program("/usr/lib/app", ["libs.so.1"], runpath="$ORIGIN/lib", mode=SECURE)
    scene.library("/usr/lib/lib/libs.so.1")
    scene.expect("/usr/lib/app", starts("/usr/lib/lib/libs.so.1"), GLIBC, uid=1000)


@pytest.mark.parametrize(("run_path", "found"), [("/t/d", "/t/d/libs.so.1"), ("d", "d/libs.so.1")])
def test_t95_a_set_user_id_program_still_uses_a_plain_run_path_even_a_relative_one(
    scene: Scene, run_path: str, found: str
) -> None:
    scene.program("/t/app", ["libs.so.1"], runpath=run_path, mode=SECURE)
    scene.library("/t/d/libs.so.1")
    scene.expect("/t/app", starts(found), GLIBC + MUSL, uid=1000, directory="/t")


def test_t95_the_origin_of_a_library_of_a_set_user_id_program_is_used(scene: Scene) -> None:
    scene.program("/t/app", ["liba.so.1"], runpath="/t/d", mode=SECURE)
    scene.library("/t/d/liba.so.1", ["libs.so.1"], runpath="$ORIGIN")
    scene.library("/t/d/libs.so.1")
    scene.expect("/t/app", starts("/t/d/liba.so.1", "/t/d/libs.so.1"), GLIBC, uid=1000)


def test_t95_a_token_in_a_needed_name_kills_a_set_user_id_program(scene: Scene) -> None:
    scene.program("/t/app", ["$ORIGIN/d/libs.so.1"], mode=SECURE)
    scene.library("/t/d/libs.so.1")
    reason = "DST not allowed in SUID/SGID programs"
    for loader in GLIBC:
        ended = scene.run(loader, "/t/app", uid=1000)
        assert ended.code == 127 and reason in ended.err, ended
        model = scene.link_map(loader, "/t/app", uid=1000)
        said = [gone.missing.message for gone in model.missing if gone.missing]
        scene.claim(said == [reason], f"{loader}: {said}")


def test_t96_a_file_capability_makes_a_program_secure_for_a_user_and_not_for_root(scene: Scene) -> None:
    scene.program("/t/app", ["libs.so.1"])
    scene.capability("/t/app")
    scene.library("/t/d/libs.so.1")
    variables = {"LD_LIBRARY_PATH": "/t/d"}
    scene.expect("/t/app", absent("libs.so.1"), GLIBC, variables=variables, uid=1000)
    scene.expect("/t/app", starts("/t/d/libs.so.1"), GLIBC, variables=variables)


PRELOADED = "/t/d/pre.so"


def preload_tree(scene: Scene) -> None:
    scene.program("/t/app", ["libm1.so.1"], runpath="/t/d")
    scene.library("/t/d/libm1.so.1")
    scene.library(PRELOADED, soname=None)
    scene.library("/t/d/broken.so", ["libgone.so.1"], soname=None)


@pytest.mark.parametrize("value", [PRELOADED, f"/nope.so:{PRELOADED}", f"/nope.so {PRELOADED} nope.so"])
def test_t97_a_missing_preload_is_passed_over(scene: Scene, value: str) -> None:
    preload_tree(scene)
    variables = {"LD_PRELOAD": value}
    scene.expect("/t/app", starts(PRELOADED, "/t/d/libm1.so.1"), GLIBC + MUSL, variables=variables)


def test_t97_a_preload_without_slash_is_searched_in_the_programs_run_path_under_glibc_only(
    scene: Scene,
) -> None:
    preload_tree(scene)
    variables = {"LD_PRELOAD": "pre.so"}
    scene.expect("/t/app", starts(PRELOADED, "/t/d/libm1.so.1"), GLIBC, variables=variables)
    scene.expect("/t/app", starts("/t/d/libm1.so.1"), MUSL, variables=variables)
    variables["LD_LIBRARY_PATH"] = "/t/d"
    scene.expect("/t/app", starts(PRELOADED, "/t/d/libm1.so.1"), GLIBC + MUSL, variables=variables)


def test_t97_a_missing_library_of_a_preloaded_object_is_fatal(scene: Scene) -> None:
    preload_tree(scene)
    variables = {"LD_PRELOAD": "/t/d/broken.so"}
    scene.expect("/t/app", absent("libgone.so.1"), GLIBC, variables=variables)
    scene.expect("/t/app", musl_absent("libgone.so.1"), MUSL, variables=variables)


@pytest.mark.parametrize(
    "content",
    [
        f"{PRELOADED} # comment\n",
        f"# /x\n/nope.so\n{PRELOADED}",
        f"/nope/x.so\t{PRELOADED}:/other\n",
    ],
)
def test_t98_the_preload_file_has_comments_and_forgives_missing_files(scene: Scene, content: str) -> None:
    preload_tree(scene)
    scene.file("/etc/ld.so.preload", content.encode())
    scene.expect("/t/app", starts(PRELOADED, "/t/d/libm1.so.1"), GLIBC)
    scene.expect("/t/app", starts("/t/d/libm1.so.1"), MUSL)


def test_t99_a_missing_filter_is_fatal_and_a_missing_auxiliary_is_not(scene: Scene) -> None:
    scene.program("/t/filter", ["libf.so.1"], runpath="/t/d")
    scene.program("/t/auxiliary", ["liba.so.1"], runpath="/t/d")
    scene.library("/t/d/libf.so.1", flags=["-Wl,-F,libfiltee.so.1"])
    scene.library("/t/d/liba.so.1", flags=["-Wl,-f,libhelper.so.1"])
    scene.expect("/t/filter", absent("libfiltee.so.1"), GLIBC)
    scene.expect("/t/auxiliary", starts("/t/d/liba.so.1"), GLIBC)


def test_t99_a_filter_that_exists_comes_before_the_object_that_names_it(scene: Scene) -> None:
    scene.program("/t/filter", ["libf.so.1"], runpath="/t/d")
    scene.library("/t/d/libf.so.1", flags=["-Wl,-F,libfiltee.so.1"], runpath="/t/d")
    scene.library("/t/d/libfiltee.so.1")
    scene.expect("/t/filter", starts("/t/d/libfiltee.so.1", "/t/d/libf.so.1"), GLIBC)


def _without_sections(elf: bytes) -> bytes:
    changed = bytearray(elf)
    changed[40:48], changed[58:64] = bytes(8), bytes(6)
    return bytes(changed)


def test_t100_section_headers_do_not_matter(scene: Scene) -> None:
    scene.program("/t/app", ["libw.so.1"], runpath="/t/d", change=_without_sections)
    scene.library("/t/d/libw.so.1", change=_without_sections)
    scene.expect("/t/app", starts("/t/d/libw.so.1"), GLIBC + MUSL)
    scene.remove("/t/d/libw.so.1")
    scene.expect("/t/app", absent("libw.so.1"), GLIBC)


@pytest.mark.parametrize("name", ["libstdc++.so.6", "libgcc_s.so.1"])
def test_t101_a_missing_compiler_library_is_missing(scene: Scene, name: str) -> None:
    scene.program("/t/app", [Need(name, "void of_x(void) {}")], calls=[])
    scene.expect("/t/app", absent(name), GLIBC)
    scene.expect("/t/app", musl_absent(name), MUSL)


def test_t102_a_library_with_an_executable_stack_may_be_needed_by_a_program(scene: Scene) -> None:
    scene.program("/t/app", ["libx.so.1"], runpath="/t/d")
    scene.library("/t/d/libx.so.1", flags=["-Wl,-z,execstack"])
    scene.expect("/t/app", starts("/t/d/libx.so.1"), [GLIBC_231, GLIBC_236, GLIBC_241])
