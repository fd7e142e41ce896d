"""Run a command and see what it cost: wall and CPU seconds, peak memory, bytes written to disk.

The kernel's accounts of a process include those of its children that it waited for. Peak memory is
the larger of the kernel's figure for one process and the sampled sum over the whole process tree,
where a page that several processes share counts once (proportional set size).
The kernel counts the measuring process's own size for a child until it execs, so nothing heavy may
be imported here: figures below ``FLOOR_BYTES`` mean "less than that".
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

FLOOR_BYTES = 30 << 20
SAMPLE_SECONDS = 0.05


@dataclass(frozen=True)
class Cost:
    """What one run, or the median of several, cost; seconds and bytes."""

    wall: float
    cpu: float
    peak: int = 0
    written: int = 0

    def __add__(self, other: Cost) -> Cost:
        """One after the other."""
        return Cost(
            self.wall + other.wall,
            self.cpu + other.cpu,
            max(self.peak, other.peak),
            self.written + other.written,
        )

    def times(self, factor: float) -> Cost:
        """An extrapolation in time; memory stays."""
        return Cost(self.wall * factor, self.cpu * factor, self.peak, self.written)


class Failed(Exception):
    """A measured command did not do its work, so its cost means nothing."""


def run(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    accept: Sequence[int] = (0,),
    output: Path | None = None,
    directory: Path | None = None,
) -> Cost:
    """Run a command to its end.

    Args:
        command: what to run.
        environment: variables besides this process's own.
        accept: exit codes that mean that the work was done.
        output: where standard output goes (default: nowhere).
        directory: the working directory.

    Raises:
        Failed: another exit code; with the end of what the command said.
    """
    with tempfile.TemporaryFile() as errors, (output or Path(os.devnull)).open("wb") as out:
        start = time.perf_counter()
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=errors,
            env={**os.environ, **(environment or {})},
            cwd=directory,
        )
        with _Sampler(process.pid) as sampler:
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - start  # before the sampler ends, which may be busy
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in accept:
            errors.seek(0)
            said = errors.read()[-600:].decode(errors="replace").strip()
            raise Failed(f"{command[0]} ended with {process.returncode}: {said}")
    return Cost(
        wall=wall,
        cpu=usage.ru_utime + usage.ru_stime,
        peak=max(usage.ru_maxrss << 10, sampler.peak),
        written=usage.ru_oublock * 512,
    )


class _Sampler:
    """Watches the memory of a process and all its descendants."""

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, sum(_proportional(pid) for pid in _tree(self._pid)))


def _tree(pid: int) -> list[int]:
    found = [pid]
    for one in found:
        with suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def _proportional(pid: int) -> int:
    with suppress(OSError, IndexError):  # it ended meanwhile
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return int(rollup.partition("\nPss:")[2].split(maxsplit=1)[0]) << 10
    return 0


def median(costs: Sequence[Cost]) -> Cost:
    """The median of each figure; of memory the largest, because a limit must always hold."""
    return Cost(
        wall=statistics.median(one.wall for one in costs),
        cpu=statistics.median(one.cpu for one in costs),
        peak=max(one.peak for one in costs),
        written=max(one.written for one in costs),
    )


def document(cost: Cost) -> dict[str, float]:
    """A cost as JSON has it."""
    return {name: round(value, 4) for name, value in asdict(cost).items()}


class Service:
    """A server process that lives as long as the context."""

    def __init__(self, command: Sequence[str | Path]) -> None:
        self._command = [str(word) for word in command]

    def __enter__(self) -> Service:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._process.pid
