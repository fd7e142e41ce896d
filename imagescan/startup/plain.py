"""Words that start one program, or one script and its interpreter, and nothing else, whatever words follow.

What can be started in an image enters, the words leave, each with the files that it starts: what
``chain.startup_chain`` finds for a command line that begins so, without a look at the image.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from imagescan.filesystem.values import FileEntry
from imagescan.layers.values import ImagePath
from imagescan.startup import lookup
from imagescan.startup.handover import starts_nothing_else
from imagescan.startup.lookup import Surroundings
from imagescan.startup.values import StartupChain

_READ = 4


def plain_starts(
    programs: Iterable[FileEntry], scripts: Iterable[StartupChain], around: Surroundings
) -> Mapping[str, tuple[ImagePath, ...]]:
    """The words, canonical paths and names in PATH, each with the file or files.

    Args:
        programs: ELF programs.
        scripts: the chains of scripts.
        around: what the container's names are looked up in.
    """
    one = {entry.path: entry for entry in programs}
    found: dict[str, tuple[ImagePath, ...]] = {
        path: (path,)
        for path, entry in one.items()
        if starts_nothing_else(entry, path) and _is_executable(path, around)
    }
    found |= {chain.paths[0]: chain.paths for chain in scripts if _is_plain(chain, around)}
    named = {
        name: found[entry.path]
        for name, entry in lookup.executables(around).items()
        if entry.path in found and (entry.path not in one or starts_nothing_else(entry, name))
    }
    return {**found, **named}


def _is_plain(chain: StartupChain, around: Surroundings) -> bool:
    """Whether a script's interpreter does nothing but read it."""
    script, *interpreters = (step.entry for step in chain.steps)
    return (
        len(interpreters) == 1
        and script is not None
        and interpreters[0] is not None
        and script.permits(around.user, _READ)
        and starts_nothing_else(interpreters[0], chain.steps[1].asked)
        and _is_executable(script.path, around)
    )


def _is_executable(path: ImagePath, around: Surroundings) -> bool:
    return lookup.execute_error(around, lookup.resolve(around, path)) is None
