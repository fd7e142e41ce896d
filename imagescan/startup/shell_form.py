"""What a shell's command line starts first, where that can be read without guessing.

A command line or an entrypoint script's text enters, a name leaves. Follows the POSIX shell
grammar (XCU 2.9.1 simple commands) for the plainest case only: everything else is left unread.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from imagescan.scripts import SHELLS

_PLAIN_WORD = re.compile(r"[A-Za-z0-9_./+@%,:-]+")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=[A-Za-z0-9_./+@%,:-]*")
_EXIT_ON_FAILURE = re.compile(r"\|\|[ \t]*exit([ \t]+[0-9]+)?[ \t]*$")  # changes nothing: it fails
_COMPOUND = re.compile(r"[|&;<>()`\n]|\$\(")
_SHELL_WORDS = frozenset(
    {
        "!", ".", ":", "[", "[[", "alias", "bg", "break", "builtin", "case", "cd", "command",
        "continue", "declare", "do", "done", "echo", "elif", "else", "enable", "esac", "eval", "exit",
        "export", "false", "fc", "fg", "fi", "for", "function", "getopts", "hash", "if", "in", "jobs",
        "kill", "let", "local", "printf", "pwd", "read", "readonly", "return", "select", "set", "shift",
        "shopt", "source", "suspend", "test", "then", "time", "times", "trap", "true", "type",
        "typeset", "ulimit", "umask", "unalias", "unset", "until", "wait", "while", "{", "}",
    }
)  # fmt: skip
_HANDS_OVER = re.compile(r'^[ \t]*exec[ \t]+("\$@"|"\$\{@\}"|\$@)[ \t]*(#.*)?$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class FirstCommand:
    """The first word of a command line. ``certain`` is false when more than a simple command
    follows, so that a failure of it may be caught."""

    name: str
    certain: bool


def command_line(arguments: tuple[str, ...]) -> str | None:
    """The text after ``-c`` of a shell's argument list; None when this is no shell form."""
    if not arguments or arguments[0].rpartition("/")[2] not in SHELLS:
        return None
    position = 1
    while position < len(arguments) and arguments[position].startswith(("-", "+")):
        option = arguments[position]
        if not option.startswith("--") and option.endswith("c"):
            return arguments[position + 1] if position + 1 < len(arguments) else None
        position += 2 if option in ("-o", "+o", "-O", "+O") else 1
    return None


def is_login_shell(arguments: tuple[str, ...]) -> bool:
    """Whether the shell reads profiles first, which may change PATH."""
    short = (option for option in arguments[1:3] if option.startswith("-") and not option.startswith("--"))
    return "--login" in arguments[1:3] or any("l" in option or "i" in option for option in short)


def first_command(line: str) -> FirstCommand | None:
    """The program that a command line starts first, or None when that takes guessing."""
    line = _EXIT_ON_FAILURE.sub("", line)
    for word in line.split():
        if word.startswith("PATH="):
            return None
        if word != "exec" and not _ASSIGNMENT.fullmatch(word):
            return _plain_command(word, line)
    return None


def _plain_command(word: str, line: str) -> FirstCommand | None:
    name = word.rstrip(";")
    if name in _SHELL_WORDS or not _PLAIN_WORD.fullmatch(name) or name.startswith("-"):
        return None
    return FirstCommand(name, certain=not _COMPOUND.search(line))


def hands_over_arguments(script_text: str) -> bool:
    """Whether a shell script replaces itself by its arguments: ``exec "$@"``."""
    return bool(_HANDS_OVER.search(script_text))
