"""Shells: which one a program is, how its command line is read, and what it says when something fails.

A shell's command line enters, ``ShellCall`` leaves. XCU sh; the texts of dash 0.5, bash 5.2,
busybox 1.35 ash and mksh, taken from running them (``tests/startup``).
"""

from __future__ import annotations

from enum import StrEnum

from imagescan.dataclasses import dataclass
from imagescan.startup.tellers import BASH_ERRNO, C_ERRNO, SHELL_ERRNO, Teller, Way


class ShellKind(StrEnum):
    """Whose messages a shell has."""

    DASH = "dash"
    BASH = "bash"
    BUSYBOX = "busybox"
    KORN = "mksh"


_KINDS = {
    "dash": ShellKind.DASH,
    "sh": ShellKind.DASH,
    "ash": ShellKind.BUSYBOX,
    "bash": ShellKind.BASH,
    "rbash": ShellKind.BASH,
    "busybox": ShellKind.BUSYBOX,
    "mksh": ShellKind.KORN,
    "ksh": ShellKind.KORN,
    "zsh": ShellKind.DASH,
}
_KORN_ERRNO = {
    **{errno: f"can't execute: {text}" for errno, text in BASH_ERRNO.items()},
    "ENOENT": "inaccessible or not found",
    "ENOTDIR": "inaccessible or not found",
}
_APPLETS = frozenset({"sh", "ash"})
_OPTIONS_WITH_NAME = frozenset({"-o", "+o", "-O", "+O", "--rcfile", "--init-file"})


@dataclass(frozen=True, slots=True)
class ShellCall:
    """What a shell is asked to do.

    ``name`` is how the shell was started. ``line`` is the text after ``-c``; else ``file`` is the
    script. ``zero`` is ``$0`` and ``positional`` ``$@``. ``login`` says that it reads profiles first,
    which may change anything.
    """

    kind: ShellKind
    name: str
    zero: str
    positional: tuple[str, ...]
    line: str | None = None
    file: str = ""
    login: bool = False
    errexit: bool = False


def shell_kind(path: str, called: str) -> ShellKind | None:
    """Which shell the file at ``path`` (links followed) is when started as ``called``; None for none."""
    name = path.rpartition("/")[2]
    as_called = called.rpartition("/")[2].lstrip("-")
    if name in ("busybox", "busybox.static", "toybox") or name.startswith("busybox"):
        return ShellKind.BUSYBOX if as_called in _APPLETS else None
    return _KINDS.get(name)


def read_call(kind: ShellKind, words: tuple[str, ...]) -> ShellCall | None:
    """Read a shell's command line; None when it is to read commands from its input."""
    takes_line = login = errexit = False
    position = 1
    login = words[0].startswith("-")
    while position < len(words) and words[position][:1] in ("-", "+"):
        option = words[position]
        position += 1
        if option in ("-", "--"):
            break
        if option.startswith("--"):
            login |= option == "--login"
            position += option in _OPTIONS_WITH_NAME
            continue
        takes_line |= option[0] == "-" and "c" in option
        login |= option[0] == "-" and ("l" in option or "i" in option)
        errexit |= option[0] == "-" and "e" in option
        if option[-1] in "oO":
            errexit |= words[position : position + 1] == ("errexit",) and option[0] == "-"
            position += 1
        if option[0] == "-" and "s" in option:
            return None
    rest = words[position:]
    if not rest:
        return None
    if takes_line:
        zero = rest[1] if len(rest) > 1 else words[0]
        return ShellCall(kind, words[0], zero, rest[2:], line=rest[0], login=login, errexit=errexit)
    return ShellCall(kind, words[0], rest[0], rest[1:], file=rest[0], login=login, errexit=errexit)


def teller_at(call: ShellCall, line: int, *, replaces: bool) -> Teller:
    """The words in which this shell tells that a command of one line (or ``exec``) cannot be started."""
    zero = call.zero
    if call.kind is ShellKind.BASH:
        start = f"{zero}: line {line}: "
        bare = "exec: {name}: not found" if replaces else "{name}: command not found"
        return Teller(
            Way.SHELL,
            start + "{name}: {reason}",
            start + bare,
            start + "{name}: cannot execute: required file not found",
            BASH_ERRNO,
        )
    if call.kind is ShellKind.BUSYBOX:
        place = f"line {0 if call.line is not None and replaces else line}: "
        if replaces:
            return Teller(Way.SHELL, f"{zero}: exec: {place}" + "{name}: {reason}", reasons=SHELL_ERRNO)
        place = "" if call.line is not None else place
        return Teller(Way.SHELL, f"{zero}: {place}" + "{name}: {reason}", reasons=SHELL_ERRNO)
    if call.kind is ShellKind.KORN:
        start = f"{zero}: " if call.line is not None else f"{zero}[{line}]: "
        path, absent = start + "{name}: {reason}", start + "{name}: No such file or directory"
        return Teller(Way.SHELL, path, "", absent, _KORN_ERRNO)
    start = f"{zero}: {line}: " + ("exec: " if replaces else "")
    return Teller(Way.SHELL, start + "{name}: {reason}", reasons=SHELL_ERRNO)


def cannot_open(call: ShellCall, errno: str) -> str:
    """What the shell says of a script file that it cannot read."""
    reason = C_ERRNO.get(errno, errno)
    if call.kind in (ShellKind.BASH, ShellKind.KORN):
        return f"{call.name}: {call.file}: {reason}"
    if call.kind is ShellKind.BUSYBOX:
        return f"{call.name}: can't open '{call.file}': {reason}"
    opened = "No such file" if errno in ("ENOENT", "ENOTDIR") else reason
    return f"{call.name}: 0: cannot open {call.file}: {opened}"
