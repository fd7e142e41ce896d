"""From the image's config to the programs that start.

``ImageConfig`` and ``RootFilesystem`` enter, ``StartupChain`` values leave. Follows config.md of
the OCI image specification, runc (``lookup``), the kernel (``execution``), and what wrappers and
scripts hand over to (``handover``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

from imagescan.dataclasses import replace
from imagescan.elf.facts import ElfFacts
from imagescan.filesystem.values import FileEntry, PathError, RootFilesystem
from imagescan.layers.values import EntryKind, ImagePath
from imagescan.sources.values import ImageConfig
from imagescan.startup import lookup
from imagescan.startup.execution import Execution, Launch, execute, locate
from imagescan.startup.handover import NextSteps, next_steps
from imagescan.startup.lookup import Surroundings
from imagescan.startup.shells import read_call, shell_kind
from imagescan.startup.values import (
    ChainFault,
    ChainStep,
    ConfiguredUser,
    FaultCode,
    Process,
    Purpose,
    StartupChain,
    StepRole,
)

MAXIMUM_STEPS = 64  # wrappers and scripts that start each other: enough for every sane image
MAXIMUM_OPEN_ENDS = 20

DEFAULT_SHELL = ("/bin/sh", "-c")
_HEALTHCHECK_NONE = "NONE"
_HEALTHCHECK_EXEC = "CMD"
_HEALTHCHECK_SHELL = "CMD-SHELL"


def environment(config: ImageConfig) -> Mapping[str, str]:
    """The variables of the container's processes; the last of two equal names wins (runc)."""
    variables = {"PATH": lookup.DEFAULT_PATH}
    for line in config.env:
        name, separator, value = line.partition("=")
        if separator and name:
            variables[name] = value
    return variables


def surroundings(config: ImageConfig, filesystem: RootFilesystem, user: ConfiguredUser) -> Surroundings:
    """What names are looked up in when the container starts."""
    directory = "/" + config.working_dir.lstrip("/")
    variables = environment(config)
    return Surroundings(filesystem, user.credentials, directory, variables["PATH"], variables)


def startup_chain(config: ImageConfig, around: Surroundings) -> StartupChain:
    """The chain of ENTRYPOINT + CMD; without either, an empty one with a note."""
    arguments = (*(config.entrypoint or ()), *(config.cmd or ()))
    if not arguments:
        return StartupChain(Purpose.START, (), (), note="the image names neither ENTRYPOINT nor CMD")
    return _chain(Purpose.START, arguments, around)


def healthcheck_chain(config: ImageConfig, around: Surroundings) -> StartupChain | None:
    """The chain of HEALTHCHECK; None when there is none."""
    test = config.healthcheck or ()
    if len(test) < 2 or test[0] == _HEALTHCHECK_NONE:
        return None
    if test[0] == _HEALTHCHECK_SHELL:
        return _chain(Purpose.HEALTHCHECK, (*(config.shell or DEFAULT_SHELL), test[1]), around)
    if test[0] == _HEALTHCHECK_EXEC:
        return _chain(Purpose.HEALTHCHECK, test[1:], around)
    return None


def script_chain(path: ImagePath, around: Surroundings) -> StartupChain:
    """The chain of one executable script, asked as if it were started by its path: its interpreters,
    and what env starts for it."""
    launch: Launch | None = Launch((path,), around)
    steps: list[ChainStep] = []
    while launch is not None and len(steps) < MAXIMUM_STEPS:
        execution = execute(launch)
        steps.extend(execution.steps)
        launch = None
        if _runs_env(execution):
            following = next_steps(execution)
            steps.extend(following.steps)
            launch = next(iter(following.launches), None)
    return StartupChain(Purpose.SCRIPT, (path,), tuple(steps))


