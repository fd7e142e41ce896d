"""One execve with all that it brings in: the file, and the interpreters of scripts.

A ``Launch`` enters (a command line, who tries to start it and in which surroundings), an
``Execution`` leaves: the steps, and the command line of the program that runs in the end. Mirrors
fs/exec.c exec_binprm and fs/binfmt_script.c load_script. ``loader.md`` sections 2.1 and 2.4.
"""

from __future__ import annotations

from imagescan.dataclasses import dataclass, replace
from imagescan.filesystem.values import FileEntry
from imagescan.scripts import Script, ScriptFault
from imagescan.startup import lookup
from imagescan.startup.lookup import Surroundings
from imagescan.startup.tellers import RUNTIME, Teller, Way
from imagescan.startup.values import ChainFault, ChainStep, FaultCode, StepRole

MAXIMUM_NESTED_SCRIPTS = 5  # fs/exec.c exec_binprm: depth > 5 is ELOOP


@dataclass(frozen=True, slots=True)
class Launch:
    """A command line to be started. ``asked_by`` is the file that says so, ``line`` the line in it.
    ``certain`` and ``expected`` are as in ``ChainStep``."""

    words: tuple[str, ...]
    around: Surroundings
    teller: Teller = RUNTIME
    role: StepRole = StepRole.PROGRAM
    asked_by: str = ""
    line: int = 0
    certain: bool = True
    expected: bool = True


@dataclass(frozen=True, slots=True)
class Execution:
    """What one launch came to. ``words`` is the command line of the last step's program."""

    launch: Launch
    steps: tuple[ChainStep, ...]
    words: tuple[str, ...]

    @property
    def failed(self) -> bool:
        """Whether nothing runs."""
        return self.steps[-1].fault is not None

    @property
    def program(self) -> FileEntry | None:
        """The file that runs in the end."""
        return self.steps[-1].entry


def execute(launch: Launch) -> Execution:
    """Look the program up and go through its interpreters."""
    first = _located(launch)
    steps = [_with_format(first, launch, first)]
    words = (first.opened, *launch.words[1:])
    argument_zero = launch.words[0]
    while steps[-1].fault is None and (script := steps[-1].script) is not None and not script.fault:
        if len(steps) > MAXIMUM_NESTED_SCRIPTS:
            fault = _kernel_fault(launch, first, FaultCode.NESTED, "ELOOP", steps[-1].opened)
            steps[-1] = replace(steps[-1], fault=fault)
            break
        arguments = (script.argument,) if script.argument is not None else ()
        words = (script.interpreter, *arguments, *words)
        argument_zero = script.interpreter
        step = _interpreter(launch, first, steps[-1], script)
        steps.append(_with_format(step, launch, first))
    marked = tuple(
        replace(step, certain=launch.certain, expected=launch.expected, line=launch.line) for step in steps
    )
    return Execution(launch, marked, (argument_zero, *words[1:]))


def locate(launch: Launch) -> ChainStep:
    """The first step of ``execute``."""
    first = _located(launch)
    found = _with_format(first, launch, first)
    return replace(found, certain=launch.certain, expected=launch.expected, line=launch.line)


def _located(launch: Launch) -> ChainStep:
    name, around, teller = launch.words[0], launch.around, launch.teller
    if teller.way is Way.GO:
        step = lookup.look_path(around, name)
        if step.fault is not None and teller is not RUNTIME:
            step = replace(step, fault=replace(step.fault, message=f"error: {step.fault.message}"))
        return replace(step, role=launch.role, asked_by=launch.asked_by)
    return _search(launch)


def _search(launch: Launch) -> ChainStep:
    """execvp(3): EACCES of any candidate is remembered where none can be executed."""
    name, around, teller = launch.words[0], launch.around, launch.teller
    if "/" in name:
        resolution = lookup.resolve(around, name)
        entry, error = resolution.entry, lookup.execute_error(around, resolution)
        fault = None
        if error is not None:
            fault = ChainFault(
                error[1],
                "EACCES" if error[0] == "EISDIR" else error[0],
                teller.tell(name, error[0]),
                lookup.absent_path(resolution, name),
            )
        tried = lookup.trail(around, name, resolution)
        return ChainStep(launch.role, name, launch.asked_by, name, entry, tried, fault)
    candidate, entry, tried = lookup.search(around, name)
    fault = None
    if entry is None:
        denied = next((one for one in tried if one.outcome == lookup.GO_ERRNO["EACCES"]), None)
        errno = "EACCES" if denied else "ENOENT"
        code = FaultCode.NOT_EXECUTABLE if denied else FaultCode.NOT_IN_PATH
        message = teller.tell(name, errno, bare=denied is None)
        fault = ChainFault(code, errno, message, denied.candidate if denied else name)
        if denied:
            candidate, entry = denied.candidate, lookup.resolve(around, denied.candidate).entry
    return ChainStep(launch.role, name, launch.asked_by, candidate, entry, tried, fault)


def _interpreter(launch: Launch, first: ChainStep, asker: ChainStep, script: Script) -> ChainStep:
    around = launch.around
    resolution = lookup.resolve(around, script.interpreter or ".")
    error = lookup.execute_error(around, resolution)
    fault = None
    if error is not None:
        errno, code = error
        errno = "EACCES" if errno == "EISDIR" else errno
        fault = _kernel_fault(launch, first, code, errno, lookup.absent_path(resolution, script.interpreter))
    return ChainStep(
        StepRole.INTERPRETER,
        script.interpreter,
        asker.opened,
        script.interpreter,
        resolution.entry,
        lookup.trail(around, script.interpreter, resolution),
        fault,
    )


def _with_format(step: ChainStep, launch: Launch, first: ChainStep) -> ChainStep:
    """The same step, with ENOEXEC where the kernel knows no format for the file, and whoever tries
    does not hand it to a shell then.

    What is neither ELF nor script is judged by ``facts`` (it may be a file that was not read).
    """
    script = step.script
    if step.fault or script is None or script.fault is None:
        return step
    if launch.teller.runs_unknown_formats and step.role is not StepRole.INTERPRETER:
        return step
    fault = _kernel_fault(launch, first, FaultCode.SHEBANG, "ENOEXEC", step.opened)
    return replace(step, fault=fault)


def _kernel_fault(launch: Launch, first: ChainStep, code: FaultCode, errno: str, path: str) -> ChainFault:
    """execve's failure, told with the name of the file that was asked for first."""
    name = first.opened if launch.teller is RUNTIME else launch.words[0]
    missing = errno in ("ENOENT", "ENOTDIR")
    return ChainFault(code, errno, launch.teller.tell(name, errno, interpreter=missing), path)


def refusal(script: Script) -> str:
    """Why the kernel refuses a script's first line, in words; "" when it does not."""
    reasons = {
        ScriptFault.BYTE_ORDER_MARK: "a UTF-8 byte order mark stands before #!",
        ScriptFault.NO_INTERPRETER: "no interpreter follows #!",
        ScriptFault.LINE_TOO_LONG: "the interpreter's path does not fit in the kernel's 256 bytes",
    }
    return reasons.get(script.fault, "") if script.fault else ""
