"""What a running program starts next: wrappers by their options, shells by their scripts.

An ``Execution`` enters, ``NextSteps`` leaves: the launches that follow, failures on the way, and
where it is not known what is started.
"""

from __future__ import annotations

import posixpath

from imagescan.dataclasses import dataclass, field, replace
from imagescan.filesystem.values import FileEntry
from imagescan.layers.values import EntryKind
from imagescan.scripts import Script
from imagescan.startup import lookup, wrappers
from imagescan.startup.account_switch import switch_user
from imagescan.startup.credentials import file_text
from imagescan.startup.execution import Execution, Launch
from imagescan.startup.lookup import Surroundings
from imagescan.startup.shell_script import ShellProgram, follow_shell
from imagescan.startup.shells import ShellCall, cannot_open, read_call, shell_kind, teller_at
from imagescan.startup.tellers import C_ERRNO
from imagescan.startup.values import ChainFault, ChainStep, FaultCode, StepRole
from imagescan.startup.wrappers import Handed

_SWITCHING_SHELLS = frozenset({"su", "runuser"})
_READERS = {
    "python": "{program}: can't open file '{file}': [Errno {number}] {reason}",
    "perl": 'Can\'t open perl script "{file}": {reason}',
    "ruby": "ruby: {reason} -- {file} (LoadError)",
}
_NUMBERS = {"ENOENT": 2, "EACCES": 13, "ENOTDIR": 20}


@dataclass(slots=True)
class NextSteps:
    """What follows one execution."""

    launches: list[Launch] = field(default_factory=list)
    steps: list[ChainStep] = field(default_factory=list)
    open_ends: list[str] = field(default_factory=list)


def next_steps(execution: Execution) -> NextSteps:
    """What the program of an execution starts."""
    found = NextSteps()
    program = execution.program
    if execution.failed or program is None:
        return found
    words, around = execution.words, execution.launch.around
    busybox = _is_busybox(program)
    if busybox and words[0].rpartition("/")[2].startswith("busybox") and len(words) > 1:
        words = words[1:]
    name = words[0].rpartition("/")[2].lstrip("-")
    unreadable = _unreadable_script(execution, name)
    if unreadable is not None:
        found.steps.append(unreadable)
        return found
    kind = shell_kind(program.path, words[0])
    if kind is not None:
        call = read_call(kind, words)
        if call is not None:
            _shell(found, execution, call)
        return found
    open_end = wrappers.supervised(name)
    if open_end:
        found.open_ends.append(open_end)
    elif name in _SWITCHING_SHELLS:
        _switching_shell(found, execution, name, words)
    else:
        handed = wrappers.handed_over(words, around, busybox=busybox)
        if handed is not None:
            _handed(found, execution, handed)
    return found


def starts_nothing_else(program: FileEntry, called: str) -> bool:
    """Whether nothing follows a program that is started under a name, whatever words come after it."""
    name = called.rpartition("/")[2].lstrip("-")
    return not (
        _is_busybox(program)
        or shell_kind(program.path, called)
        or wrappers.supervised(name)
        or name in _SWITCHING_SHELLS
        or wrappers.wrapper_of(name, busybox=False)
    )


def _is_busybox(program: FileEntry) -> bool:
    return program.path.rpartition("/")[2].startswith("busybox")


def _asker(execution: Execution) -> str:
    """The file whose text or options name what follows: the script where there is one."""
    return execution.steps[0].opened


def _handed(found: NextSteps, execution: Execution, handed: Handed) -> None:
    by_shebang = len(execution.steps) > 1
    role = StepRole.ENV_PROGRAM if by_shebang else StepRole.HANDED_OVER
    certain = execution.launch.certain and handed.certain
    asker = _shebang_asker(execution) if by_shebang else _asker(execution)
    if handed.open_end:
        found.open_ends.append(f"{asker}: {handed.open_end}")
    if handed.fault:
        code = FaultCode.USER_UNKNOWN if handed.unknown_user else FaultCode.SWITCH_REFUSED
        errno = "EINVAL" if handed.unknown_user or handed.option else "EPERM"
        code = FaultCode.OPTION if handed.option else code
        asked = handed.option or next(iter(handed.words), "")
        fault = ChainFault(code, errno, handed.fault, asked)
        expected = execution.launch.expected
        found.steps.append(ChainStep(role, asked, asker, asked, None, (), fault, certain, expected))
    elif handed.words:
        found.launches.append(
            Launch(
                handed.words,
                handed.around,
                handed.teller,
                role,
                asker,
                certain=certain,
                expected=execution.launch.expected,
            )
        )


def _shebang_asker(execution: Execution) -> str:
    """The script whose ``#!`` line names the program that runs."""
    return execution.steps[-1].asked_by


def _unreadable_script(execution: Execution, name: str) -> ChainStep | None:
    """An interpreter must read its script, for which the x bit is not enough."""
    script = execution.steps[0] if len(execution.steps) > 1 else None
    if script is None or script.entry is None or name == "env":
        return None
    if script.entry.permits(execution.launch.around.user, 4):
        return None
    message = _reader_message(name, execution.words[0], script.opened, "EACCES")
    fault = ChainFault(FaultCode.UNREADABLE, "EACCES", message, script.opened)
    return replace(script, role=StepRole.SCRIPT_FILE, asked_by=script.asked_by, fault=fault)


