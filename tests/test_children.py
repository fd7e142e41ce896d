"""Work in child processes: results, progress and errors come back, and nothing outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from imagescan import children, processors
from imagescan.children import Children, Turns, UnexpectedError, may_fork
from imagescan.errors import ChildLost, CorruptLayer, ImageScanError, NotFound
from imagescan.layers.body import FileTooLarge
from imagescan.processors import usable_processors


def child_processes(parent: int | str = "self") -> set[int]:
    """Every child of a process, zombies included."""
    tasks = Path(f"/proc/{parent}/task")
    return {int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()}


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(autouse=True)
def nothing_is_left():
    files, processes = open_files(), child_processes()
    yield
    assert child_processes() == processes
    assert open_files() == files


def test_each_result_comes_back_with_its_number():
    with Children() as running:
        for number in range(5):
            running.start(number, "", lambda report, number=number: b"%d of %d" % (number, os.getpid()))
        found = dict(running.wait() for _ in range(5))
    assert [found[number].split()[0] for number in range(5)] == [b"0", b"1", b"2", b"3", b"4"]
    assert len({one.split()[-1] for one in found.values()}) == 5


def test_each_turn_is_taken_by_one():
    turns, taken = Turns(1000), 0

    def work(report):
        found = 0
        while turns.take():
            found += 1
        return str(found).encode()

    with Children() as running:
        running.start(0, "", work)
        while turns.take():
            taken += 1
        result = running.wait()
    turns.close()
    assert taken + int(result.data) == 1000


def test_progress_adds_up(monkeypatch):
    monkeypatch.setattr(children, "PROGRESS_SECONDS", 0)
    amounts = []

    def work(report):
        for amount in range(1000):
            report(amount)
        return b""

    with Children(amounts.append) as running:
        running.start(0, "", work)
        running.start(1, "", work)
        running.wait()
        running.wait()
    assert sum(amounts) == 2 * sum(range(1000))
    assert len(amounts) > 10


@pytest.mark.parametrize(
    "error",
    [
        NotFound("no such blob", where="layer 1", advice="look"),
        CorruptLayer("dam\udcffaged\n"),
        FileTooLarge("x" * 100_000),
    ],
)
def test_an_error_of_ours_is_the_same_error(error):
    def work(report):
        raise error

    with pytest.raises(type(error)) as caught, Children() as running:
        running.start(0, "layer 0", work)
        running.wait()
    assert type(caught.value) is type(error)
    assert caught.value.message == error.message[:20_000]
    assert (caught.value.where, caught.value.advice) == (error.where, error.advice)
    assert "in work" in caught.value.__notes__[0]


@pytest.mark.parametrize("error", [KeyError("a bug"), KeyboardInterrupt(), SystemExit(3), MemoryError()])
def test_what_is_no_error_of_ours_is_told_with_its_traceback(error):
    def work(report):
        raise error

    with pytest.raises(UnexpectedError, match=type(error).__name__) as caught, Children() as running:
        running.start(0, "", work)
        running.wait()
    assert "in work" in caught.value.__notes__[0]


def test_a_child_that_is_killed_is_named_with_the_signal():
    def work(report):
        os.kill(os.getpid(), signal.SIGKILL)

    with (
        pytest.raises(ChildLost, match=r"^layer 7: the process .* \(SIGKILL\) \(see whether"),
        Children() as running,
    ):
        running.start(0, "layer 7", work)
        running.wait()


def test_a_child_that_leaves_without_a_word_is_named_with_its_exit_code():
    with pytest.raises(ChildLost, match="exit code 3"), Children() as running:
        running.start(0, "", lambda report: os._exit(3))
        running.wait()


def test_the_error_of_one_ends_the_others_at_once():
    def fail(report):
        raise NotFound("gone")

    start = time.monotonic()
    with pytest.raises(NotFound), Children() as running:
        running.start(0, "", lambda report: time.sleep(60))
        running.start(1, "", fail)
        running.wait()
    assert time.monotonic() - start < 10


def test_a_child_ignores_an_interrupt_because_its_parent_decides():
    def work(report):
        os.kill(os.getpid(), signal.SIGINT)
        return b"still here"

    with Children() as running:
        running.start(0, "", work)
        assert running.wait().data == b"still here"


def test_a_program_around_that_reaps_every_child_does_no_harm():
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with Children() as running:
            running.start(0, "", lambda report: b"done")
            assert running.wait().data == b"done"
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_no_room_for_another_process_is_an_error_of_the_system(monkeypatch):
    def refuse():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    with pytest.raises(BlockingIOError), Children() as running:
        running.start(0, "", lambda report: b"")


def test_signals_are_as_before():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with Children() as running:
        running.start(0, "", lambda report: repr(signal.pthread_sigmask(signal.SIG_BLOCK, ())).encode())
        assert running.wait().data == repr(before).encode()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_a_message_that_is_too_long_is_not_read(monkeypatch):
    monkeypatch.setattr(children, "MAXIMUM_MESSAGE", 100)
    with pytest.raises(ImageScanError, match="nonsense"), Children() as running:
        running.start(0, "", lambda report: bytes(101))
        running.wait()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_children_end_with_their_parent_however_that_ends(end):
    program = """
