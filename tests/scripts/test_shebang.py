"""The reading of ``#!`` lines against the running kernel, and env's own splitting against env."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagescan.scripts import LINE_LIMIT, TEXT_LIMIT, Script, ScriptFault, read_script


def script(line: bytes) -> Script:
    found = read_script("/x", line)
    assert found is not None
    return found


def test_a_file_without_the_two_bytes_is_no_script() -> None:
    assert read_script("/x", b"echo hello\n") is None
    assert read_script("/x", b" #!/bin/sh\n") is None
    assert read_script("/x", b"") is None


def test_everything_after_the_interpreter_is_one_argument() -> None:
    assert script(b"#! /bin/awk -f  -v x=1 \t\n").argument == "-f  -v x=1"


def test_a_carriage_return_stays_in_the_interpreter() -> None:
    found = script(b"#!/bin/sh\r\necho\r\n")
    assert (found.interpreter, found.carriage_return) == ("/bin/sh\r", True)


def test_a_byte_order_mark_is_told_apart_from_a_file_without_shebang() -> None:
    found = script(b"\xef\xbb\xbf#!/bin/sh\n")
    assert (found.fault, found.interpreter) == (ScriptFault.BYTE_ORDER_MARK, "/bin/sh")


def test_text_is_kept_for_small_shell_scripts_only() -> None:
    assert script(b'#!/bin/sh\nexec "$@"\n').text.endswith('exec "$@"\n')
    assert script(b"#!/usr/bin/perl\n1;\n").text == ""
    assert script(b"#!/bin/sh\n" + b"#" * TEXT_LIMIT).text == ""
    cut = read_script("/x", b"#!/bin/sh\n", size=100)
    assert cut is not None and cut.text == ""


# --- the kernel as oracle -----------------------------------------------------------------

ECHO = """#include <stdio.h>
int main(int c, char **v) { for (int i = 1; i < c; i++) { fputs(v[i], stdout); putchar(0); } return 0; }
"""


@pytest.fixture(scope="module")
def kernel() -> Iterator[Path]:
    """A directory with an interpreter ``i`` that prints its arguments."""
    folder = Path(tempfile.mkdtemp(prefix="shebang-"))  # short: paths must fit in the kernel's buffer
    source = folder / "i.c"
    source.write_text(ECHO)
    compilers = (["gcc"], [sys.executable, "-m", "ziglang", "cc"])
    for compiler in compilers:
        try:
            subprocess.run([*compiler, "-o", str(folder / "i"), str(source)], check=True, capture_output=True)
            break
        except (OSError, subprocess.CalledProcessError):
            continue
    else:
        pytest.fail("no C compiler: install gcc or ziglang")
    yield folder
    subprocess.run(["rm", "-r", str(folder)], check=True)


def ask_kernel(folder: Path, content: bytes) -> tuple[int, list[bytes]]:
    """(errno, arguments printed by the interpreter) of executing a file with this content."""
    path = folder / "s"
    path.write_bytes(content)
    path.chmod(0o755)
    try:
        done = subprocess.run([str(path)], capture_output=True, cwd=folder, check=False)
    except OSError as error:
        return error.errno or -1, []
    return 0, done.stdout.split(b"\0")[:-1]


def predict(folder: Path, content: bytes) -> tuple[int, list[bytes]]:
    found = read_script("/s", content)
    if found is None or found.fault:
        return errno.ENOEXEC, []
    target = folder / found.interpreter
    if not target.exists():
        return errno.ENOENT, []
    if not target.is_file() or not os.access(target, os.X_OK):
        return errno.EACCES, []
    arguments = [] if found.argument is None else [found.argument.encode("utf-8", "surrogateescape")]
    return 0, [*arguments, str(folder / "s").encode()]


CASES = {
    "plain": b"#!%s/i\n",
    "argument": b"#!%s/i -a b  c\t \n",
    "blanks before": b"#! \t %s/i\n",
    "no final newline": b"#!%s/i",
    "no final newline, argument": b"#!%s/i -x  ",
    "blank then end": b"#!%s/i ",
    "carriage return": b"#!%s/i\r\n",
    "carriage return in argument": b"#!%s/i -x\r\n",
    "empty": b"#!\n",
    "empty, no newline": b"#!",
    "blanks only": b"#!  \t\n",
    "blanks to the limit": b"#!" + b" " * 300,
    "blanks and NUL": b"#!  \0/bin/sh\n",
    "NUL ends the path": b"#!%s/i\0-x\n",
    "NUL ends the argument": b"#!%s/i -x\0y\n",
    "NUL and newline in argument": b"#!%s/i -x \0\n",
    "relative": b"#!i arg\n",
    "missing": b"#!%s/absent\n",
    "directory": b"#!%s\n",
    "byte order mark": b"\xef\xbb\xbf#!%s/i\n",
    "long argument": b"#!%s/i " + b"a" * 300 + b"\n",
    "long argument, no newline": b"#!%s/i " + b"a" * 300,
    "long argument, blanks at the cut": b"#!%s/i " + b"a" * 100 + b" " * 300,
    "long path": b"#!%s/" + b"./" * 150 + b"i\n",
    "not executable": b"#!%s/i.c\n",
}


@pytest.mark.oracle
@pytest.mark.parametrize("name", CASES)
def test_the_kernel_agrees(kernel: Path, name: str) -> None:
    content = CASES[name].replace(b"%s", str(kernel).encode())
    assert predict(kernel, content) == ask_kernel(kernel, content)


@pytest.mark.oracle
@pytest.mark.parametrize("length", range(LINE_LIMIT - 3, LINE_LIMIT + 4))
@pytest.mark.parametrize("ending", [b"\n", b"", b" x\n"])
def test_the_kernel_agrees_around_its_limit(kernel: Path, length: int, ending: bytes) -> None:
    prefix = b"#!%s/" % str(kernel).encode()
    padding = length - len(prefix) - 1
    line = prefix + b"./" * (padding // 2) + (b"/" if padding % 2 else b"") + b"i"
    assert len(line) == length
    assert predict(kernel, line + ending) == ask_kernel(kernel, line + ending)


@pytest.mark.oracle
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([b" ", b"\t", b"\n", b"\0", b"\r", b"i", b"./", b"-a", b"\xff", b" " * 240])))
def test_the_kernel_agrees_on_any_line(kernel: Path, pieces: list[bytes]) -> None:
    content = b"#!" + b"".join(pieces)
    assert predict(kernel, content) == ask_kernel(kernel, content)
