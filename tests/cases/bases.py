"""The bases of cases: the real files of Debian's packages, laid out as users' base images are.

Debian, its slim and distroless kin, Alpine (Debian's musl and busybox where Alpine has them), and
glibc at the places of RHEL's family. What a base has of package databases is what the real one has.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from samples.oci import Directory, Entry, File, Symlink
from tests.cases.images import Content, Image, Layer, with_loader_cache
from tests.cases.packages import ROOT_DIRECTORIES, file_of, files_of
from tests.cases.parts import Part
from tests.loader.distributions import FEDORA, built_for

LIBRARIES = "/usr/lib/x86_64-linux-gnu"
_SLIM = ("base-files", "libc6", "libc-bin", "dash", "coreutils", "libgcc-s1", "libstdc++6", "zlib1g")
_MUSL_OF = {"1.2.2": "bullseye", "1.2.3": "bookworm", "1.2.5": "trixie"}
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "armhf": "armhf"}
_TRIPLETS = {"x86_64": "x86_64", "aarch64": "aarch64", "armhf": "arm"}
_PLATFORMS = {"": "linux/amd64", "arm64": "linux/arm64", "armhf": "linux/arm/v7"}
_OWN = ("ld-", "libc-", "libc.")  # what works with any release's C library
_ALL = (*_OWN, "libm", "libpthread", "libdl", "librt", "libresolv", "libutil")
_HELP = b"You have invoked 'ld.so', the program interpreter for dynamically-linked"
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
USERS = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"


def scratch(platform: str = "linux/amd64") -> Image:
    """Nothing at all."""
    return Image(platform=platform)


@cache
def debian(suite: str, *packages: str) -> Image:
    """debian:SUITE-slim, with more packages in the same layer."""

    def entries() -> Mapping[str, Content]:
        files = files_of(suite, *_SLIM, *packages)
        return with_loader_cache({**_root("sh", "dash"), **files})

    return Image((Layer(f"# debian.sh --arch 'amd64' out/ '{suite}'", entries),), config={"Env": [_PATH]})


@cache
def distroless(suite: str, *packages: str) -> Image:
    """gcr.io/distroless/base: libraries with their notes of ownership; no shell, no cache."""

    def entries() -> Mapping[str, Content]:
        names = ("base-files", "libc6", *packages)
        files = files_of(suite, *names)
        stanzas = bytes(files.pop("var/lib/dpkg/status")).split(b"\n\n")  # type: ignore[arg-type]
        notes = {
            f"var/lib/dpkg/status.d/{n}": s + b"\n" for n, s in zip(names, stanzas, strict=False) if s.strip()
        }
        kept = {path: entry for path, entry in files.items() if "/bin/" not in path and "/info/" not in path}
        return {**ROOT_DIRECTORIES, "etc/passwd": USERS, **kept, **notes}

    return Image((Layer("bazel build ...", entries),), config={"Env": [_PATH]})


@cache
def alpine(version: str, musl: str = "1.2.5", machine: str = "amd64") -> Image:
    """alpine:VERSION with the musl release given; busybox, no package database (see ``apk``)."""
    suite = _MUSL_OF[musl] if machine == "amd64" else f"bookworm-{machine}"

    def entries() -> Mapping[str, Content]:
        name = _MACHINES[machine]
        triplet = f"{_TRIPLETS[name]}-linux-musl" + ("eabihf" if machine == "armhf" else "")
        loader = file_of(suite, "musl", f"usr/lib/{triplet}/libc.so")
        release = (
            f'NAME="Alpine Linux"\nID=alpine\nVERSION_ID={version}\nPRETTY_NAME="Alpine Linux v{version}"\n'
        )
        busybox = file_of(suite, "busybox-static", "usr/bin/busybox")
        places = ("bin", "dev", "etc", "lib", "proc", "root", "sbin", "tmp", "usr", "usr/bin", "usr/lib")
        return {
            **{place: Directory() for place in places},
            f"lib/ld-musl-{name}.so.1": File(loader.content, mode=0o755),
            f"lib/libc.musl-{name}.so.1": Symlink(f"ld-musl-{name}.so.1"),
            "bin/busybox": busybox,
            **{f"bin/{tool}": Symlink("/bin/busybox") for tool in ("sh", "cat")},
            "usr/bin/env": Symlink("/bin/busybox"),
            "etc/os-release": release.encode(),
            "etc/alpine-release": version.encode() + b"\n",
            "etc/passwd": USERS,
        }

    platform = {"amd64": "linux/amd64", "arm64": "linux/arm64", "armhf": "linux/arm/v7"}[machine]
    layer = Layer(f"ADD alpine-minirootfs-{version}-{machine}.tar.gz / # buildkit", entries)
    return Image((layer,), platform=platform, config={"Env": [_PATH]})


@cache
def red_hat(
    identifier: str,
    version: str,
    suite: str = "bullseye",
    libc: Part | None = None,
    *,
    newer_cpu: bool = False,
) -> Image:
    """A distribution of Red Hat's family: glibc in /lib64, its loader built for that directory. ``libc``
    replaces the C library of the suite by that of an older release. ``newer_cpu``: the loader has the
    text (not the code) that a build for x86-64-v2 has in place of a part of its help."""

    def entries() -> Mapping[str, Content]:
        files = {**files_of(suite, "libc6"), **files_of(suite, "dash")}
        moved: dict[str, Entry | bytes] = {}
        for path, entry in files.items():
            name = path.rpartition("/")[2]
            if path.startswith("usr/lib/x86_64-linux-gnu/") and name.startswith(_OWN if libc else _ALL):
                moved[f"usr/lib64/{name}"] = entry
        loader = file_of(suite, "libc6", "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2").content
        assert isinstance(loader, bytes)
        changed = built_for(loader, *FEDORA, token="lib64")
        if newer_cpu:
            assert _HELP in changed
            changed = changed.replace(
                _HELP, b"Fatal glibc error: CPU does not support x86-64-v%d\n".ljust(len(_HELP))
            )
        moved["usr/lib64/ld-linux-x86-64.so.2"] = File(changed, mode=0o755)
        if libc is not None:
            moved["usr/lib64/libc.so.6"] = libc.entry()
        release = f'NAME="{identifier}"\nID={identifier}\nVERSION_ID="{version}"\nID_LIKE="fedora"\n'
        release += f'PRETTY_NAME="{identifier} {version}"\n'
        shell = {"usr/bin/dash": files["usr/bin/dash"], "usr/bin/sh": Symlink("dash")}
        return {
            **ROOT_DIRECTORIES,
            "etc/passwd": USERS,
            "etc/os-release": release.encode(),
            **moved,
            **shell,
        }

    return Image((Layer("ADD rootfs.tar.xz / # buildkit", entries),), config={"Env": [_PATH]})


def apk(packages: Mapping[str, tuple[str, str, str]]) -> bytes:
    """Alpine's database: package to (version, origin, one file)."""
    text = ""
    for name, (version, origin, path) in packages.items():
        directory, _, file = path.lstrip("/").rpartition("/")
        text += f"P:{name}\nV:{version}\no:{origin}\nF:{directory}\nR:{file}\n\n"
    return text.encode()


def dpkg(suite: str, *packages: str) -> dict[str, Content]:
    """What ``apt-get install`` of these packages adds to a base of the suite; the database's status file
    is that of the base with theirs appended."""
    added: dict[str, Content] = dict(files_of(suite, *packages))
    added["var/lib/dpkg/status"] = files_of(suite, *_SLIM, *packages)["var/lib/dpkg/status"]
    return added


def _root(shell: str, program: str) -> dict[str, Entry | bytes]:
    return {**ROOT_DIRECTORIES, "etc/passwd": USERS, f"usr/bin/{shell}": Symlink(program)}
