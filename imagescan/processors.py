"""How many processors this process may use.

Follows sched_getaffinity(2) and the kernel's control groups: ``cpu.max`` of version 2 ("cgroup-v2.rst"),
``cpu.cfs_quota_us`` of version 1 ("sched-bwc.rst"). A container with one processor's worth of time runs
nothing faster by running two things at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

_GROUPS = "/proc/self/cgroup"
_MOUNT = "/sys/fs/cgroup"


def usable_processors() -> int:
    """Processors that this process may run on, no more than its control groups have time for; at least 1."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not Linux
        allowed = os.cpu_count() or 1
    return max(1, min((allowed, *(-(-time // period) for time, period in _quotas()))))


def _quotas() -> Iterator[tuple[int, int]]:
    """Microseconds of processor time, and the period that they are for, of each group around us."""
    for line in _text(_GROUPS).splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        parts = [part for part in path.split("/") if part]
        # From the group to the root of what is mounted; in a container that is often the group itself.
        for depth in range(len(parts), -1, -1):
            below = "/".join(parts[:depth])
            if number == "0":
                yield from _quota(_text(f"{_MOUNT}/{below}/cpu.max"))
            elif "cpu" in controllers.split(","):
                place = f"{_MOUNT}/cpu/{below}/cpu.cfs_"
                yield from _quota(f"{_text(place + 'quota_us')} {_text(place + 'period_us')}")


def _quota(text: str) -> Iterator[tuple[int, int]]:
    words = text.split()
    if len(words) == 2 and all(word.isdecimal() for word in words) and int(words[1]):
        yield int(words[0]), int(words[1])


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123 - pathlib is slow to import
            return file.read()
    except (OSError, ValueError):
        return ""
