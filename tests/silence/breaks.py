"""What is broken in healthy images: every finding at warning or above that the large images give.

Each is data with its explanation and a proof: the real program is made to do it in the image, and says so.
All of them stem from how their distribution packages them; none is imagescan's mistake.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MODULES = "/srv/app/node_modules"
BUN = f"{MODULES}/@oven/bun-linux-x64-musl/bin/bun"
SITE = "/usr/lib/python3.11/site-packages"


@dataclass(frozen=True, slots=True)
class Opened:
    """A program opens a plugin with dlopen(3) and reports dlerror(3)."""

    host: str
    plugin: str


@dataclass(frozen=True, slots=True)
class Started:
    """A program is executed."""

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Break:
    """A true break: where, by which rule it is found, why it is so, and how the real thing says it."""

    image: str
    rule: str
    paths: tuple[str, ...]
    because: str
    proof: Opened | Started
    says: str
    soname: str = ""

    def waiver(self) -> dict[str, Any]:
        """The entry of imagescan's own configuration that passes it."""
        entry = {"rule": self.rule, "path": list(self.paths), "reason": self.because}
        return {**entry, "soname": self.soname} if self.soname else entry


def requires(host: str, package: str) -> Started:
    """A JavaScript runtime requires a package."""
    return Started((host, "-e", f"require('{MODULES}/{package}')"), {"HOME": "/tmp"})


BREAKS = (
    Break(
        "servers",
        "loader/library-missing",
        ("/usr/lib/collectd/intel_rdt.so",),
        "collectd-core names no package of libpqos.so.4, neither as a dependency nor as a suggestion",
        Opened("/usr/sbin/collectd", "/usr/lib/collectd/intel_rdt.so"),
        "libpqos.so.4: cannot open shared object file",
    ),
    Break(
        "servers",
        "loader/library-missing",
        ("/usr/lib/collectd/java.so",),
        "collectd's Java plugin needs a Java runtime, and its libjvm.so on the search path",
        Opened("/usr/sbin/collectd", "/usr/lib/collectd/java.so"),
        "libjvm.so: cannot open shared object file",
    ),
    Break(
        "newer",
        "loader/library-off-search-path",
        ("/usr/bin/dumpmscat", "/usr/lib/x86_64-linux-gnu/samba/libmscat-private-samba.so.0"),
        "Debian 13 links libmscat-private-samba.so.0 without a run path, and dumpmscat with a run path that "
        "libraries do not inherit: the program does not start",
        Started(("/usr/bin/dumpmscat", "--help")),
        "libsamba-debug-private-samba.so.0: cannot open shared object file",
    ),
    Break(
        "newer",
        "loader/library-missing",
        ("/usr/lib/libreoffice/program/libsdbtlo.so",),
        "libreoffice-core ships a component of Base without the library of Base that it is linked to",
        Opened("/usr/lib/libreoffice/program/oosplash", "/usr/lib/libreoffice/program/libsdbtlo.so"),
        "libdbalo.so: cannot open shared object file",
    ),
    Break(
        "registries",
        "bundle/no-usable-variant",
        (f"{MODULES}/node-pty/**",),
        "node-pty 1.1 ships builds for macOS and Windows and compiles its own for Linux, if scripts may run",
        requires("/usr/bin/node", "node-pty"),
        "Cannot find module './prebuilds/linux-x64//pty.node'",
    ),
    Break(
        "musl",
        "bundle/no-usable-variant",
        (f"{MODULES}/node-pty/**",),
        "node-pty 1.1 ships builds for macOS and Windows and compiles its own for Linux, if scripts may run",
        requires(BUN, "node-pty"),
        "Cannot find module './prebuilds/linux-x64//pty.node'",
    ),
    Break(
        "musl",
        "bundle/no-usable-variant",
        (f"{MODULES}/sodium-native/**",),
        "sodium-native ships no build for musl",
        requires(BUN, "sodium-native"),
        "Cannot find addon",
    ),
    Break(
        "musl",
        "loader/glibc-program-on-musl",
        (f"{MODULES}/onnxruntime-node/**",),
        "onnxruntime-node ships builds for glibc only",
        requires(BUN, "onnxruntime-node"),
        "is linked against glibc",
    ),
    Break(
        "musl",
        "loader/library-missing",
        (f"{SITE}/**",),
        "wheels for musl may expect zlib of the distribution (musllinux policy); this root is musl alone",
        Started(
            ("/lib/ld-musl-x86_64.so.1", "--list", f"{SITE}/PIL/_imaging.cpython-311-x86_64-linux-musl.so")
        ),
        "Error loading shared library libz.so.1: No such file or directory",
        soname="libz.so.1",
    ),
)
