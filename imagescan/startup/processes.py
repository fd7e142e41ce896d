"""Programs that start otherwise than the container does: as another user, elsewhere, with other variables.

The chains enter, and a simulation of the dynamic loader for each such process; the link maps of their
programs leave. gosu and its kin change the user, ``env`` and scripts LD_LIBRARY_PATH.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from imagescan.dataclasses import replace
from imagescan.elf.facts import ElfFacts, ElfKind
from imagescan.layers.values import ImagePath
from imagescan.loader.environment import ProcessEnvironment
from imagescan.loader.values import BriefLinkMap, LinkMaps
from imagescan.startup.lookup import Surroundings
from imagescan.startup.values import ChainStep, Process, StartupChain

_FOR_LOADERS = "LD_"  # what loaders read of the environment begins so

AsStarted = Callable[[Process], LinkMaps]
"""The simulation of the loaders in another process of the same image."""


def in_process(environment: ProcessEnvironment, process: Process) -> ProcessEnvironment:
    """The same machine with another process on it."""
    return replace(
        environment,
        variables=process.variables,
        working_directory=process.directory,
        credentials=process.user,
    )


def changed_processes(chains: Iterable[StartupChain], container: Surroundings) -> Mapping[ImagePath, Process]:
    """The ELF programs of the chains whose loader sees something else than the container's own process.

    A program that the container also starts as it is configured is left out.
    """
    steps = [step for chain in chains for step in chain.steps if step.expected and _is_program(step)]
    own = {step.entry.path for step in steps if step.entry and not _differs(step.process, container)}
    return {
        step.entry.path: step.process
        for step in steps
        if step.entry and step.process is not None and step.entry.path not in own
    }


def _is_program(step: ChainStep) -> bool:
    content = step.entry.content if step.entry and step.fault is None else None
    return isinstance(content, ElfFacts) and content.kind is ElfKind.PROGRAM


def _differs(process: Process | None, container: Surroundings) -> bool:
    if process is None:
        return False
    seen = (process.user, process.directory, _loader_variables(process.variables))
    return seen != (container.user, container.directory, _loader_variables(container.variables))


def _loader_variables(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if name.startswith(_FOR_LOADERS)}


def started_link_maps(
    chains: Iterable[StartupChain], container: Surroundings, as_started: AsStarted | None
) -> tuple[Mapping[ImagePath, BriefLinkMap], frozenset[ImagePath]]:
    """What the loader does with each such program in its own process, and all files that they load."""
    maps: dict[ImagePath, BriefLinkMap] = {}
    loaded: set[ImagePath] = set()
    for path, process in changed_processes(chains, container).items() if as_started else ():
        assert as_started is not None
        simulation = as_started(process)
        whole = simulation.link_map(path)
        maps[path] = BriefLinkMap(
            whole.program, whole.loader, whole.problems, partial(simulation.link_map, path)
        )
        loaded.update(one.real for one in whole.objects)
    return maps, frozenset(loaded)
