"""The command while its layers are read in processes: whatever ends it leaves no process and no file."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from samples.oci import File
from tests.cache.images import layout
from tests.test_children import child_processes, is_alive

# The command, with processes for layers of any size on any machine.
COMMAND = """
import sys, time
from imagescan import __main__, content
from imagescan.layers import parallel, verified
parallel.SMALL_LAYER_BYTES = parallel.WORTH_PROCESSES_BYTES = 0
parallel.usable_processors = lambda: 2
{more}
sys.argv[0] = "imagescan"
__main__.main()
"""
SLOWLY = """
verified.READ_BYTES = 64
class Slow(verified.VerifiedStream):
    def __iter__(self):
        for chunk in super().__iter__():
            time.sleep(0.05)
            yield chunk
from imagescan.layers import index
index.VerifiedStream = Slow
"""


@pytest.fixture
def image(tmp_path: Path) -> str:
    return layout(tmp_path / "image", *({f"bin/{number}": File(os.urandom(20_000))} for number in range(3)))


@contextmanager
def running(image: str, cache: Path, more: str = "", *words: str) -> Iterator[subprocess.Popen[str]]:
    program = COMMAND.format(more=more)
    with subprocess.Popen(
        [sys.executable, "-c", program, image, "-o", "json", "--cache-dir", str(cache), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        yield process


def finished(image: str, cache: Path, more: str = "") -> tuple[int, str, str]:
    with running(image, cache, more) as process:
        out, errors = process.communicate(timeout=60)
        return process.returncode, out, errors


def unfinished(cache: Path) -> list[Path]:
    return list(cache.rglob(".unfinished*"))


def wait_until(condition: object, what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("whole_group", [True, False])
def test_however_it_is_ended_no_process_stays(
    tmp_path: Path, image: str, end: signal.Signals, whole_group: bool
) -> None:
    """A terminal sends its interrupt to the whole group, an operator's kill only to the command."""
    with running(image, tmp_path / "cache", SLOWLY) as process:
        wait_until(lambda: len(child_processes(process.pid)) == 2, "no processes")
        children = child_processes(process.pid)
        time.sleep(0.2)
        (os.killpg if whole_group else os.kill)(process.pid, end)
        _, errors = process.communicate(timeout=20)
    wait_until(lambda: not any(map(is_alive, children)), "processes outlive the command")
    if end == signal.SIGINT:
        assert (process.returncode, errors) == (130, "imagescan: interrupted\n")
        assert not unfinished(tmp_path / "cache")
    else:
        assert (process.returncode, errors) == (-end, "")


def test_a_killed_process_is_one_line_and_exit_code_2(tmp_path: Path, image: str) -> None:
    more = "import os; content.FileInspector.wants = lambda *_: os.kill(os.getpid(), 9)"
    code, _, errors = finished(image, tmp_path / "cache", more)
    assert code == 2
    told = r"layer \d \(sha256:\w+\): the process that works on it was ended \(SIGKILL\) \(see whether the"
    assert re.fullmatch(
        rf"imagescan: error: {re.escape(image)}: {told} machine is out of memory, and try again\)\n", errors
    )
    assert not unfinished(tmp_path / "cache")


def test_a_bug_in_a_process_is_one_line_and_with_debugging_its_traceback(
    tmp_path: Path, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = "content.FileInspector.wants = lambda *_: 1 / 0"
    code, _, errors = finished(image, tmp_path / "cache", more)
    assert (code, errors.count("\n")) == (2, 1)
    assert "ZeroDivisionError: division by zero (this is a bug in imagescan;" in errors
    monkeypatch.setenv("IMAGESCAN_DEBUG", "1")
    code, _, errors = finished(image, tmp_path / "cache", more)
    assert code == 2
    assert "in <lambda>" in errors  # where the bug is


def test_the_answer_is_that_of_one_process(tmp_path: Path, image: str) -> None:
    alone = finished(image, tmp_path / "one", "parallel.usable_processors = lambda: 1")
    assert finished(image, tmp_path / "two") == alone
    assert alone[1].startswith("{")
