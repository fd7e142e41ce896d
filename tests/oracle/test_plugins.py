"""The host model: what it says of each plugin of a real root is what its real host does with it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from imagescan.elf.facts import ElfFacts, ElfKind
from imagescan.loader.simulate import Simulation
from imagescan.startup.plugins import PluginHosts
from tests.oracle.model import environment, filesystem, host_cpu
from tests.oracle.plugins import opens, with_probe
from tests.oracle.roots import root
from tests.requirements import require_root, require_tool

pytestmark = pytest.mark.oracle

SET_ID = 0o6000


def compare(directory: Path) -> tuple[Counter[str], list[str]]:
    """Every plugin with a known host: how many of each family, and where model and host differ."""
    view = filesystem(directory)
    simulation = Simulation(view, environment(cpu=host_cpu(directory)))
    entries = {entry.path: entry for entry in view.contents() if isinstance(entry.content, ElfFacts)}
    elves = {path: entry.content for path, entry in entries.items() if isinstance(entry.content, ElfFacts)}
    maps = {path: simulation.link_map(path) for path, elf in elves.items() if elf.kind == ElfKind.PROGRAM}
    # A set-id program ignores the probe and would really run.
    programs = {
        path: one for path, one in maps.items() if not entries[path].mode & SET_ID and not one.obstacles
    }
    hosts = PluginHosts(programs, elves)
    counts: Counter[str] = Counter()
    differences = []
    with with_probe(directory) as probed:
        for path, elf in elves.items():
            found = hosts.open(path, elf, simulation.plugin_map) if elf.kind == ElfKind.LIBRARY else None
            if found is None:
                continue
            said = opens(probed, found.host, found.opened, now=found.family.now, shared=found.family.shared)
            assert said is not None, f"{found.host} did not run the probe"
            counts[found.family.name] += 1
            if (said == "") != (found.link_map.obstacles == 0):
                differences.append(f"{path} in {found.host}: {said or 'opened'}")
    return counts, differences


@pytest.mark.parametrize(("name", "families"), [("bookworm", 4), ("trixie", 3)])
def test_a_plugin_opens_in_its_host_exactly_where_the_real_one_opens_it(name: str, families: int) -> None:
    require_root()
    require_tool("gcc")
    counts, differences = compare(root(name))
    assert differences == []
    assert len(counts) >= families, counts
    assert counts.total() > 250, counts
