"""Traps T67 to T79: version nodes, and which definition a symbol is bound to."""

from __future__ import annotations

import struct
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.loader.compile import Need
from tests.loader.loaders import (
    GLIBC,
    GLIBC_231,
    GLIBC_236,
    GLIBC_241,
    MUSL,
)
from tests.loader.outcome import fails, starts
from tests.loader.scene import Scene
from tests.requirements import require_tool

pytestmark = pytest.mark.oracle

V1 = "V1 { global: of_ver; local: *; };"
NAME = "libver.so.1"
PATH = f"/t/d/{NAME}"
VERSIONED = Need(NAME, "void of_ver(void) {}", V1)
OLD_AND_NEW = (
    '__asm__(".symver old,of_ver@V1\\n.symver new,of_ver@@V2");'
    'const char *old(void) { return "old"; } const char *new(void) { return "new"; }'
)
TWO_NODES = "V1 { global: of_ver; local: *; }; V2 { global: of_ver; } V1;"


def says(scene: Scene, program: str, on: object, word: str, **options: object) -> None:
    """The real program prints ``word`` from the function that it was bound to."""
    for loader in on:  # type: ignore[attr-defined]
        ended = scene.run(loader, scene.twin(program, loader), **options)  # type: ignore[arg-type]
        assert f"from {word}\n" in ended.out, f"{loader}: {ended}"


def fails_later(scene: Scene, program: str, on: object, message: str) -> None:
    """The real program starts and dies when it calls the function."""
    for loader in on:  # type: ignore[attr-defined]
        ended = scene.run(loader, program)
        assert ended.out.startswith("started\n") and "ok" not in ended.out, ended
        assert message in ended.err, ended


def latent(scene: Scene, program: str, on: object, symbol: str) -> None:
    """imagescan reports the symbol as one that is missed when it is called."""
    for loader in on:  # type: ignore[attr-defined]
        found = [(miss.symbol, str(miss.binding)) for miss in scene.link_map(loader, program).missing_symbols]
        scene.claim(found == [(symbol, "lazy")], f"{loader}: {found}")


def test_t67_a_missing_version_node_is_fatal_under_glibc_and_nothing_to_musl(scene: Scene) -> None:
    scene.program("/t/app", [VERSIONED], runpath="/t/d")
    scene.library(PATH, versions=V1.replace("V1", "V9"))
    scene.expect("/t/app", fails(f"version V1 not in {PATH} for /t/app"), GLIBC)
    scene.expect("/t/app", starts(PATH), MUSL)


def test_t67_every_missing_version_node_is_told(scene: Scene) -> None:
    needs = [VERSIONED, Need("liba.so.1", "void of_a(void) {}", V1.replace("of_ver", "of_a"))]
    scene.program("/t/app", needs, runpath="/t/d")
    scene.library(PATH, versions=V1.replace("V1", "V9"))
    scene.library("/t/d/liba.so.1", versions="V9 { global: of_a; local: *; };")
    reason = f"version V1 not in {PATH} for /t/app; version V1 not in /t/d/liba.so.1 for /t/app"
    for loader in GLIBC:
        ended = scene.run(loader, "/t/app")
        assert ended.code == 1 and ended.err.count("version `V1' not found") == 2
        missing = scene.link_map(loader, "/t/app").missing_versions
        scene.claim(
            {(miss.version, miss.provider) for miss in missing} == {("V1", PATH), ("V1", "/t/d/liba.so.1")},
            f"{loader}: {missing}, not {reason}",
        )


def test_t68_a_library_without_any_version_node_only_warns_but_kills_at_the_call_up_to_glibc_2_40(
    scene: Scene,
) -> None:
    scene.program("/t/app", [VERSIONED], runpath="/t/d")
    scene.library(PATH)
    scene.expect("/t/app", starts(PATH), [GLIBC_241])
    scene.expect("/t/app", starts(PATH), MUSL)
    for loader in (GLIBC_231, GLIBC_236):
        ended = scene.run(loader, "/t/app")
        assert ended.out.startswith("started\n") and "Assertion" in ended.err, ended
        assert "no version information available (required by /t/app)" in ended.err
        assert scene.link_map(loader, "/t/app").missing_versions == ()


