"""Closures that files share are those of each file by itself, wherever sharing could go wrong.

Here and for the roots at hand; the fuzzer asks the same of every tree (``tests/fuzz/compare.py``).
"""

from __future__ import annotations

import io
from collections.abc import Mapping

import pytest

from imagescan.content import FileInspector
from imagescan.filesystem.merge import merge
from imagescan.filesystem.values import RootFilesystem
from imagescan.layers.index import index_layer
from imagescan.layers.values import ImagePath
from imagescan.loader import closures, shared_links
from imagescan.loader.environment import ProcessEnvironment
from imagescan.loader.simulate import Simulation
from imagescan.loader.values import WholeLinkMap
from imagescan.rules.examples.elf_writer import ElfStandIn, write_elf
from imagescan.rules.examples.image import write_layer
from imagescan.rules.examples.notation import GLIBC_MARKS, ExampleFile, ExampleLayer
from tests.oracle.model import environment, filesystem, unlike_single
from tests.oracle.roots import root
from tests.requirements import require_root, require_tool

LOADER = "/lib64/ld-linux-x86-64.so.2"
LIB = "/usr/lib/x86_64-linux-gnu"


def library(**facts: object) -> bytes:
    return write_elf(ElfStandIn(**facts))  # type: ignore[arg-type]


def program(**facts: object) -> bytes:
    return write_elf(ElfStandIn(type="program", interpreter=LOADER, **facts))  # type: ignore[arg-type]


