"""Where large test inputs are kept between runs: outside the repository, complete or absent."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_directory() -> Path:
    """``$IMAGESCAN_TEST_CACHE``, else /var/cache/imagescan-tests; made when it does not exist.

    It must not lie on a file system mounted nosuid, nodev or noexec.
    """
    directory = Path(os.environ.get("IMAGESCAN_TEST_CACHE") or "/var/cache/imagescan-tests")
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@contextmanager
def publish(final: Path) -> Iterator[Path]:
    """A path to build at, moved to ``final`` when the block ends well and removed when it does not.

    Processes that want the same thing wait for each other; the later one sees ``final`` exist and
    what it built itself is dropped.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    unfinished = final.with_name(f".{final.name}.{os.getpid()}")
    try:
        yield unfinished
        with locked(final):
            if not final.exists():
                unfinished.rename(final)
    finally:
        if unfinished.is_dir():
            _remove(unfinished)
        else:
            unfinished.unlink(missing_ok=True)


def _remove(directory: Path) -> None:
    """Delete a directory, but never through a mount: an interrupted mmdebstrap leaves the machine's own
    /proc, /sys and /dev/shm in it."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    mounted = [point for point in points if point.startswith(f"{directory}/")]
    if mounted:
        raise RuntimeError(f"still mounted, so not deleted; unmount first: {' '.join(mounted)}")
    shutil.rmtree(directory)


@contextmanager
def locked(final: Path) -> Iterator[None]:
    """Hold the lock of one cache entry against other processes."""
    final.parent.mkdir(parents=True, exist_ok=True)
    with final.with_name(f".{final.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
