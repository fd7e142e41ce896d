"""Which files of an image belong to one family of packages, as the image's own records say.

In: a root file system and names of packages of Debian, PyPI or npm. Out: canonical paths.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path

_MERGED = re.compile(r"^/(bin|sbin|lib|lib32|lib64)/")
PYTHON = ("python3", "python3.*", "libpython3*")

SERVERS: Mapping[str, tuple[str, ...]] = {
    "SciPy": ("python3-scipy", "python3-numpy", "libblas3", "liblapack3", "libopenblas*", *PYTHON),
    "more of Python": ("python3-*",),
    "nginx-extras": ("nginx*", "libnginx-*"),
    "Apache with PHP": ("apache2*", "libapache2-mod-*", "php*"),
    "PostgreSQL with contrib, PL/Perl, PL/Python, PL/Tcl": ("postgresql*", "libpq5"),
    "Node.js": ("nodejs", "libnode*", "node-*"),
    "Ruby with gems": ("ruby*", "libruby*"),
    "Perl with XS modules": ("perl*", "libperl*", "lib*-perl"),
    "Samba": ("samba*", "winbind", "libwbclient0", "libsmbclient"),
    "git and OpenSSH": ("git", "openssh-*"),
    "systemd": ("systemd*", "libsystemd*", "libpam-systemd", "udev"),
    "mail": ("postfix*", "dovecot-*"),
    "databases": ("mariadb-*", "redis-*", "slapd", "memcached"),
    "proxies": ("haproxy", "squid*", "varnish", "lighttpd*", "uwsgi*"),
    "names, logs, accounts, figures": ("bind9*", "rsyslog", "freeradius*", "snmp*", "libsnmp*"),
}
DESKTOP: Mapping[str, tuple[str, ...]] = {
    "Java": ("openjdk-*", "default-j*"),
    "GStreamer": ("gstreamer1.0-*", "libgstreamer*"),
    "LibreOffice": ("libreoffice-*", "libuno-*", "ure"),
    "ffmpeg": ("ffmpeg", "libav*", "libsw*"),
    "ImageMagick": ("imagemagick*", "libmagick*"),
    "emulators": ("qemu-*",),
    "programs in Go": ("docker.io", "containerd", "runc", "caddy"),
    "cross compilers": ("gcc-*-aarch64-*", "*-arm-linux-gnueabihf", "*-arm64-cross", "*-armhf-cross"),
    "i386 beside amd64": ("libc6-i386", "lib32*"),
    "Wine": ("wine64*", "libwine*"),
    "musl beside glibc": ("musl*",),
    "debuggers": ("gdb", "valgrind"),
    "displays, sound, printers": ("xserver-xorg-*", "pipewire*", "libpipewire*", "libspa-*", "cups*"),
    "languages": ("guile-*", "emacs-*", "octave*", "ocaml*", "llvm*"),
}
NEWER: Mapping[str, tuple[str, ...]] = {
    name: packages
    for name, packages in {**SERVERS, **DESKTOP}.items()
    if name
    in {
        *("SciPy", "more of Python", "nginx-extras", "Apache with PHP", "Node.js", "Ruby with gems"),
        *("PostgreSQL with contrib, PL/Perl, PL/Python, PL/Tcl", "Perl with XS modules", "Samba"),
        *("git and OpenSSH", "systemd", "Java", "GStreamer", "LibreOffice", "ffmpeg", "ImageMagick"),
        "programs in Go",
    }
}


def of_debian(root: Path, patterns: Iterable[str]) -> frozenset[str]:
    """The files of the installed packages whose names match."""
    wanted = tuple(patterns)
    found = set()
    for listing in (root / "var/lib/dpkg/info").glob("*.list"):
        if any(fnmatch(listing.stem.partition(":")[0], pattern) for pattern in wanted):
            found.update(_MERGED.sub(r"/usr/\1/", line) for line in listing.read_text().splitlines())
    return frozenset(found)


def of_wheel(root: Path, site_packages: str, requirement: str) -> frozenset[str]:
    """The files that pip recorded for one wheel."""
    wanted = requirement.partition("==")[0]
    (record,) = (
        one / "RECORD"
        for one in (root / site_packages).glob("*.dist-info")
        if one.name.partition("-")[0].replace("_", "-").lower() == wanted
    )
    with record.open(newline="") as rows:
        return frozenset(f"/{site_packages}/{row[0]}" for row in csv.reader(rows) if row)


def of_addon(root: Path, application: str, requirement: str) -> frozenset[str]:
    """The files of one npm package and of what it needs, its packages for single platforms too."""
    modules = root / application / "node_modules"
    pending, seen = [requirement.rpartition("@")[0]], set[str]()
    while pending:
        name = pending.pop()
        document = modules / name / "package.json"
        if name not in seen and document.exists():
            seen.add(name)
            described = json.loads(document.read_text())
            pending += [*described.get("dependencies", {}), *described.get("optionalDependencies", {})]
    return frozenset(f"/{path.relative_to(root)}" for name in seen for path in _files(modules / name))


def _files(directory: Path) -> Iterator[Path]:
    return (path for path in directory.rglob("*") if path.is_file() and not path.is_symlink())


def elf_files(root: Path, paths: Iterable[str]) -> int:
    """How many of them are ELF files."""
    return sum(_is_elf(root / path.lstrip("/")) for path in paths)


def _is_elf(file: Path) -> bool:
    if file.is_symlink() or not file.is_file():
        return False
    with file.open("rb") as opened:
        return opened.read(4) == b"\x7fELF"
