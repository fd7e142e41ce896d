"""Plugins in programs that have run before meet what they meet in programs started for them alone.

Here and for the roots at hand; the fuzzer asks the same of every tree (``tests/fuzz/compare.py``).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from imagescan.elf.facts import ElfFacts
from imagescan.filesystem.values import RootFilesystem
from imagescan.layers.values import ImagePath
from imagescan.loader.environment import ProcessEnvironment
from imagescan.loader.simulate import Simulation
from imagescan.loader.values import LinkMap
from imagescan.plugins.families import family_of
from imagescan.plugins.hosts import OpenedPlugin, PluginHosts
from tests.loader.test_closures import LIB, TREES, library, program, view
from tests.oracle.model import environment, filesystem, unlike_anew
from tests.oracle.plugins import plugin_hosts
from tests.oracle.roots import root
from tests.requirements import require_root, require_tool

Opening = tuple[ImagePath, tuple[ImagePath, ...], bool]


def every_opening(tree: RootFilesystem) -> Iterator[Opening]:
    """Each program opens each pair of files, in both orders and ways of binding."""
    entries = [entry for entry in tree.contents() if isinstance(entry.content, ElfFacts)]
    hosts = [entry.path for entry in entries if entry.content.interpreter]  # type: ignore[attr-defined]
    for host in hosts:
        for one in entries:
            for other in entries:
                yield host, (one.path, other.path), one.path < other.path
            yield host, (one.path,), True


@pytest.mark.parametrize("tree", TREES)
def test_a_program_that_has_run_opens_what_one_that_is_started_for_it_opens(tree: str) -> None:
    files = TREES[tree]
    assert [*unlike_anew(view(files), ProcessEnvironment(), every_opening(view(files)))] == []


def test_what_one_plugin_brings_in_is_not_there_for_the_next() -> None:
    tree = view(
        {
            "/a": program(needed=()),
            "/opt/one.so": library(runpath="/opt", needed=("libx.so.1",)),
            "/opt/two.so": library(needed=("libx.so.1",), undefined=("x",)),
            "/opt/libx.so.1": library(soname="libx.so.1", defined=("x",)),
        }
    )
    simulation = Simulation(tree, ProcessEnvironment())

    def missing(*plugins: str) -> list[str]:
        found = simulation.plugin_map(ImagePath("/a"), tuple(map(ImagePath, plugins)), True)
        return [one.needed for one in found.missing] + [one.symbol for one in found.missing_symbols]

    assert missing("/opt/one.so") == []
    assert missing("/opt/two.so") == ["libx.so.1", "x"]
    assert missing("/opt/one.so", "/opt/two.so") == []
    assert missing("/opt/two.so", "/opt/one.so") == []
    assert missing("/opt/two.so") == ["libx.so.1", "x"]


@pytest.mark.parametrize("name", ["bookworm", "bookworm-musl"])
@pytest.mark.oracle
def test_every_plugin_of_a_real_root_meets_what_it_meets_in_a_program_of_its_own(name: str) -> None:
    require_root()
    require_tool("mmdebstrap")
    tree = filesystem(root(name))
    hosts, elves = plugin_hosts(tree, Simulation(tree, environment()))
    openings: list[Opening] = []
    recording = Simulation(tree, environment())

    def record(host: ImagePath, plugins: tuple[ImagePath, ...], now: bool) -> LinkMap:
        openings.append((host, plugins, now))
        return recording.plugin_map(host, plugins, now)

    for path, elf in elves.items():
        hosts.open(path, elf, record)
    assert [*unlike_anew(tree, environment(), openings[::3])] == []


JAVA = "/usr/lib/jvm/bin/"


def twins(**differences: dict[str, object]) -> dict[str, bytes]:
    """A Java without libjvm whose commands are the same program but for what is said here."""
    commands = {name: {"defined": ("main",), **differences.get(name, {})} for name in ("a", "b", "java")}
    files = {
        f"{JAVA}{name}": program(needed=("libjli.so",), rpath="$ORIGIN/../lib", **facts)
        for name, facts in commands.items()
    }
    files["/usr/lib/jvm/lib/libjli.so"] = library(soname="libjli.so")
    files["/usr/lib/jvm/lib/libawt.so"] = library(needed=("libgone.so",), undefined=("there",))
    files[f"{LIB}/libthere.so"] = library(soname="libthere.so", defined=("there",))
    return files


def opened(files: dict[str, bytes]) -> tuple[OpenedPlugin, list[str]]:
    """What happens to libawt, and which programs were asked."""
    tree = view(files)
    simulation = Simulation(tree, ProcessEnvironment())
    entries = {entry.path: entry for entry in tree.contents() if isinstance(entry.content, ElfFacts)}
    elves = {path: entry.content for path, entry in entries.items() if isinstance(entry.content, ElfFacts)}
    programs = [path for path in elves if path.startswith(JAVA)]
    plugin = ImagePath("/usr/lib/jvm/lib/libawt.so")
    results = []
    for known in (entries, {}):
        asked: list[str] = []

        def opener(
            host: ImagePath, plugins: tuple[ImagePath, ...], now: bool, asked: list[str] = asked
        ) -> LinkMap:
            asked.append(host)
            return simulation.plugin_map(host, plugins, now)

        hosts = PluginHosts(programs, simulation.closures(), elves, known)
        family = family_of(plugin)
        assert family is not None
        found = hosts.open(plugin, elves[plugin], opener)
        assert found is not None
        results.append((found, [path.rpartition("/")[2] for path in asked]))
    (quick, asked_of), (slow, _) = results
    assert (quick.host, quick.hosts, quick.opened) == (slow.host, slow.hosts, slow.opened)
    assert quick.link_map.problems == slow.link_map.problems
    return quick, asked_of


def test_of_programs_that_are_the_same_host_one_is_asked() -> None:
    found, asked = opened(twins())
    assert (asked, found.link_map.obstacles > 0) == (["java"], True)
    assert [path.rpartition("/")[2] for path in found.hosts] == ["java", "a", "b"]


@pytest.mark.parametrize(
    "difference",
    [
        {"needed": ("libjli.so", "libthere.so")},
        {"defined": ("main", "there")},
        {"rpath": "$ORIGIN/../lib:/opt"},
    ],
)
def test_a_program_that_differs_from_the_others_is_asked_too(difference: dict[str, object]) -> None:
    files = twins()
    facts = {"needed": ("libjli.so",), "rpath": "$ORIGIN/../lib", "defined": ("main",), **difference}
    files[f"{JAVA}b"] = program(**facts)
    assert opened(files)[1] == ["java", "b"]