def view(files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> RootFilesystem:
    loader = library(soname="ld-linux-x86-64.so.2", marks=GLIBC_MARKS)
    entries = {path: ExampleFile(data, mode=0o755) for path, data in {LOADER: loader, **files}.items()}
    entries |= {path: ExampleFile(link=target) for path, target in (links or {}).items()}
    layer = write_layer(ExampleLayer(files=entries))
    return merge([index_layer(io.BytesIO(layer), None, FileInspector())])


TREES: dict[str, dict[str, bytes]] = {
    "everything is found": {
        "/a": program(needed=("libx.so.1", "liby.so.1", "ld-linux-x86-64.so.2"), undefined=("x", "y")),
        "/b": program(needed=("liby.so.1", "libx.so.1"), undefined=("x", "nowhere")),
        f"{LIB}/libx.so.1": library(soname="libx.so.1", needed=("liby.so.1",), defined=("x",)),
        f"{LIB}/liby.so.1": library(soname="liby.so.1", defined=("y",), undefined=("from_the_program",)),
        "/c": program(needed=("liby.so.1",), defined=("from_the_program",)),
    },
    "two files of one name": {
        "/a": program(needed=("libx.so.1", "liby.so.1")),
        "/b": program(needed=("liby.so.1", "libx.so.1")),
        f"{LIB}/libx.so.1": library(soname="libx.so.1", defined=("x",)),
        "/opt/libx.so.1": library(soname="libx.so.1"),
        f"{LIB}/liby.so.1": library(needed=("libx.so.1",), runpath="/opt", undefined=("x",)),
    },
    "a soname that is another's file name": {
        "/a": program(needed=("libx.so.1", "liby.so.1")),
        "/b": program(needed=("liby.so.1", "libx.so.1")),
        f"{LIB}/libx.so.1": library(soname="liby.so.1"),
        f"{LIB}/liby.so.1": library(soname="libx.so.1"),
    },
    "a soname that no file has for a name": {
        "/a": program(needed=("libfile.so", "libreal.so.1")),
        "/b": program(needed=("libreal.so.1", "libfile.so")),
        f"{LIB}/libfile.so": library(soname="libreal.so.1"),
    },
    "libraries in a circle, and one that is a program": {
        "/a": program(needed=("libx.so.1",), undefined=("y",)),
        f"{LIB}/libx.so.1": library(soname="libx.so.1", needed=("liby.so.1", "libx.so.1"), undefined=("z",)),
        f"{LIB}/liby.so.1": library(soname="liby.so.1", needed=("libx.so.1", "libz.so.1"), defined=("y",)),
        f"{LIB}/libz.so.1": program(soname="libz.so.1", needed=("libz.so.1",), defined=("z",)),
    },
    "the run path of who asks first": {
        "/a": program(needed=("libx.so.1", "liby.so.1"), rpath="/opt"),
        "/b": program(needed=("liby.so.1", "libx.so.1")),
        "/opt/libz.so.1": library(soname="libz.so.1"),
        f"{LIB}/libx.so.1": library(soname="libx.so.1", needed=("libz.so.1",)),
        f"{LIB}/liby.so.1": library(soname="liby.so.1", needed=("libz.so.1",), rpath="/opt"),
    },
    "what needs paths, tokens, filters and versions": {
        "/a": program(needed=("/opt/libz.so.1", "libx.so.1")),
        "/b": program(needed=("$ORIGIN/opt/libz.so.1", "liby.so.1")),
        "/opt/libz.so.1": library(soname="libz.so.1", versions=("V1",), defined=("z@V1",)),
        f"{LIB}/libx.so.1": library(needed=("libz.so.1",), version_needs={"libz.so.1": ("V1", "V2")}),
        f"{LIB}/liby.so.1": library(
            needed=("libz.so.1",), runpath="/opt", version_needs={"libz.so.1": ("V2",)}, undefined=("z@V2",)
        ),
        "/c": program(needed=("libz.so.1",), runpath="/opt", version_needs={"libnone.so.1": ("V1",)}),
    },
    "an object that needs another loader's CPU": {
        "/a": program(needed=("libx.so.1",)),
        f"{LIB}/libx.so.1": library(soname="libx.so.1", cpu_level="x86-64-v4"),
    },
    "names that answer to the loader": {
        "/a": program(needed=("ld-linux-x86-64.so.2", "libx.so.1")),
        "/b": program(soname="ld-linux-x86-64.so.2", needed=("ld-linux-x86-64.so.2", "libld.so")),
        f"{LIB}/libx.so.1": library(soname="ld-linux-x86-64.so.2", needed=("ld-linux-x86-64.so.2",)),
        f"{LIB}/libld.so": library(needed=("linux-vdso.so.1", "libx.so.1")),
    },
}
PROCESSES = {
    "plain": ProcessEnvironment(),
    "preload": ProcessEnvironment({"LD_PRELOAD": f"{LIB}/libx.so.1 {LIB}/liby.so.1"}),
    "preload by name": ProcessEnvironment({"LD_PRELOAD": "libx.so.1:/nowhere.so"}),
    "library path": ProcessEnvironment({"LD_LIBRARY_PATH": "/opt:", "LD_BIND_NOW": "1"}, "/opt"),
    "library path of the program": ProcessEnvironment({"LD_LIBRARY_PATH": "$ORIGIN/opt"}),
}


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("tree", TREES)
def test_shared_closures_are_those_of_each_file(tree: str, process: str) -> None:
    assert [*unlike_single(view(TREES[tree]), PROCESSES[process])] == []


def test_a_library_with_origin_is_another_object_by_each_path_that_leads_to_it() -> None:
    files = {
        "/a": program(needed=("libx.so.1",)),
        "/opt/one/libx.so.1.0": library(soname="libx.so.1", needed=("liby.so.1",), runpath="$ORIGIN"),
        f"{LIB}/liby.so.1": library(soname="liby.so.1", needed=("libx.so.1",)),
        "/opt/one/liby.so.1": library(soname="liby.so.1"),
    }
    links = {f"{LIB}/libx.so.1": "/opt/one/libx.so.1.0", "/opt/one/libx.so.1": "libx.so.1.0"}
    assert [*unlike_single(view(files, links), ProcessEnvironment())] == []


def test_a_healthy_image_takes_no_simulation_but_the_loaders_own(monkeypatch: pytest.MonkeyPatch) -> None:
    simulated = []
    simulate = Simulation.simulate

    def seen(self: Simulation, path: ImagePath) -> WholeLinkMap:
        simulated.append(path)
        return simulate(self, path)

    monkeypatch.setattr(Simulation, "simulate", seen)
    table = Simulation(view(TREES["everything is found"]), ProcessEnvironment()).closures()
    assert table.objects("/a") == ["/a", f"{LIB}/libx.so.1", f"{LIB}/liby.so.1", LOADER]
    assert table.requested("/a") == ["/a", "libx.so.1", "liby.so.1", LOADER]
    assert simulated == [LOADER]
    missing = {path: [one.symbol for one in table.problems_of(path).missing_symbols] for path in ("/b", "/c")}
    assert missing == {"/b": ["nowhere", "from_the_program"], "/c": []}


def test_what_no_loader_takes_has_no_row() -> None:
    tree = view({"/a": program(), "/static": write_elf(ElfStandIn(type="static"))})
    table = Simulation(tree, ProcessEnvironment()).closures()
    assert [*table.programs()] == ["/a", LOADER, "/static"]
    assert (table.objects("/static"), table.loader_of("/static")) == (["/static"], None)
    assert (table.objects("/nowhere"), table.loader_of("/nowhere"), "/nowhere" in table) == ([], None, False)


@pytest.mark.parametrize("name", ["bookworm", "bullseye", "bookworm-musl"])
@pytest.mark.oracle
def test_every_file_of_a_real_root_has_the_closure_of_its_simulation(name: str) -> None:
    require_root()
    require_tool("mmdebstrap")
    assert [*unlike_single(filesystem(root(name)), environment())] == []


def test_sharing_is_what_is_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    walked = []
    walk = shared_links.SharedLinks.walk

    def seen(self: shared_links.SharedLinks, path: str, *, is_program: bool) -> shared_links.Walk | None:
        found = walk(self, path, is_program=is_program)
        walked.append(found is not None)
        return found

    monkeypatch.setattr(closures.SharedLinks, "walk", seen)
    for tree in TREES.values():
        Simulation(view(tree), ProcessEnvironment()).closures()
    assert min(walked.count(True), walked.count(False)) > 8, walked
