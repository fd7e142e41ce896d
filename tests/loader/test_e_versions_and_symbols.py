"""Traps T67 to T85: version nodes, and which definition a symbol is bound to."""

from __future__ import annotations

import struct
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.loader.compile import Need, hosted, zig
from tests.loader.known import wrong
from tests.loader.loaders import (
    GLIBC,
    GLIBC_231,
    GLIBC_236,
    GLIBC_241,
    MUSL,
    MUSL_122,
    MUSL_123,
    MUSL_125,
    Loader,
)
from tests.loader.outcome import absent, fails, starts
from tests.loader.scene import Scene
from tests.oracle.truth import describe, inside
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


COPIED = wrong("the definition that a COPY relocation copies from is not looked for")


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=COPIED if kind == "data" else ()) for kind in REFERENCES]
)
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


def system_program(scene: Scene, path: str, target: str, source: str) -> None:
    """A program with a real libc, as a newer or older one than the root's was linked with."""
    scene.file(path, hosted(source, zig(target)), 0o755)


def test_t80_an_old_threaded_program_needs_the_empty_libpthread_of_new_glibc(scene: Scene) -> None:
    source = (
        "#include <pthread.h>\n#include <stdio.h>\nstatic void *run(void *value) { return value; }\n"
        "int main(void) { pthread_t thread; pthread_create(&thread, 0, run, 0);"
        ' pthread_join(thread, 0); puts("started\\nok"); return 0; }\n'
    )
    system_program(scene, "/t/app", "x86_64-linux-gnu.2.17", source)
    for loader in GLIBC:
        assert scene.run(loader, "/t/app").code == 0
        scene.claim(_is_clean(scene, loader, "/t/app"), f"{loader}: {scene.link_map(loader, '/t/app')}")
    scene.remove("/lib/x86_64-linux-gnu/libpthread.so.0")
    scene.expect("/t/app", absent("libpthread.so.0"), GLIBC)


def _is_clean(scene: Scene, loader: object, path: str) -> bool:
    model = scene.link_map(loader, path)  # type: ignore[arg-type]
    return (
        not (model.missing or model.missing_versions or model.missing_symbols or model.faults)
        and model.interpreter_fault is None
    )


def test_t81_a_program_for_a_newer_glibc_misses_each_node_that_is_newer(scene: Scene) -> None:
    source = (
        "#include <stdlib.h>\n#include <string.h>\n#include <stdio.h>\n"
        "int main(int count, char **words) { char text[9]; strlcpy(text, words[0], 9);"
        ' printf("started\\n%ld %s\\n", strtol("7", 0, 10), text); return 0; }\n'
    )
    system_program(scene, "/t/app", "x86_64-linux-gnu.2.38", source)
    for loader in GLIBC:
        ended = scene.run(loader, "/t/app")
        told = {line.split("version `")[1].split("'")[0] for line in ended.err.splitlines() if "`" in line}
        assert (ended.code == 0) == (loader is GLIBC_241) and bool(told) == (loader is not GLIBC_241)
        said = {miss.version for miss in scene.link_map(loader, "/t/app").missing_versions}
        scene.claim(said == told, f"{loader}: {said}, not {told}")


MIXED = {
    "newer": (GLIBC_236, GLIBC_241, "undefined symbol __tunable_is_initialized of /t/d/libc.so.6"),
    "much newer": (
        GLIBC_231,
        GLIBC_236,
        "version GLIBC_2.35 not in /lib64/ld-linux-x86-64.so.2 for /t/d/libc.so.6",
    ),
}


@pytest.mark.parametrize("kind", MIXED)
def test_t82_a_libc_of_another_build_misses_what_its_own_loader_would_give_it(
    scene: Scene, kind: str
) -> None:
    loader, other, reason = MIXED[kind]
    scene.program("/t/app", ["libc.so.6"], calls=[])
    scene.copy("/t/d/libc.so.6", "/lib/x86_64-linux-gnu/libc.so.6", other)
    scene.expect("/t/app", fails(reason), [loader], variables={"LD_LIBRARY_PATH": "/t/d"})


@pytest.mark.parametrize(("loader", "other"), [(GLIBC_241, GLIBC_236), (GLIBC_236, GLIBC_231)], ids=str)
def test_t82_an_older_libc_has_every_name_and_dies_all_the_same(
    scene: Scene, loader: Loader, other: Loader
) -> None:
    """Nothing in the link map tells it: only that libc and loader are of two builds."""
    scene.program("/t/app", ["libc.so.6"], calls=[])
    scene.copy("/t/d/libc.so.6", "/lib/x86_64-linux-gnu/libc.so.6", other)
    variables = {"LD_LIBRARY_PATH": "/t/d"}
    assert scene.run(loader, "/t/app", variables=variables).code != 0
    model = scene.link_map(loader, "/t/app", variables=variables)
    assert model.loader is not None and model.loader.elf is not None
    libc = next(one.elf for one in model.objects if one.path == "/t/d/libc.so.6")
    scene.claim(
        libc.loader_strings is not None
        and libc.loader_strings.glibc_version == other.version
        and model.loader.version == loader.version,
        f"the two releases are not told: {libc.loader_strings}",
    )


