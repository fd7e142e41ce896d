"""Traps T65 and T113 to T118: what a program that runs loads by itself.

A host opens one plugin by its path: the real one and imagescan's must say the same. What several dlopen
calls of one process do to each other is not simulated; there only the real loaders are asked.
"""

from __future__ import annotations

import pytest

from imagescan.layers.values import ImagePath
from imagescan.loader.simulate import Simulation
from tests.loader.compile import Need, hosted, hosted_with
from tests.loader.loaders import GLIBC, GLIBC_231, GLIBC_236, GLIBC_241, MUSL, MUSL_123, MUSL_125, Loader
from tests.loader.outcome import absent, of_link_map
from tests.loader.scene import Scene
from tests.oracle.model import environment
from tests.requirements import require_tool

pytestmark = pytest.mark.oracle

HOST = """
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
const char *of_host(void) { return "host"; }
%s
int main(int count, char **words)
{
    for (int at = 2; at < count; at++) {
        void *plugin = dlopen(words[at], words[1][0] == 'g' ? RTLD_NOW | RTLD_GLOBAL : RTLD_NOW);
        const char *error = plugin ? "loaded" : dlerror();
        puts(error);
    }
    return 0;
}
"""
PLUGIN, CORE = "/t/plugins/plug.so", "/t/core/libcore.so.1"
CORE_LINKED = "extern const char *of_core(void); const char *use(void) { return of_core(); }"


def host(scene: Scene, path: str, *flags: str, source: str = "", musl: bool = False) -> None:
    """A program with a libc that dlopens what its arguments name; the first is ``global`` or ``local``."""
    compiler = ["musl-gcc"] if musl else ["gcc"]
    require_tool(compiler[0], "musl-tools")
    scene.file(path, hosted(HOST % source, compiler, *flags), 0o755)


def opens(scene: Scene, loader: Loader, program: str, *files: str, scope: str = "local") -> str:
    """What dlopen says of the last file; of a single file imagescan must say the same."""
    ended = scene.run(loader, program, [scope, *files])
    assert ended.code == 0, ended
    said = ended.out.splitlines()[-1]
    if len(files) == 1:
        simulation = Simulation(scene.filesystem(loader), environment())
        model = simulation.plugin_map(ImagePath(program), (ImagePath(files[0]),), now=True)
        reason = of_link_map(model).reason
        scene.claim((said == "loaded") == (reason == ""), f"{loader}: {said!r}, imagescan says {reason!r}")
    return said


def plugin_tree(scene: Scene) -> None:
    scene.library(PLUGIN, ["libcore.so.1"], soname=None)
    scene.library(CORE)


def test_t113_the_hosts_rpath_serves_its_plugins_and_its_runpath_does_not(scene: Scene) -> None:
    plugin_tree(scene)
    host(scene, "/t/rpath", "-Wl,--disable-new-dtags", "-Wl,-rpath,/t/core")
    host(scene, "/t/runpath", "-Wl,--enable-new-dtags", "-Wl,-rpath,/t/core")
    for loader in (GLIBC_236, GLIBC_241):
        assert opens(scene, loader, "/t/rpath", PLUGIN) == "loaded"
        assert opens(scene, loader, "/t/runpath", PLUGIN).startswith("libcore.so.1: cannot open")
        scene.claim(
            of_link_map(scene.link_map(loader, PLUGIN)) == absent("libcore.so.1"), f"{loader}: {PLUGIN}"
        )


def test_t113_under_musl_any_run_path_of_the_host_serves_its_plugins(scene: Scene) -> None:
    plugin_tree(scene)
    host(scene, "/t/runpath", "-Wl,--enable-new-dtags", "-Wl,-rpath,/t/core", musl=True)
    host(scene, "/t/plain", musl=True)
    for loader in (MUSL_123, MUSL_125):
        assert opens(scene, loader, "/t/runpath", PLUGIN) == "loaded"
        assert "libcore.so.1" in opens(scene, loader, "/t/plain", PLUGIN)


def test_t113_what_the_host_has_loaded_needs_no_search(scene: Scene) -> None:
    plugin_tree(scene)
    host(scene, "/t/plain")
    for loader in (GLIBC_236, GLIBC_241):
        assert opens(scene, loader, "/t/plain", CORE, PLUGIN) == "loaded"


def test_t65_a_library_loaded_by_its_path_satisfies_later_needs_under_glibc_only(scene: Scene) -> None:
    plugin_tree(scene)
    host(scene, "/t/glibc")
    host(scene, "/t/musl", musl=True)
    for loader in (GLIBC_236, GLIBC_241):
        assert opens(scene, loader, "/t/glibc", CORE, PLUGIN) == "loaded"
    for loader in (MUSL_123, MUSL_125):
        assert "libcore.so.1" in opens(scene, loader, "/t/musl", CORE, PLUGIN)


NEEDS_HOST = "const char *of_host(void); const char *use(void) { return of_host(); }"


def test_t114_a_plugin_sees_the_hosts_symbols_only_when_the_host_exports_them(scene: Scene) -> None:
    scene.library(PLUGIN, source=NEEDS_HOST, soname=None)
    host(scene, "/t/exports", "-rdynamic")
    host(scene, "/t/hides")
    for loader in (GLIBC_236, GLIBC_241):
        assert opens(scene, loader, "/t/exports", PLUGIN) == "loaded"
        assert "undefined symbol: of_host" in opens(scene, loader, "/t/hides", PLUGIN)
        missing = [miss.symbol for miss in scene.link_map(loader, PLUGIN).missing_symbols]
        scene.claim(missing == ["of_host"], f"{loader}: alone, it misses of_host; {missing}")


