"""Real root file systems, made with mmdebstrap and kept in the test cache.

In: a name of ``ROOTS``. Out: a directory that nobody writes to. Made once, atomically.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.oracle.cache import cache_directory, locked, publish
from tests.oracle.truth import (
    AMD64,
    ARM64,
    ARMHF,
    EMULATOR,
    MIPS64EL,
    PPC64EL,
    RISCV64,
    S390X,
    Platform,
    inside,
)
from tests.requirements import require_root, require_tool

RECIPE = 1  # raise it when what is in a root changes

MUSL_WHEELS = ("numpy==2.5.5", "pillow==13.0.0", "lxml==6.1.3", "cryptography==50.0.2")


FOREIGN = (
    "base-files",
    "coreutils",
    "libpam-modules",
    "perl",
    "util-linux",
    "openssl",
    "libnss-systemd",
    "krb5-user",
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A Debian suite's minbase with packages; ``musl_samples`` adds objects linked with musl.

    A root for another machine is only unpacked, never configured: it has no loader cache.
    """

    suite: str
    packages: tuple[str, ...] = ()
    musl_samples: bool = False
    architecture: str = ""
    platform: Platform = AMD64


LARGE = (
    *("python3-scipy", "python3-lxml", "nginx-extras", "postgresql", "git", "ffmpeg", "php-fpm", "apache2"),
    *("openjdk-17-jre-headless", "nodejs", "r-base-core", "ruby", "qemu-system-x86"),
)

ROOTS = {
    "bullseye": Recipe("bullseye", ("musl",)),
    "bookworm": Recipe("bookworm", ("musl",)),
    "trixie": Recipe("trixie", ("musl",)),
    "bookworm-musl": Recipe("bookworm", ("musl",), musl_samples=True),
    "bookworm-large": Recipe("bookworm", LARGE),
    "trixie-arm64": Recipe("trixie", FOREIGN, architecture="arm64", platform=ARM64),
    "trixie-riscv64": Recipe("trixie", FOREIGN, architecture="riscv64", platform=RISCV64),
    "bookworm-armhf": Recipe("bookworm", FOREIGN, architecture="armhf", platform=ARMHF),
    "bookworm-s390x": Recipe("bookworm", FOREIGN, architecture="s390x", platform=S390X),
    "bookworm-ppc64el": Recipe("bookworm", FOREIGN, architecture="ppc64el", platform=PPC64EL),
    "bookworm-mips64el": Recipe("bookworm", FOREIGN, architecture="mips64el", platform=MIPS64EL),
}


def root(name: str) -> Path:
    """The directory of one root file system, made when it does not exist."""
    final = cache_directory() / "roots" / f"{name}-{RECIPE}"
    if final.exists():
        return final
    require_root()
    require_tool("mmdebstrap")
    with locked(final.with_name(f"{final.name}.making")):
        if not final.exists():
            with publish(final) as unfinished:
                _make(ROOTS[name], unfinished)
    return final


def _make(recipe: Recipe, directory: Path) -> None:
    kind = ["--variant=minbase"]
    if recipe.architecture:
        require_tool(recipe.platform.emulator, "qemu-user-static")
        kind = ["--variant=extract", f"--architectures={recipe.architecture}"]
    include = [f"--include={','.join(recipe.packages)}"] if recipe.packages else []
    subprocess.run(["mmdebstrap", "--quiet", *kind, *include, recipe.suite, directory], check=True)
    if recipe.architecture:
        shutil.copy(require_tool(recipe.platform.emulator), inside(directory, EMULATOR))
        (directory / "proc").mkdir(exist_ok=True)
    if recipe.musl_samples:
        _compile_musl_samples(directory / "opt" / "samples")
        _unpack_musl_wheels(directory / "opt" / "wheels")


def _compile_musl_samples(directory: Path) -> None:
    """Programs and libraries linked with musl in several ways; ``lost`` finds none of its own."""
    require_tool("musl-gcc", "musl-tools")
    directory.mkdir(parents=True)
    library = "int {name}(int x) {{ return x + 1; }}"
    user = "int second(int x); int third(int x) { return second(x) + 1; }"
    program = (
        "#include <stdio.h>\n#include <pthread.h>\n#include <math.h>\n#include <dlfcn.h>\n"
        "int third(int); int first(int);\n"
        'int main(int c, char **v) { printf("%d %f\\n", third(first(c)), sqrt(c));'
        " return dlopen(v[0], 1) == (void *)pthread_self(); }\n"
    )
    sources = {
        "first.c": library.format(name="first"),
        "second.c": library.format(name="second"),
        "third.c": user,
        "program.c": program,
    }
    for name, text in sources.items():
        (directory / name).write_text(text)
    run_path = "-Wl,-rpath,$ORIGIN"
    for command in (
        ["-shared", "-fPIC", "-o", "libfirst.so.1", "first.c", "-Wl,-soname,libfirst.so.1"],
        ["-shared", "-fPIC", "-o", "libsecond.so.1", "second.c", "-Wl,-soname,libsecond.so.1"],
        ["-shared", "-fPIC", "-o", "libthird.so", "third.c", "libsecond.so.1", run_path],
        ["-o", "program", "program.c", "libfirst.so.1", "libthird.so", run_path, "-lpthread", "-lm"],
        ["-o", "lost", "program.c", "libfirst.so.1", "libthird.so"],
    ):
        subprocess.run(["musl-gcc", *command], cwd=directory, check=True)


def _unpack_musl_wheels(directory: Path) -> None:
    """Extension modules as PyPI ships them for Alpine, with the libraries that they bundle."""
    download = directory / "download"
    download.mkdir(parents=True)
    platforms = [f"--platform=musllinux_1_{minor}_x86_64" for minor in (1, 2)]
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"),
            *(*platforms, "--python-version=3.12", f"--dest={download}", *MUSL_WHEELS),
        ],
        check=True,
    )
    for wheel in download.glob("*.whl"):
        subprocess.run([sys.executable, "-m", "zipfile", "-e", wheel, directory], check=True)
        wheel.unlink()
    download.rmdir()