class ScriptChains:
    """``script_chain`` for many scripts in the same surroundings. What the same ``#!`` line brings in is
    looked up once, where it depends on nothing of the script but its path."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._known: dict[tuple[str, str | None], tuple[str, tuple[ChainStep, ...]]] = {}

    def chain(self, path: ImagePath) -> StartupChain:
        """See ``script_chain``."""
        first = locate(Launch((path,), self._around))
        script = first.script
        line = (script.interpreter, script.argument) if script is not None else None
        known = self._known.get(line) if line is not None and first.fault is None else None
        if known is None or script is None or script.fault:
            found = script_chain(path, self._around)
            if line is not None and _depends_on_its_path_only(found):
                self._known[line] = path, found.steps[1:]
            return found
        other, steps = known
        mine = (replace(one, asked_by=path) if one.asked_by == other else one for one in steps)
        return StartupChain(Purpose.SCRIPT, (path,), (first, *mine))


def _depends_on_its_path_only(chain: StartupChain) -> bool:
    """Whether another script with the same first line has the same chain: programs that are all there, of
    which the first is the interpreter, and the second what env was plainly told to start."""
    first, *others = chain.steps
    script = first.script
    if script is None or not others or any(one.fault or one.script for one in chain.steps[1:]) or first.fault:
        return False
    if script.interpreter.rpartition("/")[2] != "env":
        return len(others) == 1
    argument = script.argument or "-"
    plain = argument[0] != "-" and "=" not in argument and argument.rpartition("/")[2] != "env"
    return plain and len(others) == 2


def _runs_env(execution: Execution) -> bool:
    last = execution.steps[-1]
    return last.role is StepRole.INTERPRETER and last.asked.rpartition("/")[2] == "env"


def _chain(purpose: Purpose, arguments: tuple[str, ...], around: Surroundings) -> StartupChain:
    outside = _working_directory_fault(purpose, around)
    if outside is not None:
        return StartupChain(purpose, arguments, (outside,), _is_shell_form(arguments, None))
    steps, open_ends = follow(Launch(arguments, around))
    first = steps[0].entry
    return StartupChain(
        purpose, arguments, steps, _is_shell_form(arguments, first), open_ends=open_ends[:MAXIMUM_OPEN_ENDS]
    )


def _is_shell_form(arguments: tuple[str, ...], program: FileEntry | None) -> bool:
    kind = shell_kind(program.path if program else arguments[0], arguments[0])
    call = read_call(kind, arguments) if kind else None
    return call is not None and call.line is not None


def _working_directory_fault(purpose: Purpose, around: Surroundings) -> ChainStep | None:
    """The runtime makes a working directory that is missing, but only where nothing is in the way."""
    resolution = around.filesystem.resolve(around.directory)
    entry = resolution.entry
    if purpose is not Purpose.START or (entry is not None and entry.kind is EntryKind.DIRECTORY):
        return None
    if entry is not None or resolution.error is PathError.ENOTDIR:
        path, errno = entry.path if entry else resolution.stopped_at, "ENOTDIR"
    elif resolution.hops:  # a link that leads nowhere, or in a circle
        path, errno = resolution.hops[0].link, "EEXIST"
    else:
        return None
    reason = "not a directory" if errno == "ENOTDIR" else "file exists"
    fault = ChainFault(FaultCode.NO_DIRECTORY, errno, f"mkdir {path}: {reason}", path)
    tried = lookup.trail(around, around.directory, resolution)
    return ChainStep(StepRole.PROGRAM, around.directory, "", around.directory, entry, tried, fault)


def follow(launch: Launch) -> tuple[tuple[ChainStep, ...], tuple[str, ...]]:
    """A launch and everything that follows from it: the steps in order, and the open ends."""
    steps: list[ChainStep] = []
    open_ends: list[str] = []
    for execution, following in executions(launch):
        process = _process(launch.around, execution.launch.around)
        steps += (replace(step, process=process) for step in execution.steps)
        steps += (replace(step, process=process) for step in following.steps if not _known(step, steps))
        open_ends += following.open_ends
        if len(steps) >= MAXIMUM_STEPS:
            break
    return tuple(steps), tuple(dict.fromkeys(open_ends))


def executions(launch: Launch) -> Iterator[tuple[Execution, NextSteps]]:
    """Each execve from a launch on, with what follows from it, in order; none twice."""
    pending = deque([launch])
    seen: set[tuple[tuple[str, ...], int, str]] = set()
    while pending:
        current = pending.popleft()
        known = (current.words, current.around.user.uid, current.around.directory)
        if known in seen:
            continue
        seen.add(known)
        execution = execute(current)
        following = next_steps(execution)
        yield execution, following
        pending.extendleft(reversed(following.launches))


def _known(step: ChainStep, steps: list[ChainStep]) -> bool:
    """Whether a script that an interpreter is given to read is on the chain already."""
    return step.fault is None and any(step.entry is one.entry for one in steps)


def _process(container: Surroundings, around: Surroundings) -> Process | None:
    same = (container.user, container.directory, container.variables)
    if same == (around.user, around.directory, around.variables):
        return None
    return Process(around.user, around.directory, around.variables)


def programs(chain: StartupChain) -> tuple[ImagePath, ...]:
    """The ELF files on a chain, in order."""
    return tuple(
        step.entry.path for step in chain.steps if step.entry and isinstance(step.entry.content, ElfFacts)
    )