def test_t115_a_library_opened_locally_does_not_lend_its_symbols_to_plugins(scene: Scene) -> None:
    scene.library(PLUGIN, source=CORE_LINKED, soname=None)
    scene.library(CORE)
    host(scene, "/t/host")
    for loader in (GLIBC_236, GLIBC_241):
        assert "undefined symbol: of_core" in opens(scene, loader, "/t/host", CORE, PLUGIN)
        assert opens(scene, loader, "/t/host", CORE, PLUGIN, scope="global") == "loaded"


def test_t116_a_version_that_a_plugin_misses_is_an_error_of_dlopen_and_not_the_end(scene: Scene) -> None:
    versioned = Need("libver.so.1", "void of_ver(void) {}", "V1 { global: of_ver; local: *; };")
    use = "void of_ver(void); void use(void) { of_ver(); }"
    scene.library(PLUGIN, [versioned], source=use, soname=None, runpath="/t/core")
    scene.library("/t/core/libver.so.1", versions="V9 { global: of_ver; local: *; };")
    host(scene, "/t/host")
    for loader in (GLIBC_236, GLIBC_241):
        assert "version `V1' not found" in opens(scene, loader, "/t/host", PLUGIN)
        missing = [miss.version for miss in scene.link_map(loader, PLUGIN).missing_versions]
        scene.claim(missing == ["V1"], f"{loader}: {missing}")


def test_t117_an_object_that_refuses_dlopen_and_a_program_are_no_plugins(scene: Scene) -> None:
    scene.library("/t/no.so", soname=None, flags=["-Wl,-z,nodlopen"])
    scene.program("/t/program", [])
    host(scene, "/t/host")
    for loader in (GLIBC_236, GLIBC_241):
        assert "shared object cannot be dlopen()ed" in opens(scene, loader, "/t/host", "/t/no.so")
        assert "cannot dynamically load position-independent" in opens(scene, loader, "/t/host", "/t/program")
        refusing = scene.filesystem(loader).resolve("/t/no.so").entry
        scene.claim(bool(refusing and refusing.content.refuses_dlopen), "DF_1_NOOPEN")  # type: ignore[attr-defined]


def test_t102_a_plugin_with_an_executable_stack_is_refused_since_glibc_2_41(scene: Scene) -> None:
    scene.library(PLUGIN, soname=None, flags=["-Wl,-z,execstack"])
    host(scene, "/t/host")
    assert opens(scene, GLIBC_236, "/t/host", PLUGIN) == "loaded"
    assert "cannot enable executable stack" in opens(scene, GLIBC_241, "/t/host", PLUGIN)
    for loader in (GLIBC_236, GLIBC_241):
        entry = scene.filesystem(loader).resolve(PLUGIN).entry
        scene.claim(bool(entry and entry.content.executable_stack), "PT_GNU_STACK")  # type: ignore[attr-defined]


def test_t111_a_run_path_of_the_library_that_calls_dlopen_is_used_by_glibc_and_not_by_musl(
    scene: Scene,
) -> None:
    scene.library("/t/core/libtarget.so")
    opener = '#include <dlfcn.h>\nvoid *open_it(void) { return dlopen("libtarget.so", RTLD_NOW); }\n'
    main = (
        "#include <stdio.h>\nextern void *open_it(void);\n"
        'int main(void) { puts(open_it() ? "found" : "not found"); return 0; }\n'
    )
    for compiler, loaders, answer in (
        ("gcc", (GLIBC_236, GLIBC_241), "found"),
        ("musl-gcc", MUSL[1:], "not found"),
    ):
        require_tool(compiler, "musl-tools")
        shared = [
            "-shared",
            "-fPIC",
            "-Wl,-soname,libopener.so",
            "-Wl,--enable-new-dtags",
            "-Wl,-rpath,/t/core",
        ]
        scene.file("/t/lib/libopener.so", hosted(opener, [compiler], *shared))
        flags = ["-Wl,--allow-shlib-undefined", "-Wl,--unresolved-symbols=ignore-in-shared-libs"]
        stub = Need("libopener.so", "void *open_it(void) { return 0; }")
        scene.file("/t/host", hosted_with(main, [compiler], [stub], "-Wl,-rpath,/t/lib", *flags), 0o755)
        for loader in loaders:
            assert scene.run(loader, "/t/host").out == f"{answer}\n"


NOTE = r"""
__asm__(".section \".note.dlopen\",\"a\"\n.p2align 2\n.long 4,2f-1f,0x407c0c0a\n.asciz \"FDO\"\n"
        "1: .asciz \"[{\\\"feature\\\":\\\"x\\\",\\\"priority\\\":\\\"suggested\\\","
        "\\\"soname\\\":[\\\"libfirst.so.1\\\",\\\"libsecond.so.1\\\"]}]\"\n.p2align 2,0\n2:\n.previous\n");
const char *of_plug(void) { return ""; }
"""


def test_t118_the_note_of_libraries_to_be_opened_names_alternatives_best_first(scene: Scene) -> None:
    scene.library("/t/d/libplug.so", source=NOTE)
    for loader in (GLIBC_231, *GLIBC[1:]):
        entry = scene.filesystem(loader).resolve("/t/d/libplug.so").entry
        notes = entry.content.dlopen_notes if entry else ()  # type: ignore[attr-defined]
        scene.claim(
            [(note.sonames, note.priority, note.feature) for note in notes]
            == [(("libfirst.so.1", "libsecond.so.1"), "suggested", "x")],
            f"{notes}",
        )
