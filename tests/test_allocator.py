"""Freed memory goes back to the system where there was much of it, and stays where there was little."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
from imagescan import allocator
allocator.WORTH_TRIMMING_BYTES = {worth}

def resident():
    with open("/proc/self/status") as file:
        return int(file.read().partition("VmRSS:")[2].split()[0]) << 10

values = [bytes(2000) for _ in range(20_000)]  # larger than what Python's own allocator takes
kept = values[::100]
del values
before = resident()
allocator.give_back_freed_memory()
print(before - resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="malloc_trim is glibc's")
@pytest.mark.parametrize(("worth", "gives_back"), [(0, True), (1 << 40, False)])
def test_holes_between_values_that_stay_go_back_to_the_system(worth: int, *, gives_back: bool) -> None:
    command = [sys.executable, "-c", PROGRAM.format(worth=worth)]
    freed = int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    assert (freed > 20 << 20) is gives_back