RELOCATED = (
    "static int a, b, c; int *table[] = {&a, &b, &c, &a, &b};"
    'const char *of_r(void) { return table[0] == &a ? "good" : "bad"; }'
)
PACKED = ["-Wl,-z,pack-relative-relocs"]


@wrong("DT_RELR under a loader that does not know it is not told")
def test_t83_packed_relocations_without_versions_are_silently_left_out_by_old_loaders(scene: Scene) -> None:
    scene.program("/t/app", ["libr.so"], runpath="/t/d")
    scene.library("/t/d/libr.so", source=RELOCATED, flags=PACKED)
    says(scene, "/t/app", [GLIBC_236, GLIBC_241, MUSL_125], "good")
    scene.expect("/t/app", starts("/t/d/libr.so"), [GLIBC_236, GLIBC_241, MUSL_125])
    says(scene, "/t/app", [GLIBC_231, MUSL_122, MUSL_123], "bad")
    for loader in (GLIBC_231, MUSL_122, MUSL_123):
        faults = scene.link_map(loader, scene.twin("/t/app", loader)).faults
        scene.claim(bool(faults), f"{loader}: packed relocations are left out, imagescan says nothing")


def test_t83_a_user_of_libc_with_packed_relocations_needs_their_version_node(scene: Scene) -> None:
    shared = ["gcc", "-shared", "-fPIC", *PACKED]
    source = "#include <stdio.h>\n" + RELOCATED + "int use(void) { return puts(of_r()); }\n"
    scene.program("/t/app", ["libr.so"], runpath="/t/d")
    scene.file("/t/d/libr.so", hosted(source, shared))
    objects = starts("/t/d/libr.so", "/lib/x86_64-linux-gnu/libc.so.6")
    scene.expect("/t/app", objects, [GLIBC_236, GLIBC_241])
    reason = "version GLIBC_ABI_DT_RELR not in /lib/x86_64-linux-gnu/libc.so.6 for /t/d/libr.so"
    scene.expect("/t/app", fails(reason), [GLIBC_231])
    scene.file("/t/d/libr.so", _without_relr_node(hosted(source, shared)))
    scene.expect(
        "/t/app",
        fails("/t/d/libr.so: DT_RELR without GLIBC_ABI_DT_RELR dependency"),
        [GLIBC_236, GLIBC_241],
    )


def _without_relr_node(elf: bytes) -> bytes:
    """Make the Vernaux of GLIBC_ABI_DT_RELR a second one of GLIBC_2.2.5."""
    relr, base = struct.pack("<IH", 0x0FD0E42, 0), struct.pack("<IH", 0x09691A75, 0)
    at, other = elf.index(relr), elf.index(base)
    changed = bytearray(elf)
    changed[at : at + 4] = elf[other : other + 4]
    changed[at + 8 : at + 12] = elf[other + 8 : other + 12]
    return bytes(changed)


def test_t84_the_release_of_a_glibc_is_its_banner_not_its_newest_version_node(scene: Scene) -> None:
    scene.program("/t/app", ["libc.so.6"], calls=[])
    for loader in GLIBC:
        identity = scene.link_map(loader, "/t/app").loader
        assert identity is not None
        scene.claim(identity.version == loader.version, f"{loader}: {identity.version}")


def test_t84_the_release_of_a_musl_is_read_from_its_file(scene: Scene) -> None:
    scene.program("/t/app", [])
    for loader in MUSL:
        identity = scene.link_map(loader, "/t/app.musl").loader
        assert identity is not None
        scene.claim(identity.version == loader.version, f"{loader}: {identity.version}")


def test_t85_a_version_node_is_looked_up_and_not_compared_with_the_release(scene: Scene) -> None:
    node = Need("libc.so.6", "void of_x(void) {}", "GLIBC_ABI_GNU2_TLS { global: of_x; local: *; };")
    body = {"declarations": "extern void of_x(void);", "body": "if (never) of_x();"}
    scene.program("/t/app", [node], calls=[], **body)  # type: ignore[arg-type]
    for loader in GLIBC:
        libc = inside(scene.root(loader), "/lib/x86_64-linux-gnu/libc.so.6")
        assert describe(libc) is not None
        has_node = b"GLIBC_ABI_GNU2_TLS\0" in libc.read_bytes()
        ended = scene.run(loader, "/t/app")
        assert ("GLIBC_ABI_GNU2_TLS' not found" in ended.err) == (not has_node)
        missing = {miss.version for miss in scene.link_map(loader, "/t/app").missing_versions}
        scene.claim(missing == (set() if has_node else {"GLIBC_ABI_GNU2_TLS"}), f"{loader}: {missing}")
