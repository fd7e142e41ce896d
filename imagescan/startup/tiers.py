"""How each object comes to be started or loaded.

Chains, ELF files, scripts and link maps enter, one ``Tier`` per path leaves. ``product.md``, Grading.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from imagescan.elf.facts import ElfFacts, ElfKind
from imagescan.filesystem.values import FileEntry
from imagescan.findings import Tier
from imagescan.layers.values import ImagePath
from imagescan.loader.closure_table import ClosureTable
from imagescan.scripts import Script
from imagescan.startup.values import StartupChain


def is_executable(entry: FileEntry) -> bool:
    """Whether anybody may execute the file, by its mode."""
    return bool(entry.mode & 0o111)


def assign_tiers(
    files: Mapping[ImagePath, FileEntry],
    chains: Iterable[StartupChain],
    closures: ClosureTable,
    dormant: frozenset[ImagePath],
) -> Mapping[ImagePath, Tier]:
    """The tier of every ELF file and script.

    Args:
        files: every ELF file and script by canonical path.
        chains: what starts the container, and its health check.
        closures: what is loaded with each ELF file asked as a program.
        dormant: ELF files and scripts that are never meant to run (``dormant``).

    Returns:
        Startup: the chains and all they load; it wins over everything. Command: other programs
        and scripts that are executable by mode, and what they load. Plugin: shared objects that
        no program loads. Dormant: the rest.
    """
    tiers: dict[ImagePath, Tier] = {}
    started = {path for chain in chains for path in chain.paths}
    _spread(tiers, Tier.STARTUP, started, files, closures)
    commands = {path for path, entry in files.items() if path not in dormant and _is_command(entry)}
    _spread(tiers, Tier.COMMAND, commands, files, closures)
    for path, entry in files.items():
        if path not in tiers:
            plugin = path not in dormant and _is_library(entry)
            tiers[path] = Tier.PLUGIN if plugin else Tier.DORMANT
    return tiers


def _spread(
    tiers: dict[ImagePath, Tier],
    tier: Tier,
    starting: set[ImagePath],
    files: Mapping[ImagePath, FileEntry],
    closures: ClosureTable,
) -> None:
    """Give a tier to files and to everything in their link maps, unless they have a worse one."""
    for path in closures.reached(starting).union(starting) & files.keys():
        tiers.setdefault(path, tier)


def _is_command(entry: FileEntry) -> bool:
    content = entry.content
    if isinstance(content, ElfFacts):
        return content.kind in (ElfKind.PROGRAM, ElfKind.STATIC) and is_executable(entry)
    return isinstance(content, Script) and is_executable(entry)


def _is_library(entry: FileEntry) -> bool:
    return isinstance(entry.content, ElfFacts) and entry.content.kind is ElfKind.LIBRARY
