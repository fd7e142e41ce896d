"""Debian's packages as their files: a suite's selection is downloaded once, nothing is installed.

Names of packages enter, entries of a layer leave: the files that a loader or the kernel may ask for,
at the places where a merged /usr has them, and the part of dpkg's database that says whose they are.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from samples.oci import Directory, Entry, File, Symlink
from tests.oracle.cache import cache_directory, locked, publish
from tests.oracle.roots import main_source
from tests.requirements import require_tool

EDITION = 1  # raise it when the selections change
_COMMON = (
    *("base-files", "libc6", "libc-bin", "dash", "coreutils", "libgcc-s1", "libstdc++6", "zlib1g"),
    *("busybox-static", "musl", "openssl", "libnss3"),
)
_FOREIGN = ("base-files", "libc6", "dash", "busybox-static", "musl")
SELECTIONS: Mapping[str, tuple[str, ...]] = {
    "bullseye": (*_COMMON, "libcurl4"),
    "bookworm": (*_COMMON, "libpq5", "libgomp1", "libaio1", "curl", "perl-base", "python3.11-minimal"),
    "trixie": (*_COMMON, "libpq5", "libaio1t64", "curl"),
    "bookworm-arm64": _FOREIGN,
    "bookworm-armhf": _FOREIGN,
}
_MERGED = ("bin/", "sbin/", "lib/", "lib32/", "lib64/")
# Scripts too whose interpreters the selections lack: OpenSSL's are Perl's, update-motd.d wants a shell.
_LEFT_OUT = ("usr/share/", "usr/lib/locale/", "usr/bin/c_rehash", "usr/lib/ssl/misc/", "etc/update-motd.d/")
_COREUTILS = frozenset({"usr/bin/env", "usr/bin/cat"})


def files_of(suite: str, *names: str) -> dict[str, Entry | bytes]:
    """The files of these packages and their part of the database, as one layer has them."""
    entries: dict[str, Entry | bytes] = {}
    status = b""
    for name in names:
        listed = []
        for path, entry in _files(_archive(suite, name)):
            listed.append(f"/{path}\n")
            if entry is not None and _is_wanted(name, path):
                entries[_merged(path)] = entry
        status += _stanza(suite, name) + b"\n"
        entries[f"var/lib/dpkg/info/{name}.list"] = "".join(listed).encode()
    return {**entries, "var/lib/dpkg/status": status}


def file_of(suite: str, package: str, path: str) -> File:
    """One file of a package, by its path in a merged /usr, links followed inside the package."""
    entries = files_of(suite, package)
    entry = entries[path]
    if isinstance(entry, Symlink):
        return file_of(suite, package, str(Path(path).parent / Path(entry.target).name))
    assert isinstance(entry, File)
    return entry


@cache
def _stanza(suite: str, name: str) -> bytes:
    control = subprocess.run(["dpkg-deb", "-f", _archive(suite, name)], check=True, capture_output=True)
    head, rest = control.stdout.split(b"\n", 1)
    return head + b"\nStatus: install ok installed\n" + rest


@cache
def _files(archive: Path) -> tuple[tuple[str, Entry | None], ...]:
    tar = subprocess.run(["dpkg-deb", "--fsys-tarfile", archive], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        return tuple(_members(opened))


def _members(opened: tarfile.TarFile) -> Iterator[tuple[str, Entry | None]]:
    for member in opened:
        path = member.name.removeprefix("./").strip("/")
        content = opened.extractfile(member) if member.isfile() else None
        if content is not None:
            yield path, File(content.read(), mode=member.mode, uid=member.uid, gid=member.gid)
        elif member.issym():
            yield path, Symlink(member.linkname)
        elif member.isdir() and path:
            yield path, None


def _merged(path: str) -> str:
    return f"usr/{path}" if path.startswith(_MERGED) else path


def _is_wanted(package: str, path: str) -> bool:
    merged = _merged(path)
    if package == "coreutils" and merged not in _COREUTILS:
        return False
    if merged.startswith(_LEFT_OUT) or "/gconv/" in merged:
        return False
    return package != "libc-bin" or merged.startswith(("usr/sbin/ldconfig", "etc/ld.so.conf"))


def _archive(suite: str, name: str) -> Path:
    (found,) = _archives(suite).glob(f"{name}_*.deb")
    return found


@cache
def _archives(suite: str) -> Path:
    """The directory with the archives of one selection and of all that it depends on."""
    final = cache_directory() / "debs" / f"{suite}-{EDITION}"
    with locked(final.with_name(f"{final.name}.making")):
        if not final.exists():
            with publish(final) as unfinished:
                _download(suite, unfinished)
    return final


def _download(suite: str, directory: Path) -> None:
    mmdebstrap = require_tool("mmdebstrap")
    release, _, architecture = suite.partition("-")
    root = directory.with_name(f"{directory.name}.root")
    options = [f"--architectures={architecture}"] if architecture else []
    keep = f'cp -r "$1"/var/cache/apt/archives {directory}'
    command = [mmdebstrap, "--quiet", "--variant=extract", *options, "--skip=essential/unlink"]
    command += [f"--include={','.join(SELECTIONS[suite])}", f"--extract-hook={keep}", release, root]
    command += main_source() if architecture else []
    try:
        subprocess.run(command, check=True)
    finally:
        subprocess.run(["rm", "-rf", "--one-file-system", root], check=True)


ROOT_DIRECTORIES: Mapping[str, Entry | bytes] = {
    **{name: Directory() for name in ("dev", "etc", "proc", "tmp", "usr", "var")},
    **{f"usr/{name}": Directory() for name in ("bin", "sbin", "lib", "lib64")},
    **{name: Symlink(f"usr/{name}") for name in ("bin", "sbin", "lib", "lib64")},
}
