"""Traps T80 to T85: programs and libraries made for another release of the libc."""

from __future__ import annotations

import struct

import pytest

from tests.loader.compile import Need, hosted, zig
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
from tests.loader.test_e_versions_and_symbols import says
from tests.oracle.truth import describe, inside

pytestmark = pytest.mark.oracle


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
