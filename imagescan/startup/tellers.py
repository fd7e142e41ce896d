"""Who tries to start a program: how it looks names up, and in which words it fails.

Texts of the programs themselves, taken from running them (``tests/startup``): the container runtime,
libc's callers of execvp(3), shells, and the daemontools family.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from imagescan.dataclasses import dataclass, field
from imagescan.startup.lookup import GO_ERRNO

C_ERRNO: Mapping[str, str] = {
    **{errno: text[0].upper() + text[1:] for errno, text in GO_ERRNO.items()},
    "EISDIR": "Permission denied",  # what execve says of a directory
    "ELIBBAD": "Accessing a corrupted shared library",
    "EIO": "Input/output error",
}
SHELL_ERRNO: Mapping[str, str] = {**C_ERRNO, "ENOENT": "not found", "ENOTDIR": "not found"}
BASH_ERRNO: Mapping[str, str] = {**C_ERRNO, "EISDIR": "Is a directory"}
DJB_ERRNO: Mapping[str, str] = {
    **C_ERRNO, "ENOENT": "file does not exist", "EACCES": "access denied", "EISDIR": "access denied",
}  # fmt: skip


class Way(StrEnum):
    """How a program's name becomes a file."""

    GO = "go"  # exec.LookPath, then execve
    EXECVP = "execvp"  # tries every directory; a file of no known format goes to /bin/sh
    SHELL = "shell"  # as execvp


@dataclass(frozen=True, slots=True)
class Teller:
    """The words of one caller. Templates have ``{name}`` as asked (``{quoted}``: escaped as GNU programs
    do) and ``{reason}``.

    ``path`` is used where a file cannot be executed, ``bare`` where no directory of PATH has the
    name, ``interpreter`` where the file is there and its interpreter is not; both last as ``path``
    when empty.
    """

    way: Way
    path: str
    bare: str = ""
    interpreter: str = ""
    reasons: Mapping[str, str] = field(default_factory=lambda: C_ERRNO)

    def tell(self, name: str, errno: str, *, bare: bool = False, interpreter: bool = False) -> str:
        """The message for a name that cannot be started."""
        template = (self.bare if bare else self.interpreter if interpreter else "") or self.path
        reason = self.reasons.get(errno, errno)
        return template.replace("{reason}", reason).replace("{quoted}", quoted(name)).replace("{name}", name)

    @property
    def runs_unknown_formats(self) -> bool:
        """Whether a file that the kernel refuses (ENOEXEC) is run by a shell instead."""
        return self.way is not Way.GO


def quoted(text: str) -> str:
    """As gnulib's quote() shows a name between quotes in the C locale."""
    escapes = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\", "'": "\\'"}
    return "".join(escapes.get(one, one) for one in text)


RUNTIME = Teller(Way.GO, "exec {name}: {reason}", reasons=GO_ERRNO)
GOSU = Teller(Way.GO, "error: exec failed: {reason}", reasons=GO_ERRNO)


def execvp_teller(template: str, reasons: Mapping[str, str] = C_ERRNO) -> Teller:
    """A caller of execvp with one message for every failure."""
    return Teller(Way.EXECVP, template, reasons=reasons)