def _reader_message(name: str, program: str, file: str, errno: str) -> str:
    kind = shell_kind(f"/{name}", name)
    if kind is not None:
        return cannot_open(ShellCall(kind, program, file, (), file=file), errno)
    template = next((text for start, text in _READERS.items() if name.startswith(start)), "")
    reason = C_ERRNO.get(errno, errno)
    return (template or "{program}: {file}: {reason}").format(
        program=program, file=file, reason=reason, number=_NUMBERS.get(errno, 0)
    )


def _shell(found: NextSteps, execution: Execution, call: ShellCall) -> None:
    around = execution.launch.around
    if call.line is not None:
        _follow(found, execution, call, call.line, "")
        return
    started_by_kernel = len(execution.steps) > 1
    if started_by_kernel:
        script = execution.steps[0]
        _follow_file(found, execution, call, script.entry, script.opened)
        return
    resolution = lookup.resolve(around, call.file)
    entry = resolution.entry
    path = posixpath.join(around.directory, call.file)
    errno = resolution.error.name if resolution.error else ""
    code = FaultCode.MISSING
    if entry is not None and not entry.permits(around.user, 4):
        errno, code = "EACCES", FaultCode.UNREADABLE
    fault = None
    if errno and "/" not in call.file:
        return  # shells look such a name up in PATH too, each in its own way
    if errno:
        blamed = lookup.absent_path(resolution, call.file)
        fault = ChainFault(code, errno, cannot_open(call, errno), blamed)
    step = ChainStep(
        StepRole.SCRIPT_FILE,
        call.file,
        _asker(execution),
        path,
        entry,
        lookup.trail(around, call.file, resolution),
        fault,
        execution.launch.certain,
        execution.launch.expected,
    )
    found.steps.append(step)
    if fault is None:
        _follow_file(found, execution, call, entry, path)


def _follow_file(
    found: NextSteps, execution: Execution, call: ShellCall, entry: FileEntry | None, path: str
) -> None:
    content = entry.content if entry else None
    if isinstance(content, Script) and content.text:
        _follow(found, execution, call, content.text, path)
    elif entry is not None and entry.kind is EntryKind.FILE and entry.size:
        found.open_ends.append(f"{path}: what this script starts is not known, its text was not kept")


def _follow(found: NextSteps, execution: Execution, call: ShellCall, text: str, path: str) -> None:
    launch = execution.launch
    asker = path or _asker(execution)
    followed = follow_shell(ShellProgram(call, text, asker), launch.around)
    found.open_ends += followed.open_ends
    for one in followed.started:
        found.launches.append(
            Launch(
                one.words,
                one.around,
                teller_at(call, one.line, replaces=one.replaces),
                StepRole.HANDED_OVER if path else StepRole.SHELL_COMMAND,
                asker,
                one.line if path else 0,
                launch.certain and one.certain and not call.login,
                launch.expected and one.expected,
            )
        )


def _switching_shell(found: NextSteps, execution: Execution, name: str, words: tuple[str, ...]) -> None:
    """su and runuser: the user's shell runs a command line, or (runuser -u) a program is executed."""
    handed = _read_su(name, words, execution.launch.around)
    if handed is None:
        found.open_ends.append(f"{_asker(execution)}: what {name} starts is not known")
    else:
        _handed(found, execution, handed)


def _read_su(name: str, words: tuple[str, ...], around: Surroundings) -> Handed | None:
    """``su [-] [-s SHELL] USER -c LINE`` and ``runuser -u USER -- PROGRAM``, the plain forms only."""
    options = {"-c": "", "-s": "", "-u": "", "-g": "", "-G": ""}
    names = {"--command": "-c", "--shell": "-s", "--user": "-u"}
    others: list[str] = []
    login = False
    position = 1
    while position < len(words):
        word = words[position]
        position += 1
        key, equals, value = word.partition("=")
        key = names.get(key, word)
        if key in options:
            if not equals or key == word:
                value = words[position] if position < len(words) else ""
                position += 1
            options[key] = value
        elif word == "--":
            others += words[position:]
            break
        elif word in ("-", "-l", "--login"):
            login = True
        elif word in ("-m", "-p", "--preserve-environment"):
            pass
        elif word.startswith("-"):
            return None
        elif options["-u"]:
            others += words[position - 1 :]
            break
        else:
            others.append(word)
    if options["-g"] or options["-G"]:
        return None
    return _su_result(name, options, others, around, login=login)


def _su_result(
    name: str, options: dict[str, str], others: list[str], around: Surroundings, *, login: bool
) -> Handed | None:
    user = options["-u"] or (others.pop(0) if others else "root")
    switch = switch_user(name, user, around)
    teller = wrappers.failed_to_execute(name)
    if switch.fault:
        return Handed((user,), around, teller, fault=switch.fault, unknown_user=switch.unknown)
    if around.user.uid != 0:
        return None  # a password decides
    inside = around.with_user(switch.credentials)
    if options["-u"]:
        return Handed(tuple(others), inside, teller) if others and not options["-c"] else None
    if not options["-c"]:
        return None
    shell = options["-s"] or _login_shell(user, around) or "/bin/sh"
    return Handed((shell, "-c", options["-c"], *others), inside, teller, certain=not login)


def _login_shell(user: str, around: Surroundings) -> str:
    for line in (file_text(around.filesystem, "/etc/passwd") or "").splitlines():
        record = line.split(":")
        if len(record) > 6 and record[0] == user:
            return record[6]
    return ""
