"""Keeps the cache within its size and age: files that were not used for longest go first.

An open directory enters; what was removed leaves as counts. One listing and one stat(2) for each file.
"""

from __future__ import annotations

import time

from imagescan.cache.directory import CacheDirectory, is_being_written, is_unfinished
from imagescan.dataclasses import NamedTuple

DAY = 86_400.0
PRUNED_SHARE = 0.9  # of the limit: a cache that is full is not pruned at the end of each scan


class Pruned(NamedTuple):
    """What went and what stays; sizes are bytes on disk."""

    removed: int
    removed_bytes: int
    kept: int
    kept_bytes: int


def prune(directory: CacheDirectory, maximum_bytes: int, maximum_days: float) -> Pruned:
    """Remove what is too old or too much, and what a crash left. Other processes may be at work."""
    now = time.time()
    files = [one for one in directory.files() if not is_being_written(one, now)]
    oldest = now - maximum_days * DAY
    dead = [one for one in files if one.used < oldest or is_unfinished(one, now)]
    gone = set(dead)
    living = sorted((one for one in files if one not in gone), key=lambda one: one.used)
    size = sum(one.size for one in living)
    if size > maximum_bytes:
        for one in living:
            if size <= maximum_bytes * PRUNED_SHARE:
                break
            dead.append(one)
            size -= one.size
    for one in dead:
        directory.remove(one.kind, one.name)
    return Pruned(len(dead), sum(one.size for one in dead), len(files) - len(dead), size)
