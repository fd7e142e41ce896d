"""Real root file systems, made with mmdebstrap and kept in the test cache.

In: a name of ``ROOTS``. Out: a directory that nobody writes to. Made once, atomically.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from tests.oracle.cache import cache_directory, locked, publish
from tests.oracle.truth import (
    AMD64,
    ARM64,
    ARMHF,
    EMULATOR,
    I386,
    MIPS64EL,
    PPC64EL,
    RISCV64,
    S390X,
    Platform,
    inside,
)
from tests.requirements import require_root, require_tool

RECIPE = 1  # raise it when what is in every root changes; ``Recipe.edition`` when one root does

WHEELS = ("numpy==2.5.5", "pillow==13.0.0", "lxml==6.1.3", "cryptography==50.0.2")
WHEEL_PLATFORMS = {
    "wheels": ("musllinux_1_1_x86_64", "musllinux_1_2_x86_64"),
    "wheels-glibc": ("manylinux2014_x86_64", "manylinux_2_27_x86_64", "manylinux_2_28_x86_64"),
}
NPM_PACKAGES = (
    *("@img/sharp-linuxmusl-x64@0.35.5", "@img/sharp-libvips-linuxmusl-x64@1.3.4"),
    *("@rollup/rollup-linux-x64-musl@4.68.2", "@rollup/rollup-linux-x64-gnu@4.68.2"),
    *("lightningcss-linux-x64-musl@1.33.0", "lightningcss-linux-x64-gnu@1.33.0"),
    *("@parcel/watcher-linux-x64-musl@2.6.0", "@parcel/watcher-linux-x64-glibc@2.6.0"),
    "@swc/core-linux-x64-musl@1.16.22",
)

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
    """A Debian suite's minbase with packages; ``musl_samples`` adds objects linked with musl, and
    what PyPI and npm ship for either libc.

    A root for another machine is only unpacked, never configured: it has no loader cache.
    """

    suite: str
    packages: tuple[str, ...] = ()
    musl_samples: bool = False
    architecture: str = ""
    platform: Platform = AMD64
    edition: int = RECIPE


# Plugins of every kind that imagescan knows and Debian has, each with the programs that open it.
LARGE = (
    *("python3-scipy", "python3-lxml", "nginx-extras", "postgresql", "git", "ffmpeg", "php-fpm", "apache2"),
    *("openjdk-17-jre-headless", "nodejs", "r-base-core", "ruby", "qemu-system-x86"),
    *("libapache2-mod-php", "libapache2-mod-wsgi-py3", "node-iconv", "node-sqlite3", "lua5.4", "lua-socket"),
    *("tcl", "tcl-tls", "erlang-base", "erlang-crypto", "zsh", "bash-builtins", "mariadb-server"),
    *("samba", "samba-dsdb-modules", "samba-vfs-modules", "winbind", "smbclient"),
    *("libnss-winbind", "libpam-winbind", "slapd", "krb5-kdc", "krb5-pkinit", "libsasl2-modules"),
    *("sasl2-bin", "libsasl2-modules-gssapi-mit", "dovecot-imapd", "dovecot-ldap", "sudo", "gdb"),
    *("iptables", "iproute2", "gcc", "gcc-12-plugin-dev", "imagemagick", "libmagickcore-6.q16-6-extra"),
    *("gstreamer1.0-tools", "gstreamer1.0-plugins-base", "gstreamer1.0-plugins-good"),
    *("gstreamer1.0-plugins-bad", "gstreamer1.0-libav", "vlc-bin", "vlc-plugin-base", "mesa-utils"),
    *("libgl1-mesa-dri", "qterminal", "python3-pyqt5", "qml-module-qtquick2", "qmlscene"),
    *("gtk-3-examples", "glib-networking", "dconf-gsettings-backend", "librsvg2-common"),
    *("alsa-utils", "libasound2-plugins", "pulseaudio"),
)

ROOTS = {
    "bullseye": Recipe("bullseye", ("musl",)),
    "bookworm": Recipe("bookworm", ("musl",)),
    "trixie": Recipe("trixie", ("musl",)),
    "bookworm-musl": Recipe("bookworm", ("musl",), musl_samples=True, edition=2),
    "bookworm-large": Recipe("bookworm", LARGE, edition=2),
    "bookworm-i386": Recipe("bookworm", FOREIGN, architecture="i386", platform=I386),
    "trixie-arm64": Recipe("trixie", FOREIGN, architecture="arm64", platform=ARM64),
    "trixie-riscv64": Recipe("trixie", FOREIGN, architecture="riscv64", platform=RISCV64),
    "bookworm-armhf": Recipe("bookworm", FOREIGN, architecture="armhf", platform=ARMHF),
    "bookworm-s390x": Recipe("bookworm", FOREIGN, architecture="s390x", platform=S390X),
    "bookworm-ppc64el": Recipe("bookworm", FOREIGN, architecture="ppc64el", platform=PPC64EL),
    "bookworm-mips64el": Recipe("bookworm", FOREIGN, architecture="mips64el", platform=MIPS64EL),
}

# Nothing but the loader and the C library of other machines: seconds to make, enough for one rule.
BARE_ROOTS = {
    f"{name}-bare": replace(recipe, packages=("libc6",))
    for name, recipe in ROOTS.items()
    if recipe.platform.emulator
}


def root(name: str) -> Path:
    """The directory of one root file system, made when it does not exist."""
    recipe = (ROOTS | BARE_ROOTS)[name]
    final = cache_directory() / "roots" / f"{name}-{recipe.edition}"
    if final.exists():
        return final
    require_root()
    require_tool("mmdebstrap")
    with locked(final.with_name(f"{final.name}.making")):
        if not final.exists():
            with publish(final) as unfinished:
                _make(recipe, unfinished)
    return final


def _make(recipe: Recipe, directory: Path) -> None:
    kind, source = ["--variant=minbase"], []
    if recipe.platform.emulator:
        require_tool(recipe.platform.emulator, "qemu-user-static")
    if recipe.architecture:
        kind = ["--variant=extract", f"--architectures={recipe.architecture}"]
        # The index of security updates often lags behind for machines that few people have.
        source = main_source()
    include = [f"--include={','.join(recipe.packages)}"] if recipe.packages else []
    subprocess.run(["mmdebstrap", "--quiet", *kind, *include, recipe.suite, directory, *source], check=True)
    if recipe.platform.emulator:
        shutil.copy(require_tool(recipe.platform.emulator), inside(directory, EMULATOR))
    if recipe.architecture:
        (directory / "proc").mkdir(exist_ok=True)
        for name in ("lib", "lib64"):
            if (directory / "usr" / name).is_dir() and not (directory / name).exists():
                (directory / name).symlink_to(f"usr/{name}")
    if recipe.musl_samples:
        _compile_musl_samples(directory / "opt" / "samples")
        for name, platforms in WHEEL_PLATFORMS.items():
            _unpack_wheels(directory / "opt" / name, platforms)
        _unpack_npm_packages(directory / "opt" / "node_modules")


@cache
def main_source() -> list[str]:
    """The archive that this machine's apt has Debian's releases from, without their updates; [] when
    apt does not say, which leaves it to mmdebstrap."""
    fields = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    told = subprocess.run(
        ["apt-get", "indextargets", "--format", fields, "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=True,
    )
    releases = re.findall(r"^(\S+/debian/?) [a-z]+ main$", told.stdout, re.M)
    return releases[:1]


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


def _unpack_wheels(directory: Path, platforms: tuple[str, ...]) -> None:
    """Extension modules as PyPI ships them for one libc, with the libraries that they bundle."""
    download = directory / "download"
    download.mkdir(parents=True)
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"),
            *(f"--platform={platform}" for platform in platforms),
            *("--python-version=3.12", f"--dest={download}", *WHEELS),
        ],
        check=True,
    )
    for wheel in download.glob("*.whl"):
        subprocess.run([sys.executable, "-m", "zipfile", "-e", wheel, directory], check=True)
        wheel.unlink()
    download.rmdir()


def _unpack_npm_packages(directory: Path) -> None:
    """Addons as npm ships them, each for one libc, laid out as an installation has them."""
    directory.mkdir(parents=True)
    npm = require_tool("npm")
    packed = subprocess.run(
        [npm, "pack", "--json", "--pack-destination", directory, *NPM_PACKAGES],
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
    )
    for package in json.loads(packed.stdout):
        archive = directory / package["filename"]
        with tarfile.open(archive) as tar:
            tar.extractall(directory / "unpacked", filter="data")
        final = directory / package["name"]
        final.parent.mkdir(exist_ok=True)
        (directory / "unpacked" / "package").rename(final)
        archive.unlink()
    (directory / "unpacked").rmdir()
