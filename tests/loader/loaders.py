"""The real loaders that every trap is run on: three glibc and three musl releases from Debian.

Each is a small root file system with the loader, its libc and ldconfig, cut out of a suite's minbase.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.oracle.cache import cache_directory, publish
from tests.oracle.roots import RECIPE, root
from tests.oracle.truth import inside

LIBRARIES = ("libc", "libm", "libpthread", "libdl", "librt", "libutil", "libresolv")
RECIPE_OF_BASE = f"{RECIPE}.1"


@dataclass(frozen=True, slots=True)
class Loader:
    """One real loader: its family, version and the Debian suite that it is from."""

    family: str
    version: tuple[int, ...]
    suite: str

    def __str__(self) -> str:
        return f"{self.family} {'.'.join(map(str, self.version))}"


GLIBC_231 = Loader("glibc", (2, 31), "bullseye")
GLIBC_236 = Loader("glibc", (2, 36), "bookworm")
GLIBC_241 = Loader("glibc", (2, 41), "trixie")
MUSL_122 = Loader("musl", (1, 2, 2), "bullseye")
MUSL_123 = Loader("musl", (1, 2, 3), "bookworm")
MUSL_125 = Loader("musl", (1, 2, 5), "trixie")

GLIBC = (GLIBC_231, GLIBC_236, GLIBC_241)
MUSL = (MUSL_122, MUSL_123, MUSL_125)


def base(suite: str) -> Path:
    """The small root of one suite; nobody writes to it. It has no loader cache."""
    final = cache_directory() / "bases" / f"{suite}-{RECIPE_OF_BASE}"
    if not final.exists():
        with publish(final) as unfinished:
            _cut(root(suite), unfinished)
    return final


def _cut(whole: Path, small: Path) -> None:
    """Copy the few files that matter; every base is laid out with a merged /usr."""
    small.mkdir()
    for name in ("proc", "tmp", "etc", "opt", "usr/lib", "usr/bin", "usr/sbin", "usr/local/lib", "usr/lib64"):
        (small / name).mkdir(parents=True)
    for name in ("lib", "lib64", "bin", "sbin"):
        (small / name).symlink_to(f"usr/{name}")
    multiarch = "lib/x86_64-linux-gnu"
    here = inside(whole, "/" + multiarch)
    sonames = [path.name for path in here.iterdir() if path.name.split(".so")[0] in LIBRARIES]
    copied = [f"{multiarch}/{name}" for name in (*sonames, "ld-linux-x86-64.so.2")]
    copied += ["lib/x86_64-linux-musl/libc.so", "sbin/ldconfig", "bin/dash", "usr/bin/env"]
    copied += ["etc/ld.so.conf", "etc/ld-musl-x86_64.path"]
    for path in copied:
        (small / path).parent.mkdir(parents=True, exist_ok=True)
        original = inside(whole, f"/{path}")
        shutil.copy2(original if original.exists() else inside(whole, f"/usr/{path}"), small / path)
    shutil.copytree(whole / "etc/ld.so.conf.d", small / "etc/ld.so.conf.d")
    (small / "usr/bin/sh").symlink_to("dash")
    (small / "usr/lib64/ld-linux-x86-64.so.2").symlink_to(f"/{multiarch}/ld-linux-x86-64.so.2")
    (small / "usr/lib/ld-musl-x86_64.so.1").symlink_to("x86_64-linux-musl/libc.so")
