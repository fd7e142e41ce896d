"""What a shell's own commands do to the state that a walk through a script keeps.

XCU 2.14 (special built-ins) and the common ones of dash, bash and busybox ash. A built-in that is
only named in ``SILENT`` changes nothing that is followed.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from imagescan.dataclasses import replace
from imagescan.shell.state import ShellState, merged
from imagescan.shell.syntax import Simple, UnreadableScript

if TYPE_CHECKING:
    from imagescan.shell.values import Place
    from imagescan.shell.walk import Result, Walk

Builtin = Callable[["Walk", list[str], Simple, ShellState, ShellState, "Place"], "Result"]

SILENT: Mapping[str, bool | None] = {
    ":": True, "true": True, "false": False, "echo": True, "printf": None, "trap": True, "umask": True,
    "ulimit": None, "wait": None, "kill": None, "jobs": None, "hash": None, "type": None, "times": True,
    "shopt": None, "bind": None, "complete": None, "enable": None, "history": None, "fg": None, "bg": None,
    "disown": None, "suspend": None, "help": None, "caller": None, "logout": None, "fc": None,
    "pushd": None, "popd": None, "dirs": None, "pwd": True,
}  # fmt: skip

# Programs that put no program into the image and change none.
HARMLESS = frozenset(
    {
        "awk", "basename", "cat", "chgrp", "chmod", "chown", "cut", "date", "df", "dirname", "du", "env",
        "expr", "free", "getent", "grep", "egrep", "fgrep", "head", "hostname", "id", "locale", "ls",
        "mkdir", "mktemp", "nproc", "ps", "readlink", "realpath", "sed", "seq", "sleep", "sort", "stat",
        "sync", "sysctl", "tail", "tee", "touch", "tr", "tty", "uname", "uniq", "wc", "which", "whoami",
        "find",
        "stty", "clear", "rmdir", "ulimit", "pg_isready", "nc", "ping",
    }
)  # fmt: skip


def _exec(
    walk: Walk, words: list[str], command: Simple, state: ShellState, own: ShellState, place: Place
) -> Result:
    rest = words[1:]
    while rest and rest[0].startswith("-") and len(rest[0]) > 1:
        option = rest.pop(0)
        if option == "--":
            break
        if option == "-a":
            rest = rest[1:]
        if "c" in option and option != "-a":
            own = replace(own, exported=set())
    if not rest:
        return True, state
    return None, walk.replaced(tuple(rest), command, own, place)


def _exit(
    walk: Walk, words: list[str], command: Simple, state: ShellState, own: ShellState, place: Place
) -> Result:
    return words[1:] in ([], ["0"]), None


def _return(
    walk: Walk, words: list[str], command: Simple, state: ShellState, own: ShellState, place: Place
) -> Result:
    walk.returns(state)
    return None, None


def _break(
    walk: Walk, words: list[str], command: Simple, state: ShellState, own: ShellState, place: Place
) -> Result:
    walk.breaks(state)
    return None, None


def _set(
    walk: Walk, words: list[str], command: Simple, state: ShellState, own: ShellState, place: Place
) -> Result:
    if len(words) < len(command.words) and walk.expander.fields(command.words, state) is None:
        state.positional = None
        return True, state
    rest = words[1:]
    while rest and rest[0][:1] in "-+" and len(rest[0]) > 1:
        option = rest.pop(0)
        if option == "--":
            state.positional = tuple(rest)
            return True, state
        takes_name = option.rstrip()[-1:] == "o"
        name = rest.pop(0) if takes_name and rest else ""
        if "e" in option or name == "errexit":
            state.errexit = option[0] == "-"
    if rest and rest != ["-"]:
        state.positional = tuple(rest)
    return True, state


def _shift(
    walk: Walk, words: list[str], command: Simple, state: ShellState, own: ShellState, place: Place
) -> Result:
    count = int(words[1]) if len(words) > 1 and words[1].isdecimal() and len(words[1]) < 6 else 1
    if state.positional is not None:
        state.positional = state.positional[count:] if count <= len(state.positional) else None
    return True, state


def _declare(
    walk: Walk, words: list[str], command: Simple, state: ShellState, own: ShellState, place: Place
) -> Result:
    """export, readonly, local, declare: their arguments are assignments, not split."""
    for word in command.words[1:]:
        walk.expander.assumed = False
        text = walk.expander.text(word, state)
        if text is None:
            # The name is literal as a rule: NAME=$(command).
            first = word[0]
            text = getattr(first, "text", "")
            name, equals, _ = text.partition("=")
            value = None
        else:
            name, equals, value = text.partition("=")
        if name.startswith("-") or not name:
            continue
        if equals:
            state.assign(name, value, assumed=walk.expander.assumed)
        if words[0] == "export":
            state.exported.add(name)
    return True, state


def _unset(
    walk: Walk, words: list[str], command: Simple, state: ShellState, own: ShellState, place: Place
) -> Result:
    for name in words[1:]:
        if name == "-f":
            return True, state
        if not name.startswith("-"):
            state.assign(name, "")  # as good as unset in what is followed, and not a deployment's
            state.exported.discard(name)
    return True, state


def _read(
    walk: Walk, words: list[str], command: Simple, state: ShellState, own: ShellState, place: Place
) -> Result:
    for name in words[1:]:
        if not name.startswith("-"):
            state.assign(name, None)
    return None, state


def _cd(
    walk: Walk, words: list[str], command: Simple, state: ShellState, own: ShellState, place: Place
) -> Result:
    target = [word for word in words[1:] if word not in ("-P", "-L", "--")]
    if len(target) != 1 or target[0] == "-" or len(words) < len(command.words):
        state.directory = None
        return None, state
    is_there = walk.questions.file_test("-d", target[0], state)
    if state.directory is not None or target[0].startswith("/"):
        state.directory = posixpath.normpath(posixpath.join(state.directory or "/", target[0]))
    return is_there, state


def _source(
    walk: Walk, words: list[str], command: Simple, state: ShellState, own: ShellState, place: Place
) -> Result:
    script = walk.questions.source(words[1], state) if len(words) > 1 else None
    if script is None:
        state.certain = False
        return None, state
    return walk.called(script, state, place.within(last=False))


def _eval(
    walk: Walk, words: list[str], command: Simple, state: ShellState, own: ShellState, place: Place
) -> Result:
    from imagescan.shell.parser import parse

    text = walk.expander.fields(command.words[1:], state)
    if text is None or walk.calls > 2:
        state.certain = False
        return None, state
    try:
        script = parse(" ".join(text))
    except UnreadableScript:
        state.certain = False
        return None, state
    walk.calls += 1
    result = walk.script(script, state, place)
    walk.calls -= 1
    return result


def _command(
    walk: Walk, words: list[str], command: Simple, state: ShellState, own: ShellState, place: Place
) -> Result:
    """``command [-v] name``, ``builtin name``."""
    rest = words[1:]
    if rest and rest[0] in ("-v", "-V"):
        found = walk.questions.is_found(rest[1], state) if len(rest) > 1 else None
        return found, state
    if rest and rest[0] in ("-p", "--"):
        rest = rest[1:]
    if not rest:
        return None, state
    builtin = BUILTINS.get(rest[0])
    if builtin is not None:
        return builtin(walk, rest, command, state, own, place)
    return (SILENT[rest[0]], state) if rest[0] in SILENT else walk.external(rest, command, state, own, place)


def _let(
    walk: Walk, words: list[str], command: Simple, state: ShellState, own: ShellState, place: Place
) -> Result:
    for word in words[1:]:
        name = word.partition("=")[0].rstrip("+-*/")
        state.assign(name, None)
    return None, merged([state])


BUILTINS: Mapping[str, Builtin] = {
    "exec": _exec,
    "exit": _exit,
    "return": _return,
    "break": _break,
    "continue": _break,
    "set": _set,
    "shift": _shift,
    "export": _declare,
    "readonly": _declare,
    "local": _declare,
    "declare": _declare,
    "typeset": _declare,
    "unset": _unset,
    "read": _read,
    "getopts": _read,
    "mapfile": _read,
    "readarray": _read,
    "cd": _cd,
    "chdir": _cd,
    ".": _source,
    "source": _source,
    "eval": _eval,
    "alias": _declare,
    "unalias": _unset,
    "command": _command,
    "builtin": _command,
    "let": _let,
}
