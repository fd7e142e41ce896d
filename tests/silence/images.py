"""Large healthy images: Debian's packages, PyPI's wheels and npm's addons, as their clients install them.

In: a name of ``IMAGES``. Out: a root file system that nobody writes to, kept in the test cache under a key
of its recipe. Built once, by the first process that asks; the others wait for it.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path

from tests.oracle.cache import cache_directory, locked, publish
from tests.oracle.roots import main_source
from tests.oracle.roots import root as oracle_root
from tests.requirements import require, require_root, require_tool
from tests.silence import packages

RECIPE = 1  # raise it when what this module makes of a recipe changes
SITE_PACKAGES = {
    "glibc": "usr/local/lib/python3.11/dist-packages",
    "musl": "usr/lib/python3.11/site-packages",
}
# Nothing of these is judged; without py3compile Debian does not compile each Python module as it installs it.
LEFT_OUT = ("/usr/bin/py3compile", "/usr/share/doc/*", "/usr/share/locale/*")
APPLICATION = "srv/app"
BUN = f"{APPLICATION}/node_modules/@oven/bun-linux-x64-musl/bin/bun"
_COMPLAINT = re.compile(r"(?:E|W|dpkg|dpkg-\w+|npm error|ERROR)\b.*")
MUSL_RELEASE = 'ID=alpine\nVERSION_ID=3.22\nPRETTY_NAME="musl 1.2.5 with wheels and addons"\n'


@dataclass(frozen=True, slots=True)
class Image:
    """A root file system. ``suite`` is Debian's, "" for musl and nothing else; ``oracle`` names one that
    the loader's oracle makes. ``starts`` is what the container is to start. ``npm`` is installed with all it
    needs for the image's libc, ``npm_files`` unpacked as it is (npm refuses what is for another libc than its
    own)."""

    title: str
    starts: str
    suite: str = ""
    variant: str = "minbase"
    packages: tuple[str, ...] = ()
    wheels: tuple[str, ...] = ()
    npm: tuple[str, ...] = ()
    npm_files: tuple[str, ...] = ()
    oracle: str = ""
    without_updates: bool = False

    @property
    def key(self) -> str:
        """Equal for equal content."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        content = {name: value for name, value in values.items() if value and name not in ("title", "starts")}
        return hashlib.sha256(f"{RECIPE} {content}".encode()).hexdigest()[:12]


# Security updates of a suite that is no more supported may name packages that no mirror has.
STOCK = {
    "bullseye": Image("Debian 11 minbase", "bash", oracle="bullseye"),
    "bookworm": Image("Debian 12 minbase", "bash", oracle="bookworm"),
    "trixie": Image("Debian 13 minbase", "bash", oracle="trixie"),
    "bullseye-standard": Image("Debian 11 standard", "bash", "bullseye", "standard", without_updates=True),
    "bookworm-standard": Image("Debian 12 standard", "bash", "bookworm", "standard"),
    "trixie-standard": Image("Debian 13 standard", "bash", "trixie", "standard"),
}
SERVERS = Image(
    "Debian 12 with servers and languages", "nginx -g 'daemon off;'", "bookworm", packages=packages.SERVERS
)
DESKTOP = Image(
    "Debian 12 with Java, LibreOffice, media, Go, cross compilers, Wine",
    "java -version",
    "bookworm",
    packages=packages.DESKTOP,
)
NEWER = Image("Debian 13 with most of these", "nginx -g 'daemon off;'", "trixie", packages=packages.NEWER)
REGISTRIES = Image(
    "Debian 12 with PyPI's wheels and npm's addons",
    "node /srv/app",
    "bookworm",
    packages=("python3", "nodejs"),
    wheels=packages.WHEELS,
    npm=packages.ADDONS,
    npm_files=packages.ADDONS_FOR_GLIBC,
)
MUSL = Image(
    "musl with PyPI's wheels and npm's addons",
    f"/{BUN} /srv/app",
    wheels=packages.MUSL_WHEELS,
    npm=packages.ADDONS,
    npm_files=packages.ADDONS_FOR_MUSL,
)
IMAGES = {
    **STOCK,
    "servers": SERVERS,
    "desktop": DESKTOP,
    "newer": NEWER,
    "registries": REGISTRIES,
    "musl": MUSL,
}


def root(name: str) -> Path:
    """The directory of one image's file system, made when it does not exist."""
    image = IMAGES[name]
    if image.oracle:
        return oracle_root(image.oracle)
    final = cache_directory() / "silence" / f"{name}-{image.key}"
    if not final.exists():
        require_root()
        with locked(final.with_name(f"{final.name}.making")):
            if not final.exists():
                with publish(final) as unfinished:
                    _make(image, unfinished)
    return final


