"""What a file that starts with ``#!`` is, as the kernel sees it.

The first bytes of a file enter, a frozen ``Script`` leaves. Mirrors fs/binfmt_script.c
load_script (Linux 5.1 and later, whose buffer is BINPRM_BUF_SIZE = 256 bytes). ``loader.md``
section 2.4.
"""

from __future__ import annotations

from enum import StrEnum

from imagescan.dataclasses import dataclass

LINE_LIMIT = 256  # include/uapi/linux/binfmts.h BINPRM_BUF_SIZE, bytes
TEXT_LIMIT = 64 * 1024  # bytes; shell scripts up to this size are kept as text

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
SHELLS = frozenset({"sh", "ash", "bash", "dash", "ksh", "mksh", "zsh", "busybox"})

_BLANKS = b" \t"


class ScriptFault(StrEnum):
    """Why the kernel does not take a ``#!`` line (ENOEXEC)."""

    BYTE_ORDER_MARK = "a byte order mark precedes #!"
    NO_INTERPRETER = "nothing follows #!"
    LINE_TOO_LONG = "the interpreter's path does not fit in 256 bytes"


@dataclass(frozen=True, slots=True)
class Script:
    """One ``#!`` file.

    ``interpreter`` and ``argument`` are what the kernel would pass, carriage returns kept;
    ``argument`` is None when there is none. With a ``fault`` the kernel refuses the file and
    ``interpreter`` is what was meant, as far as it can be read. ``carriage_return`` says that
    the first line ends in CR LF, ``argument_truncated`` that the line is longer than the
    kernel's buffer so that only the argument lost its end. An empty ``interpreter`` without a
    fault (``#!`` with neither newline nor name) is opened as the current directory: EACCES.
    ``text`` is the whole file, kept for shell scripts up to ``TEXT_LIMIT`` bytes, else "".
    """

    interpreter: str
    argument: str | None = None
    fault: ScriptFault | None = None
    carriage_return: bool = False
    argument_truncated: bool = False
    text: str = ""

    @property
    def interpreter_name(self) -> str:
        """The last component of the interpreter's path."""
        return self.interpreter.rstrip("/").rpartition("/")[2]


def read_script(path: str, head: bytes, size: int | None = None) -> Script | None:
    """Read the ``#!`` line of a file.

    Args:
        path: the file's path in the image, for nothing but a caller's symmetry with other readers.
        head: the file's first bytes: at least ``LINE_LIMIT``, and the whole file (up to
            ``TEXT_LIMIT``) if its text is to be kept.
        size: the file's length in bytes; None when ``head`` is the whole file.

    Returns:
        The script, or None when the file does not start with ``#!`` (a byte order mark aside).
    """
    fault = None
    if head.startswith(BYTE_ORDER_MARK + b"#!"):
        head, fault = head[len(BYTE_ORDER_MARK) :], ScriptFault.BYTE_ORDER_MARK
    if not head.startswith(b"#!"):
        return None
    script = _parse_line(head)
    length = len(head) if size is None else size
    first_line = head.partition(b"\n")[0]
    keeps_text = script.interpreter_name.rstrip("\r") in SHELLS | {"env"} and length <= TEXT_LIMIT
    return Script(
        script.interpreter,
        script.argument,
        fault or script.fault,
        carriage_return=first_line.endswith(b"\r"),
        argument_truncated=script.argument_truncated,
        text=_decode(head) if keeps_text and len(head) >= length else "",
    )


def _decode(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _skip_blanks(buffer: bytes, start: int, last: int) -> int | None:
    """next_non_spacetab: the first position up to ``last`` that is no blank."""
    return next((i for i in range(start, last + 1) if buffer[i] not in _BLANKS), None)


def _find_terminator(buffer: bytes, start: int, last: int) -> int | None:
    """next_terminator: the first blank or NUL up to ``last``."""
    return next((i for i in range(start, last + 1) if buffer[i] in b" \t\0"), None)


def _c_string(buffer: bytes, start: int, end: int) -> str:
    return _decode(buffer[start:end].partition(b"\0")[0])


def _parse_line(head: bytes) -> Script:
    """load_script, on the same zero-padded buffer that the kernel reads."""
    buffer = head[:LINE_LIMIT].ljust(LINE_LIMIT, b"\0")
    last = LINE_LIMIT - 1
    newline = buffer.find(b"\n")
    end_of_text = buffer.find(b"\0")
    truncated = False
    if newline < 0 or 0 <= end_of_text < newline:
        start = _skip_blanks(buffer, 2, last)
        if start is None:
            return Script("", fault=ScriptFault.NO_INTERPRETER)
        if _find_terminator(buffer, start, last) is None:
            return Script(_decode(buffer[start:]), fault=ScriptFault.LINE_TOO_LONG)
        end, truncated = last, len(head) > LINE_LIMIT and end_of_text < 0
    else:
        end = newline
    while buffer[end - 1] in _BLANKS:
        end -= 1
    name = _skip_blanks(buffer, 2, end)
    if name is None or name == end:
        return Script("", fault=ScriptFault.NO_INTERPRETER)
    buffer = buffer[:end].ljust(LINE_LIMIT, b"\0")
    separator = _find_terminator(buffer, name, end)
    interpreter = _c_string(buffer, name, end if separator is None else separator)
    argument = None
    if separator is not None and separator < end and buffer[separator] != 0:
        start = _skip_blanks(buffer, separator, end)
        argument = None if start is None else _c_string(buffer, start, end)
    return Script(interpreter, argument, argument_truncated=truncated and argument is not None)