def test_t69_a_symbol_that_moved_to_another_node_is_not_found_by_glibc(scene: Scene) -> None:
    scene.program("/t/app", [VERSIONED], runpath="/t/d", flags=["-Wl,-z,now"])
    scene.library(
        PATH,
        source='const char *of_ver(void) { return "moved"; } void other(void) {}',
        versions="V1 { global: other; }; V2 { global: of_ver; local: *; } V1;",
    )
    scene.expect("/t/app", fails("undefined symbol of_ver of /t/app"), GLIBC)
    scene.expect("/t/app", starts(PATH), MUSL)
    says(scene, "/t/app", MUSL, "moved")


def test_t70_a_node_without_the_symbol_passes_the_version_check_and_fails_at_the_symbol(scene: Scene) -> None:
    scene.library(PATH, source="void other(void) {}", versions="V1 { global: other; local: *; };")
    scene.program("/t/now", [VERSIONED], runpath="/t/d", flags=["-Wl,-z,now"])
    scene.expect("/t/now", fails("undefined symbol of_ver of /t/now"), GLIBC)
    scene.expect("/t/now", fails("undefined symbol of_ver of /t/now.musl"), MUSL)
    scene.program("/t/lazy", [VERSIONED], runpath="/t/d")
    fails_later(scene, "/t/lazy", GLIBC, "undefined symbol: of_ver, version V1")
    latent(scene, "/t/lazy", GLIBC, "of_ver")


def _weaken(elf: bytes) -> bytes:
    """Set VER_FLG_WEAK in the only Vernaux: found by the hash of its name."""
    at = elf.index(struct.pack("<IHH", 0x00000591, 0, 2))
    return elf[: at + 4] + b"\x02\x00" + elf[at + 6 :]


def test_t71_a_weak_version_only_warns(scene: Scene) -> None:
    scene.program("/t/app", [VERSIONED], calls=[], body="if (never) of_ver();", change=_weaken, **DECLARED)
    scene.library(PATH, versions=V1.replace("V1", "V9"))
    variables = {"LD_LIBRARY_PATH": "/t/d"}
    scene.expect("/t/app", starts(PATH), GLIBC, variables=variables)
    for loader in GLIBC:
        assert "weak version `V1' not found" in scene.run(loader, "/t/app", variables=variables).err


DECLARED: dict[str, str] = {"declarations": "extern const char *of_ver(void);"}


def test_t72_a_version_need_whose_library_is_not_needed_any_more_is_fatal(scene: Scene) -> None:
    require_tool("patchelf")
    scene.library(PATH, versions=V1)
    scene.program("/t/app", [VERSIONED], runpath="/t/d", change=_patchelf("--remove-needed", NAME))
    for loader in GLIBC:
        for variables in ({}, {"LD_PRELOAD": PATH}):
            ended = scene.run(loader, "/t/app", variables=variables)
            assert ended.code == 127 and "Assertion `needed != NULL' failed" in ended.err
            faults = [fault.code for fault in scene.link_map(loader, "/t/app", variables=variables).faults]
            scene.claim(faults == ["version-file-not-loaded"], f"{loader} {variables}: {faults}")


def test_t72_a_needed_entry_and_its_version_need_are_renamed_together(scene: Scene) -> None:
    require_tool("patchelf")
    scene.program(
        "/t/app", [VERSIONED], runpath="/t/d", change=_patchelf("--replace-needed", NAME, "libn.so")
    )
    scene.library("/t/d/libn.so", versions=V1, source='const char *of_ver(void) { return ""; }')
    scene.expect("/t/app", starts("/t/d/libn.so"), GLIBC + MUSL)


