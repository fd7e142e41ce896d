"""Execute a program with a directory as its root file system, as a container runtime would.

In: a root directory, a program's path inside it, its environment, directory and user. Out: how it
ended, with the errno of the kernel when it did not start. Needs root.
"""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.oracle.cache import cache_directory, publish

TIMEOUT = 60  # seconds; a loader answers in milliseconds


@dataclass(frozen=True, slots=True)
class Ended:
    """How one process ended. ``code`` is negative for a signal; ``exec_error`` is the errno's name
    when the kernel refused the program ("" when it ran)."""

    code: int
    out: str
    err: str
    exec_error: str = ""


def execute(
    root: Path,
    program: str,
    arguments: Sequence[str] = (),
    *,
    environment: Mapping[str, str] | None = None,
    directory: str = "/",
    uid: int = 0,
    proc: bool = True,
) -> Ended:
    """Run ``program`` inside ``root`` and wait for its end."""
    reader, writer = os.pipe()
    try:
        ended = subprocess.run(
            [enter(), root, directory, str(uid), str(int(proc)), str(writer), program, *arguments],
            env=dict(environment or {}),
            pass_fds=(writer,),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
        os.close(writer)
        writer = -1
        refused = os.read(reader, 16)
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
    if ended.returncode == 125:
        raise RuntimeError(f"cannot enter {root}: {ended.stderr.decode()}")
    text = (ended.stdout.decode(errors="surrogateescape"), ended.stderr.decode(errors="surrogateescape"))
    return Ended(ended.returncode, *text, exec_error=errno.errorcode[int(refused)] if refused else "")


@cache
def enter() -> Path:
    """The compiled helper ``enter.c``; static, so that no variable for the program touches it."""
    source = Path(__file__).with_name("enter.c")
    program = cache_directory() / f"enter-{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}"
    if not program.exists():
        with publish(program) as unfinished:
            subprocess.run(["gcc", "-static", "-O1", "-Wall", "-o", unfinished, source], check=True)
    return program
