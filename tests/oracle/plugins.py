"""Whether a program of a root can open a plugin: asked of the real loader inside the real program.

A small object is preloaded into the host; before ``main`` it opens the plugins, prints what
``dlopen`` said and ends the process. In: a root, a host, the objects to open. Out: the loader's
words, "" when it opened all.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from imagescan.elf.facts import ElfFacts, ElfKind
from imagescan.filesystem.values import RootFilesystem
from imagescan.layers.values import ImagePath
from imagescan.loader.simulate import Simulation
from imagescan.plugins.hosts import PluginHosts
from tests.oracle.chroot import execute
from tests.oracle.model import environment, filesystem, host_cpu

SET_ID = 0o6000
PROBE = "/imagescan-probe.so"
_SOURCE = r"""
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
__attribute__((constructor)) static void probe(void) {
    int flags = getenv("PROBE_NOW") ? RTLD_NOW : RTLD_LAZY;
    if (getenv("PROBE_GLOBAL")) flags |= RTLD_GLOBAL;
    const char *error = "";
    dprintf(1, "opening\n");
    for (char *path = strtok(strdup(getenv("PROBE_PLUGINS")), ":"); path; path = strtok(NULL, ":"))
        error = dlopen(path, flags) ? "" : strdup(dlerror());
    dprintf(1, "probed:%s\n", error);
    _exit(0);
}
"""


@contextmanager
def with_probe(root: Path) -> Iterator[Path]:
    """A view of the root that has the probe; the root itself stays as it is."""
    with tempfile.TemporaryDirectory() as work:
        directories = {name: Path(work, name) for name in ("upper", "work", "view")}
        for directory in directories.values():
            directory.mkdir()
        source, probe = Path(work, "probe.c"), directories["upper"] / PROBE.strip("/")
        source.write_text(_SOURCE)
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", probe, source, "-ldl"], check=True)
        options = f"lowerdir={root},upperdir={directories['upper']},workdir={directories['work']}"
        subprocess.run(["mount", "-t", "overlay", "-o", options, "probe", directories["view"]], check=True)
        try:
            yield directories["view"]
        finally:
            subprocess.run(["umount", directories["view"]], check=True)


def opens(view: Path, host: str, plugins: Sequence[str], *, now: bool, shared: bool) -> str | None:
    """What ``dlopen`` says of the last plugin; None when the host did not get as far.

    A plugin whose constructor ends the process (iptables' do when their host is not ready) was loaded.
    """
    environment = {"LD_PRELOAD": PROBE, "PROBE_PLUGINS": ":".join(plugins)}
    environment |= {"PROBE_NOW": "1"} if now else {}
    environment |= {"PROBE_GLOBAL": "1"} if shared else {}
    ended = execute(view, host, environment=environment)
    _, found, error = ended.out.partition("probed:")
    if found:
        return error.strip()
    return (ended.err.strip() if ended.code in (127, -6) else "") if "opening" in ended.out else None


def plugin_hosts(
    view: RootFilesystem, simulation: Simulation
) -> tuple[PluginHosts, dict[ImagePath, ElfFacts]]:
    """The programs of a root that open plugins, and every ELF file of it.

    A set-id program ignores the probe and would really run, so it is none.
    """
    entries = {entry.path: entry for entry in view.contents() if isinstance(entry.content, ElfFacts)}
    elves = {path: entry.content for path, entry in entries.items() if isinstance(entry.content, ElfFacts)}
    closures = simulation.closures()
    programs = (
        path
        for path, elf in elves.items()
        if elf.kind == ElfKind.PROGRAM
        and not entries[path].mode & SET_ID
        and not closures.problems_of(path).obstacles
    )
    return PluginHosts(programs, closures, elves), elves


def compare_plugins(directory: Path) -> tuple[Counter[str], list[str]]:
    """Every plugin with a known host: how many of each family, and where model and host differ."""
    view = filesystem(directory)
    simulation = Simulation(view, environment(cpu=host_cpu(directory)))
    hosts, elves = plugin_hosts(view, simulation)
    counts: Counter[str] = Counter()
    differences = []
    with with_probe(directory) as probed:
        for path, elf in elves.items():
            found = hosts.open(path, elf, simulation.plugin_map) if elf.kind == ElfKind.LIBRARY else None
            if found is None:
                continue
            said = opens(probed, found.host, found.opened, now=found.family.now, shared=found.family.shared)
            counts[found.family.name] += 1
            if said is None:
                differences.append(f"{path}: {found.host} did not run the probe")
            elif (said == "") != (found.link_map.obstacles == 0):
                differences.append(f"{path} in {found.host}: {said or 'opened'}")
    return counts, differences