def _patchelf(*arguments: str) -> Callable[[bytes], bytes]:
    def change(elf: bytes) -> bytes:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "elf")
            path.write_bytes(elf)
            subprocess.run(["patchelf", *arguments, path], check=True)
            return path.read_bytes()

    return change


@pytest.mark.parametrize("versions", ["", V1], ids=["unversioned", "same node"])
def test_t73_a_symbol_may_come_from_another_library_than_the_version_need_names(
    scene: Scene, versions: str
) -> None:
    scene.program(
        "/t/app", [VERSIONED, "libother.so"], calls=["of_ver"], runpath="/t/d", flags=["-Wl,-z,now"]
    )
    scene.library(PATH, source="void other(void) {}", versions="V1 { global: other; local: *; };")
    scene.library("/t/d/libother.so", source='const char *of_ver(void) { return "o"; }', versions=versions)
    scene.expect("/t/app", starts(PATH, "/t/d/libother.so"), GLIBC + MUSL)
    says(scene, "/t/app", GLIBC + MUSL, "o")


def test_t74_an_unversioned_reference_takes_the_oldest_version_under_glibc_and_the_default_under_musl(
    scene: Scene,
) -> None:
    scene.program("/t/app", [NAME], runpath="/t/d", flags=["-Wl,-z,now"])
    scene.library(PATH, source=OLD_AND_NEW, versions=TWO_NODES)
    scene.expect("/t/app", starts(PATH), GLIBC + MUSL)
    says(scene, "/t/app", GLIBC, "old")
    says(scene, "/t/app", MUSL, "new")


def test_t75_an_oldest_definition_that_is_not_the_default_is_found_by_glibc_only(scene: Scene) -> None:
    only_old = '__asm__(".symver old,of_ver@V1"); const char *old(void) { return "old"; }'
    scene.program("/t/app", [NAME], runpath="/t/d", flags=["-Wl,-z,now"])
    scene.program("/t/versioned", [VERSIONED], runpath="/t/d", flags=["-Wl,-z,now"])
    scene.library(PATH, source=only_old, versions=V1)
    for name in ("/t/app", "/t/versioned"):
        scene.expect(name, starts(PATH), GLIBC)
        scene.expect(name, fails(f"undefined symbol of_ver of {name}.musl"), MUSL)


def test_t75_a_later_definition_that_is_not_the_default_is_found_by_nobody(scene: Scene) -> None:
    hidden = '__asm__(".symver old,of_ver@V2"); const char *old(void) { return ""; } void other(void) {}'
    scene.program("/t/app", [NAME], runpath="/t/d", flags=["-Wl,-z,now"])
    scene.library(PATH, source=hidden, versions="V1 { global: other; local: *; }; V2 { global: of_ver; } V1;")
    scene.expect("/t/app", fails("undefined symbol of_ver of /t/app"), GLIBC)
    scene.expect("/t/app", fails("undefined symbol of_ver of /t/app.musl"), MUSL)


DATA = Need("libu.so", "int data = 1; const char *of_u(void) { return 0; }")
REFERENCES = {
    "now": (["-Wl,-z,now"], "const char *of_u(void);", "if (never) say(of_u());", "of_u"),
    "no plt": (["-fno-plt"], "const char *of_u(void);", "if (never) say(of_u());", "of_u"),
    "pointer": (
        [],
        "const char *of_u(void); const char *(*pointer)(void) = of_u;",
        "if (never) say(pointer());",
        "of_u",
    ),
    "data": ([], "extern int data;", "if (never) say(data ? a : b);".replace("a : b", '"1" : "0"'), "data"),
}


