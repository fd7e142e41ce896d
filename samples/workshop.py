"""What recipes build from: compiled C sources, and real dynamic loaders with their C libraries.

Programs are compiled by ziglang (a wheel; it links for any Linux, and for macOS). No distribution's
image can be downloaded by everybody, so the bases are made from this machine: its own glibc, which
runs the Python that reads this, and its musl where one is installed (Debian's package ``musl``).
Without one, the musl base has ziglang's link-time ``libc.so``: musl's names and symbols, no code.
That is enough for a scan, which runs nothing, but such an image would not start.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from samples.oci import Directory, Entry, File, Symlink

SOURCES = Path(__file__).parent / "sources"
# Old enough for every glibc that a supported Python runs on.
OLDEST_GLIBC = "2.17"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_OTHER = {"x86_64": "aarch64", "aarch64": "x86_64"}
_GLIBC_LOADERS = {"x86_64": "/lib64/ld-linux-x86-64.so.2", "aarch64": "/lib/ld-linux-aarch64.so.1"}


class SampleError(Exception):
    """This machine lacks what a recipe is made from; the message says what and how to get it."""


@dataclass(frozen=True, slots=True)
class Base:
    """The lowest layer of an image: ``library_directory`` is where its loader looks without help
    (no leading slash)."""

    entries: dict[str, Entry | bytes]
    library_directory: str
    created_by: str


class Workshop:
    """Compiles, and keeps what it compiled under ``directory``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._directory.mkdir(parents=True, exist_ok=True)
        self.machine = platform.machine()
        if sys.platform != "linux" or self.machine not in _ARCHITECTURES:
            raise SampleError(f"samples need Linux on x86-64 or arm64, this is {sys.platform} {self.machine}")

    @property
    def platform(self) -> str:
        """This machine's platform as an image names it."""
        return f"linux/{_ARCHITECTURES[self.machine]}"

    def glibc_target(self, version: str = OLDEST_GLIBC) -> str:
        """What to compile for glibc."""
        return f"{self.machine}-linux-gnu.{version}"

    @property
    def musl_target(self) -> str:
        """What to compile for musl."""
        return f"{self.machine}-linux-musl"

    @property
    def other_target(self) -> str:
        """glibc on the architecture that this machine is not."""
        return f"{_OTHER[self.machine]}-linux-gnu.{OLDEST_GLIBC}"

    def program(
        self, source: str, target: str, libraries: Sequence[Path] = (), flags: Sequence[str] = ()
    ) -> File:
        """An executable, linked with the shared libraries given (by their sonames)."""
        settings = hashlib.sha256(repr((libraries, flags)).encode()).hexdigest()[:8]
        name = f"{target}/{Path(source).stem}-{settings}"
        return File(self._compile(source, target, name, libraries, flags), mode=0o755)

    def library(
        self,
        source: str,
        target: str,
        soname: str,
        *,
        libraries: Sequence[Path] = (),
        flags: Sequence[str] = (),
        variant: str = "",
    ) -> Path:
        """A shared library; ``variant`` keeps two builds of the same soname apart."""
        name = f"{target}{variant}/{soname}"
        flags = ("-shared", "-fPIC", f"-Wl,-soname,{soname}", *flags)
        return self._compile(source, target, name, libraries, flags)

    def _compile(
        self, source: str, target: str, name: str, libraries: Sequence[Path], flags: Sequence[str]
    ) -> Path:
        file = self._directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        # Without -dynamic zig links musl programs statically.
        dynamic = ("-dynamic",) if target.endswith("-musl") and "-static" not in flags else ()
        command = [sys.executable, "-m", "ziglang", "cc", "-target", target, "-O1", "-s", *dynamic, *flags]
        command += [str(SOURCES / source), *map(str, libraries), "-o", str(file)]
        environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(self._directory / "zig-cache")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SampleError(f"ziglang could not compile {source} for {target}:\n{done.stderr.strip()}")
        return file

    def glibc_base(self) -> Base:
        """This machine's glibc: loader and C library, at the paths that they have here."""
        loader, library = (
            _mapped(r"ld-linux[^/]*\.so\.\d+|ld-\d[^/]*\.so"),
            _mapped(r"libc\.so\.6|libc-\d[^/]*\.so"),
        )
        if loader is None or library is None:
            raise SampleError("this Python does not run on glibc, so there is none to build a sample from")
        directory = library.parent.as_posix().lstrip("/")
        wanted = _GLIBC_LOADERS[self.machine].lstrip("/")
        entries = _skeleton("glibc")
        entries |= _usr_merge() if library.is_relative_to("/usr") else {}
        entries |= {part: Directory() for part in _parents(directory)}
        entries[loader.as_posix().lstrip("/")] = File(loader, mode=0o755)
        entries[f"{directory}/libc.so.6"] = File(library, mode=0o755)
        if Path("/", wanted).resolve() != loader or library.is_relative_to("/usr"):
            link = f"usr/{wanted}" if library.is_relative_to("/usr") else wanted
            if link not in entries:
                entries |= {
                    part: Directory() for part in _parents(str(Path(link).parent)) if part not in entries
                }
                entries[link] = Symlink(loader.as_posix())
        return Base(entries, directory, "COPY glibc of the machine that built this sample")

    def musl_base(self) -> Base:
        """musl: its one file, which is loader and C library."""
        name = f"ld-musl-{self.machine}.so.1"
        loader = Path("/lib", name)
        if not loader.exists():
            loader = self._musl_from_ziglang()
        entries = _skeleton("musl")
        entries |= {"lib": Directory(), "usr/lib": Directory(), f"lib/{name}": File(loader, mode=0o755)}
        entries[f"lib/libc.musl-{self.machine}.so.1"] = Symlink(name)
        return Base(entries, "usr/lib", "COPY musl of the machine that built this sample")

    def _musl_from_ziglang(self) -> Path:
        self.program("hello.c", self.musl_target)
        found = sorted((self._directory / "zig-cache" / "o").glob("*/libc.so"))
        if not found:
            raise SampleError(
                "no musl on this machine (Debian: apt-get install musl), nor in ziglang's cache"
            )
        return found[0]


def _mapped(pattern: str) -> Path | None:
    """The file mapped into this process whose name matches, after symlinks."""
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        path = Path(line.partition("/")[1] + line.partition("/")[2])
        if re.fullmatch(pattern, path.name):
            return path.resolve()
    return None


def _skeleton(libc: str) -> dict[str, Entry | bytes]:
    release = f'ID=sample\nPRETTY_NAME="imagescan sample on {libc}"\n'
    directories = ("etc", "tmp", "usr", "usr/bin", "usr/local", "usr/local/bin")
    return {
        **{path: Directory() for path in directories},
        "etc/os-release": release.encode(),
        "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\n",
    }


def _usr_merge() -> dict[str, Entry | bytes]:
    merged: dict[str, Entry | bytes] = {}
    for name in ("bin", "lib", "lib64"):
        merged[f"usr/{name}"] = Directory()
        merged[name] = Symlink(f"usr/{name}")
    return merged


def _parents(directory: str) -> list[str]:
    parts = directory.split("/")
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]
