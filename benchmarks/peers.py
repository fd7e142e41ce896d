"""Other tools on the same blobs: syft, and libtree or ldd over an unpacked image.

None of them answers the same question. syft lists packages and resolves no library; libtree and
ldd resolve libraries of one file after the other, need the image unpacked and (ldd) run its code.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.images import CACHE, TAG, layout
from benchmarks.measure import Cost, run

BENCH_TOOLS = Path("build/bench/bin")  # where ``make bench`` installs what is not Debian's
_ANY = range(256)
_BATCH = 400


def find(tool: str) -> Path | None:
    """A peer's program, if it is installed."""
    own = BENCH_TOOLS / tool
    found = own.absolute() if own.is_file() else shutil.which(tool)
    return Path(found) if found else None


def syft(image: str, compression: str) -> Cost:
    """syft's default scan of the layout."""
    program = find("syft")
    assert program is not None
    quiet = {"SYFT_CHECK_FOR_APP_UPDATE": "false"}
    return run(
        [program, "scan", f"oci-dir:{layout(image, compression)}", "-q", "-o", "json"], environment=quiet
    )


@contextmanager
def unpacked(image: str, compression: str) -> Iterator[tuple[Path, Cost]]:
    """The image's root directory, and what ``umoci unpack`` cost."""
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=".unpacked-") as parent:
        bundle = Path(parent) / "bundle"
        cost = run(["umoci", "unpack", "--image", f"{layout(image, compression)}:{TAG}", bundle])
        yield bundle / "rootfs", cost


def elf_files(root: Path) -> list[str]:
    """Every ELF file below a root, as a path inside it. Finding them is not counted for anyone."""
    found = []
    for directory, _, names in os.walk(root):
        for name in names:
            path = Path(directory, name)
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    if file.read(4) == b"\x7fELF":
                        found.append(f"/{path.relative_to(root)}")
    return sorted(found)


def libtree(root: Path, files: Sequence[str]) -> Cost:
    """libtree over every ELF file, in a chroot, in batches."""
    program = shutil.which("libtree")
    assert program is not None
    shutil.copy(program, root / "libtree")
    return _in_batches(["chroot", str(root), "/libtree", "-vv"], files)


def ldd(root: Path, files: Sequence[str], sample: int) -> Cost:
    """ldd in a chroot: on every ``n``-th file so that ``sample`` are run, extrapolated to all."""
    chosen = files[:: max(1, len(files) // sample)]
    return _in_batches(["chroot", str(root), "/usr/bin/ldd"], chosen).times(len(files) / len(chosen))


def _in_batches(command: Sequence[str], files: Sequence[str]) -> Cost:
    total = Cost(0, 0)
    for start in range(0, len(files), _BATCH):
        total += run([*command, *files[start : start + _BATCH]], accept=_ANY)
    return total


def version(tool: str) -> str:
    """What a peer says that it is."""
    program = find(tool)
    if program is None:
        return "missing"
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return (said.stdout or said.stderr).strip().partition("\n")[0]