import time
from imagescan.children import Children

def work(report):
    while True:
        time.sleep(0.01)
        report(1)

with Children() as running:
    running.start(0, "", work)
    running.start(1, "", work)
    print(flush=True)
    running.wait()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        processes = child_processes(parent.pid)
        assert len(processes) == 2
        parent.send_signal(end)
        parent.wait(20)
    deadline = time.monotonic() + 20
    while any(is_alive(pid) for pid in processes):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_process_with_threads_is_not_copied(monkeypatch):
    monkeypatch.setattr(os, "listdir", lambda path: ["1"])
    assert may_fork()
    monkeypatch.undo()
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    assert not may_fork()
    stop.set()
    thread.join()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not may_fork()


GROUPS = {
    "no control groups": ({}, 8),
    "no limit": ({"/proc/self/cgroup": "0::/", "/sys/fs/cgroup//cpu.max": "max 100000"}, 8),
    "half of one": ({"/proc/self/cgroup": "0::/", "/sys/fs/cgroup//cpu.max": "50000 100000"}, 1),
    "one and a half": ({"/proc/self/cgroup": "0::/", "/sys/fs/cgroup//cpu.max": "150000 100000"}, 2),
    "of the group around": (
        {
            "/proc/self/cgroup": "0::/a/b",
            "/sys/fs/cgroup/a/cpu.max": "300000 100000",
            "/sys/fs/cgroup/a/b/cpu.max": "max 100000",
        },
        3,
    ),
    "version 1, as a container sees it": (
        {
            "/proc/self/cgroup": "5:memory:/docker/x\n4:cpu,cpuacct:/docker/x",
            "/sys/fs/cgroup/cpu//cpu.cfs_quota_us": "400000",
            "/sys/fs/cgroup/cpu//cpu.cfs_period_us": "100000",
        },
        4,
    ),
    "version 1, no limit": (
        {
            "/proc/self/cgroup": "4:cpu:/",
            "/sys/fs/cgroup/cpu//cpu.cfs_quota_us": "-1",
            "/sys/fs/cgroup/cpu//cpu.cfs_period_us": "100000",
        },
        8,
    ),
    "nonsense": ({"/proc/self/cgroup": "0::/\nx\n\n:", "/sys/fs/cgroup//cpu.max": "9 0"}, 8),
}


@pytest.mark.parametrize("files, expected", GROUPS.values(), ids=GROUPS)
def test_processors_are_those_that_may_be_used(monkeypatch, files, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setattr(processors, "_text", lambda path: files.get(path, ""))
    assert usable_processors() == expected


def test_processors_are_no_more_than_the_process_may_run_on():
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert usable_processors() == 1
    finally:
        os.sched_setaffinity(0, allowed)