@pytest.mark.parametrize("kind", REFERENCES)
def test_t76_a_reference_that_is_bound_at_once_must_be_defined(scene: Scene, kind: str) -> None:
    flags, declarations, body, symbol = REFERENCES[kind]
    scene.program(
        "/t/app", [DATA], calls=[], flags=flags, declarations=declarations, body=body, runpath="/t/d"
    )
    scene.library("/t/d/libu.so", source="void other(void) {}")
    # Relocation errors of data and pointers are the loader's, not the resolver's: another wording.
    scene.expect("/t/app", fails(f"undefined symbol {symbol} of /t/app"), GLIBC)
    scene.expect("/t/app", fails(f"undefined symbol {symbol} of /t/app.musl"), MUSL)


def lazy_program(scene: Scene) -> None:
    declarations, body = "const char *of_u(void);", "if (never) say(of_u());"
    scene.program("/t/app", [DATA], calls=[], declarations=declarations, body=body, runpath="/t/d")
    scene.library("/t/d/libu.so", source="void other(void) {}")


def test_t76_a_lazy_call_to_an_undefined_function_starts_under_glibc_only(scene: Scene) -> None:
    lazy_program(scene)
    scene.expect("/t/app", starts("/t/d/libu.so"), GLIBC)
    latent(scene, "/t/app", GLIBC, "of_u")
    scene.expect("/t/app", fails("undefined symbol of_u of /t/app.musl"), MUSL)


@pytest.mark.parametrize(
    ("declaration", "body"),
    [
        ("const char *of_u(void) __attribute__((weak));", "if (of_u) say(of_u());"),
        ("extern int data __attribute__((weak));", 'if (&data) say("");'),
    ],
    ids=["function", "data"],
)
def test_t76_a_weak_reference_may_stay_undefined(scene: Scene, declaration: str, body: str) -> None:
    flags = ["-Wl,-z,now", "-Wno-address"]
    scene.program(
        "/t/app", [DATA], calls=[], flags=flags, declarations=declaration, body=body, runpath="/t/d"
    )
    scene.library("/t/d/libu.so", source="void other(void) {}")
    scene.expect("/t/app", starts("/t/d/libu.so"), GLIBC + MUSL)


def test_t77_ld_bind_now_makes_every_reference_bind_at_once(scene: Scene) -> None:
    lazy_program(scene)
    for value in ("1", "0", "no"):
        scene.expect(
            "/t/app", fails("undefined symbol of_u of /t/app"), GLIBC, variables={"LD_BIND_NOW": value}
        )
    scene.expect("/t/app", starts("/t/d/libu.so"), GLIBC, variables={"LD_BIND_NOW": ""})


def test_t78_the_first_definition_in_load_order_wins_whoever_the_caller_was_linked_with(scene: Scene) -> None:
    scene.program("/t/app", ["libone.so", "libuser.so"], calls=["of_user"], runpath="/t/d")
    call = "const char *shared(void); const char *of_user(void) { return shared(); }"
    two = Need("libtwo.so", "void shared(void) {}")
    scene.library("/t/d/libuser.so", [two], source=call, runpath="/t/d")
    scene.library("/t/d/libone.so", source='const char *shared(void) { return "one"; }')
    scene.library("/t/d/libtwo.so", source='const char *shared(void) { return "two"; }')
    scene.expect("/t/app", starts("/t/d/libone.so", "/t/d/libuser.so", "/t/d/libtwo.so"), GLIBC + MUSL)
    says(scene, "/t/app", GLIBC + MUSL, "one")


def test_t79_a_copied_object_that_grew_only_warns(scene: Scene) -> None:
    scene.program(
        "/t/app",
        [Need("libcp.so", "int data[4] = {1};")],
        calls=[],
        declarations="extern int data[4];",
        body='if (never) say(data[0] ? "1" : "0");',
        kind=["-no-pie", "-fno-pie"],
        runpath="/t/d",
    )
    scene.library("/t/d/libcp.so", source="int data[8] = {7};")
    scene.expect("/t/app", starts("/t/d/libcp.so"), GLIBC + MUSL)
