"""From the image's config to the programs that start.

``ImageConfig`` and ``RootFilesystem`` enter, ``StartupChain`` values leave. Follows config.md of
the OCI image specification, runc (``lookup``), and fs/exec.c search_binary_handler with
fs/binfmt_script.c for scripts that name scripts. ``loader.md`` sections 2.1 and 2.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from imagescan.elf.facts import ElfFacts
from imagescan.filesystem.values import FileEntry, RootFilesystem
from imagescan.findings import TrailLine
from imagescan.layers.values import ImagePath
from imagescan.scripts import EnvCommand, Script, ScriptFault, env_command
from imagescan.sources.values import ImageConfig
from imagescan.startup import lookup, shell_form
from imagescan.startup.lookup import GO_ERRNO, Surroundings
from imagescan.startup.values import (
    ChainFault,
    ChainStep,
    ConfiguredUser,
    FaultCode,
    Purpose,
    StartupChain,
    StepRole,
)

MAXIMUM_NESTED_SCRIPTS = 5  # fs/exec.c exec_binprm: depth > 5 is ELOOP
MAXIMUM_STEPS = 24  # env starting scripts that env starts: enough for every sane image

DEFAULT_SHELL = ("/bin/sh", "-c")
_INITS = frozenset({"tini", "tini-static", "dumb-init", "catatonit", "docker-init"})
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
    return Surroundings(filesystem, user.credentials, directory, environment(config)["PATH"])


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
    """The chain of one executable script, asked as if it were started by its path."""
    first = lookup.look_path(around, path)
    return StartupChain(Purpose.SCRIPT, (path,), follow(first, around))


def _chain(purpose: Purpose, arguments: tuple[str, ...], around: Surroundings) -> StartupChain:
    first = lookup.look_path(around, arguments[0])
    steps = follow(first, around)
    line = shell_form.command_line(arguments)
    if not any(step.fault for step in steps):
        if line is not None:
            steps += _shell_command(arguments, line, around)
        else:
            steps += _handed_over(steps, arguments, around)
    return StartupChain(purpose, arguments, steps, shell_form=line is not None)


def follow(first: ChainStep, around: Surroundings) -> tuple[ChainStep, ...]:
    """A file and everything that executing it brings in: interpreters, and what env starts."""
    steps: list[ChainStep] = []
    current: ChainStep | None = first
    while current is not None and len(steps) < MAXIMUM_STEPS:
        nested = _kernel_steps(current, around)
        steps.extend(nested)
        current = None if nested[-1].fault else _env_step(nested, around)
    return tuple(steps)


def _kernel_steps(first: ChainStep, around: Surroundings) -> list[ChainStep]:
    """exec_binprm: the file, and as long as it is a script its interpreter."""
    first = _checked_format(first)
    steps = [first]
    while steps[-1].fault is None and (script := steps[-1].script) is not None:
        if len(steps) > MAXIMUM_NESTED_SCRIPTS:
            fault = _kernel_fault(first, FaultCode.NESTED, "ELOOP", steps[-1].opened)
            steps[-1] = replace(steps[-1], fault=fault)
            break
        steps.append(_checked_format(_interpreter_step(first, steps[-1], script, around)))
    return steps


def _interpreter_step(first: ChainStep, asker: ChainStep, script: Script, around: Surroundings) -> ChainStep:
    resolution = lookup.resolve(around, script.interpreter or ".")
    error = lookup.execute_error(around, resolution)
    fault = None
    if error is not None:
        errno, code = error
        errno = "EACCES" if errno == "EISDIR" else errno
        fault = _kernel_fault(first, code, errno, lookup.absent_path(resolution, script.interpreter))
    return ChainStep(
        StepRole.INTERPRETER,
        script.interpreter,
        asker.opened,
        script.interpreter,
        resolution.entry,
        fault=fault,
    )


def _checked_format(step: ChainStep) -> ChainStep:
    """The same step, with ENOEXEC where the kernel knows no format for the file.

    What is neither ELF nor script is judged by ``facts`` (it may be a file that was not read).
    """
    script = step.script
    if step.fault or script is None or script.fault is None:
        return step
    code = FaultCode.SHEBANG
    return replace(step, fault=_kernel_fault(step, code, "ENOEXEC", step.opened))


def _kernel_fault(first: ChainStep, code: FaultCode, errno: str, path: str) -> ChainFault:
    """execve's failure, told with the name of the file that was asked for first (runc, Docker)."""
    return ChainFault(code, errno, f"exec {first.opened}: {GO_ERRNO[errno]}", path)