def _make(image: Image, directory: Path) -> None:
    if image.suite:
        _install_debian(image, directory)
    else:
        _install_musl(directory)
    libc = "glibc" if image.suite else "musl"
    if image.wheels:
        _install_wheels(image.wheels, libc, directory / SITE_PACKAGES[libc])
    if image.npm:
        _install_addons(image.npm, libc, directory / APPLICATION)
        _unpack_addons(image.npm_files, directory / APPLICATION / "node_modules")
    if not image.suite:
        _install_compiler_libraries(directory)


def _install_debian(image: Image, directory: Path) -> None:
    # What it mounts ends with it: an interrupted build must leave no /dev/shm of the machine behind.
    command = [str(require_tool("unshare", "util-linux")), "--mount", "--propagation=private"]
    command += [str(require_tool("mmdebstrap")), f"--variant={image.variant}"]
    if image.packages:
        command += [
            f"--include={','.join(image.packages)}",
            *(f"--dpkgopt=path-exclude={one}" for one in LEFT_OUT),
        ]
    command += [image.suite, str(directory), *(main_source() if image.without_updates else ())]
    _fetch(command)


def _install_musl(directory: Path) -> None:
    """musl as Debian 13 has it, at the places where Alpine has it."""
    for name in ("lib", "usr/lib", "etc", "tmp", "proc", "dev"):
        (directory / name).mkdir(parents=True)
    loader = directory / "lib" / "ld-musl-x86_64.so.1"
    shutil.copy(oracle_root("trixie") / "usr/lib/x86_64-linux-musl/libc.so", loader)
    loader.chmod(0o755)
    (directory / "lib" / "libc.musl-x86_64.so.1").symlink_to(loader.name)
    (directory / "etc" / "os-release").write_text(MUSL_RELEASE)
    (directory / "etc" / "alpine-release").write_text("3.22.0\n")  # by which loaders of addons know musl


def _install_wheels(requirements: tuple[str, ...], libc: str, directory: Path) -> None:
    """What pip makes of wheels for this libc, none of their dependencies."""
    directory.mkdir(parents=True, exist_ok=True)
    tags = packages.WHEEL_TAGS[libc]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
    command += ["--only-binary=:all:", "--python-version=3.11", "--implementation=cp"]
    command += [*(f"--platform={tag}" for tag in tags), f"--target={directory}", *requirements]
    _fetch(command)


def _install_addons(requirements: tuple[str, ...], libc: str, directory: Path) -> None:
    """What npm makes of packages for this libc; nothing is compiled, nothing of theirs is run."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "package.json").write_text('{"private": true}\n')
    (directory / "index.js").write_text("setInterval(() => {}, 1000)\n")
    command = [
        str(require_tool("npm")),
        "install",
        "--loglevel=error",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
    ]
    command += ["--no-package-lock", "--os=linux", "--cpu=x64", f"--libc={libc}", *requirements]
    _fetch(command, directory)


def _unpack_addons(requirements: tuple[str, ...], modules: Path) -> None:
    """The files of npm packages that are for one platform, by themselves."""
    for requirement in requirements:
        package = modules / requirement.rpartition("@")[0]
        package.mkdir(parents=True)
        _fetch([str(require_tool("npm")), "pack", "--silent", requirement], package)
        (archive,) = package.glob("*.tgz")
        subprocess.run(["tar", "-xzf", archive, "--strip-components=1", "-C", package], check=True)
        archive.unlink()


def _fetch(command: list[str], directory: Path | None = None) -> None:
    """Run a client of a package registry; without a network, or where that fails, nothing can be tested."""
    ended = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    lines = f"{ended.stdout}\n{ended.stderr}".splitlines()
    said = " / ".join(line[:200] for line in lines if _COMPLAINT.match(line))
    require(ended.returncode == 0, f"{Path(command[0]).name} could not fetch or install packages: {said}")


def _install_compiler_libraries(directory: Path) -> None:
    """libstdc++ and libgcc as Alpine builds them: numpy's wheel brings them along."""
    beside = directory / SITE_PACKAGES["musl"] / "numpy.libs"
    (standard,) = beside.glob("libstdc++-*.so.6*")
    compiler = min(beside.glob("libgcc_s-*.so.1"), key=lambda path: len(path.name))
    shutil.copy(standard, directory / "usr/lib/libstdc++.so.6")
    for name in ("libgcc_s.so.1", compiler.name):  # the copy of libstdc++ asks for the wheel's name
        shutil.copy(compiler, directory / "usr/lib" / name)