def _env_step(steps: list[ChainStep], around: Surroundings) -> ChainStep | None:
    """What env starts on behalf of the first script that names it; execvp(3) rules."""
    for step in steps:
        command = env_command(step.script) if step.script else None
        if command is not None and step.script is not None and step.script.fault is None:
            return _env_program(step, command, steps[-1].entry, around)
    return None


def _env_program(
    asker: ChainStep, command: EnvCommand, env: FileEntry | None, around: Surroundings
) -> ChainStep | None:
    name = command.program
    if not name:
        return None
    if command.path is not None:
        around = around.with_path(command.path)
    elif command.clears_environment:
        around = around.with_path(None)
    candidate, entry = name, None
    tried: tuple[TrailLine, ...] = ()
    fault = None
    if "/" in name:
        resolution = lookup.resolve(around, name)
        entry = resolution.entry
        error = lookup.execute_error(around, resolution)
        if error is not None:
            errno = "EACCES" if error[0] == "EISDIR" else error[0]
            blamed = lookup.absent_path(resolution, name)
            fault = ChainFault(error[1], errno, _env_message(name, errno, env), blamed)
    else:
        candidate, entry, tried = lookup.search(around, name)
        if entry is None:
            fault = ChainFault(FaultCode.NOT_IN_PATH, "ENOENT", _env_message(name, "ENOENT", env), name)
    return ChainStep(StepRole.ENV_PROGRAM, name, asker.opened, candidate, entry, tried, fault)


def _env_message(name: str, errno: str, env: FileEntry | None) -> str:
    reason = GO_ERRNO[errno]
    reason = reason[0].upper() + reason[1:]
    if env is not None and "busybox" in env.path:
        return f"env: can't execute '{name}': {reason}"
    return f"env: '{name}': {reason}"


def _shell_command(arguments: tuple[str, ...], line: str, around: Surroundings) -> tuple[ChainStep, ...]:
    """The first program of a shell form's command line, where it can be read."""
    command = shell_form.first_command(line)
    if command is None:
        return ()
    certain = command.certain and not shell_form.is_login_shell(arguments)
    step = lookup.look_path(around, command.name)
    if step.fault is not None:
        permission = step.fault.errno in ("EACCES", "EISDIR")
        reason = "Permission denied" if permission else "not found"
        message = f"{arguments[0]}: 1: {command.name}: {reason}"
        step = replace(step, fault=replace(step.fault, message=message))
    step = replace(step, role=StepRole.SHELL_COMMAND, asked_by=arguments[0])
    return tuple(replace(found, certain=certain) for found in follow(step, around))


def _handed_over(
    steps: tuple[ChainStep, ...], arguments: tuple[str, ...], around: Surroundings
) -> tuple[ChainStep, ...]:
    """What an entrypoint script (``exec "$@"``) or an init starts with the arguments after it.

    Only what is found: a script may change PATH or its arguments before, so that absence is
    no evidence.
    """
    found: list[ChainStep] = []
    program, rest = steps[0], arguments
    while len(found) < MAXIMUM_STEPS:
        rest = _arguments_for_next(program, rest)
        if not rest or rest[0].startswith("-"):
            break
        step = lookup.look_path(around, rest[0])
        if step.fault is not None:
            break
        step = replace(step, role=StepRole.HANDED_OVER, asked_by=program.opened)
        nested = [replace(each, certain=False) for each in follow(step, around)]
        found += nested
        program = nested[0]
    return tuple(found)


def _arguments_for_next(program: ChainStep, arguments: tuple[str, ...]) -> tuple[str, ...]:
    """The command line that a program starts with its own arguments; () when it starts none."""
    rest = arguments[1:]
    if program.opened.rpartition("/")[2] in _INITS:
        return rest[rest.index("--") + 1 :] if "--" in rest else rest
    script = program.script
    return rest if script is not None and shell_form.hands_over_arguments(script.text) else ()


def programs(chain: StartupChain) -> tuple[ImagePath, ...]:
    """The ELF files on a chain, in order."""
    return tuple(
        step.entry.path for step in chain.steps if step.entry and isinstance(step.entry.content, ElfFacts)
    )


def refusal(script: Script) -> str:
    """Why the kernel refuses a script's first line, in words; "" when it does not."""
    reasons = {
        ScriptFault.BYTE_ORDER_MARK: "a UTF-8 byte order mark stands before #!",
        ScriptFault.NO_INTERPRETER: "no interpreter follows #!",
        ScriptFault.LINE_TOO_LONG: "the interpreter's path does not fit in the kernel's 256 bytes",
    }
    return reasons.get(script.fault, "") if script.fault else ""
