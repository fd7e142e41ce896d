"""Owners by dpkg's database, compared with dpkg itself on real roots."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable

import pytest

from imagescan.options import ScanOptions
from imagescan.packages import dpkg, paths
from imagescan.packages.ownership import Ownership, read_ownership
from imagescan.packages.paths import LateOwners, PathTable
from imagescan.packages.values import DamagedDatabase, Package, PackageManager
from imagescan.scan import scan
from tests.oracle.roots import root
from tests.packages.scene import filesystem
from tests.requirements import require_tool

STATUS = b"""\
Package: libdemo1
Status: install ok installed
Architecture: amd64
Multi-Arch: same
Source: demo (1.0-2)
Version: 1:1.0-2
Description: a library
 in two lines:
 with a colon

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 3

Package: shadow-demo
Status: install ok installed
Architecture: all
Version: 2
"""
LIBRARY = Package("libdemo1", "1:1.0-2", "amd64", "demo", PackageManager.DPKG)
INFO = "/var/lib/dpkg/info"


def ownership(**more: bytes | str) -> Ownership:
    files = {
        "/var/lib/dpkg/status": STATUS,
        f"{INFO}/libdemo1:amd64.list": b"/.\n/lib\n/lib/libdemo.so.1\n/usr/bin/demo\n",
        f"{INFO}/shadow-demo.list": b"/usr/bin/demo\n",
        f"{INFO}/gone.list": b"/etc/gone\n",
    }
    return read_ownership(filesystem({**files, **more}))


def test_a_file_is_its_packages() -> None:
    found = ownership()
    assert found.owner("/lib/libdemo.so.1") == LIBRARY
    assert str(LIBRARY) == "libdemo1 1:1.0-2 (dpkg)"
    assert found.bringing("libdemo.so.1") == (LIBRARY,)
    assert found.unread == ()


def test_what_a_package_needs_and_what_it_only_wants() -> None:
    status = b"""\
Package: player
Version: 1
Pre-Depends: init-tools (>= 1.5~)
Depends: libc6 (>= 2.36), libodd1:any | libodd0
Recommends: libsound2 [amd64] | libsound1, libc6
Suggests: libfilm3 (>= 3), libsound2
Enhances: desktop
"""
    (package,) = ownership(**{"/var/lib/dpkg/status": status}).packages
    assert package.needed == ("init-tools", "libc6", "libodd1", "libodd0")
    assert package.optional == ("libsound2", "libsound1", "libfilm3")


def test_a_package_of_which_only_the_configuration_is_left_owns_nothing() -> None:
    assert ownership().owner("/etc/gone") is None
    assert [package.name for package in ownership().packages] == ["libdemo1", "shadow-demo"]


def test_where_usr_is_merged_the_listed_path_is_the_real_one() -> None:
    found = ownership(**{"/lib": "usr/lib", "/usr/lib/libdemo.so.1": b""})
    assert found.owner("/usr/lib/libdemo.so.1") == LIBRARY


def test_without_a_merged_usr_it_is_not() -> None:
    assert ownership().owner("/usr/lib/libdemo.so.1") is None


def test_a_diverted_file_is_where_it_was_moved_to() -> None:
    diversions = b"/usr/bin/demo\n/usr/bin/demo.distrib\nshadow-demo\n"
    found = ownership(**{"/var/lib/dpkg/diversions": diversions})
    assert found.owner("/usr/bin/demo.distrib") == LIBRARY
    diverter = found.owner("/usr/bin/demo")
    assert diverter is not None
    assert diverter.name == "shadow-demo"


def test_at_a_local_diversion_lies_nobodys_file() -> None:
    found = ownership(**{"/var/lib/dpkg/diversions": b"/lib/libdemo.so.1\n/lib/old\n:\n"})
    assert found.owner("/lib/libdemo.so.1") is None
    assert found.owner("/lib/old") == LIBRARY


def test_distroless_keeps_a_status_and_checksums_for_each_package() -> None:
    found = read_ownership(
        filesystem(
            {
                "/var/lib/dpkg/status.d/libdemo1": b"Package: libdemo1\nVersion: 2\nArchitecture: amd64\n",
                "/var/lib/dpkg/status.d/libdemo1.md5sums": b"d41d8cd98f00  usr/lib/libdemo.so.1\n",
            }
        )
    )
    assert str(found.owner("/usr/lib/libdemo.so.1")) == "libdemo1 2 (dpkg)"


SHARED = {
    f"{INFO}/shadow-demo.list": b"/usr/bin/demo\n/usr/bin/demo\n/lib/libdemo.so.1\n/etc/ld.so.d/x\n",
    "/var/lib/dpkg/diversions": b"/usr/bin/demo\n/usr/bin/demo.distrib\nshadow-demo\n",
    "/usr/bin/demo": b"#!/bin/sh\n",
    "/lib/libdemo.so.1": b"#!/bin/sh\n",
}


def owners(found: Ownership, paths: Iterable[str]) -> list[Package | None]:
    return [found.owner(path) for path in paths]


def test_owners_are_the_same_whether_lists_are_read_when_asked_for_or_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    late = ownership(**SHARED)
    monkeypatch.setattr("imagescan.packages.ownership.fits", lambda _: False)
    at_once = ownership(**SHARED)
    assert isinstance(late._owners, LateOwners) and isinstance(at_once._owners, PathTable)
    asked = [
        "/usr/bin/demo",
        "/lib/libdemo.so.1",
        "/usr/bin/demo.distrib",
        "/etc/ld.so.d/x",
        "/etc/gone",
        "/.",
    ]
    assert owners(late, asked) == owners(at_once, asked) != [None] * len(asked)
    assert [*map(late.bringing, ("libdemo.so.1", "x", "demo"))] == [
        *map(at_once.bringing, ("libdemo.so.1", "x", "demo"))
    ]
    assert (late.packages, late.unread) == (at_once.packages, at_once.unread)


@pytest.mark.parametrize("limit", ["MAXIMUM_PATHS", "MAXIMUM_PATH_CHARACTERS"])
def test_lists_that_may_be_too_long_are_read_at_once(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(paths, limit, 3)
    assert "more files" in ownership().unread[0].reason


USUAL = STATUS.decode()


@pytest.mark.parametrize(
    "text",
    [
        USUAL,
        USUAL.replace("\n\n", "\n\n\n# a comment\n\n"),
        USUAL.replace("\n\n", "\n \t\n"),
        USUAL.replace("\n\n", "\n\x1c\n\n"),
        USUAL.replace("Version: 2\n", "Version: 2\nVersion: 3\nPackage: other"),
        USUAL.replace("Status: install ok installed\n", "status: x\n Package: y\n"),
        f"\n\n {USUAL}",
        f": odd\n\n{USUAL}",
        f"{USUAL}\nno field",
        f"{USUAL}\n\nno field\nPackage: z\n",
        "",
    ],
)
def test_a_status_is_read_by_paragraphs_as_it_is_read_by_lines(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    quick = outcome(text)
    monkeypatch.setattr(dpkg, "_paragraphs", lambda data: dpkg._read_lines(data.decode()))
    assert quick == outcome(text)


def outcome(text: str) -> tuple[list[Package], str]:
    packages: list[Package] = []
    try:
        packages.extend(dpkg.read_status(text.encode()))
    except DamagedDatabase as error:
        return packages, error.message
    return packages, ""


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("/var/lib/dpkg/status", b"Package: a\nVersion: 1\n\nno field\n"),
        ("/var/lib/dpkg/status", b"Package: a\nVersion: 1\n\nPackage: b\n"),
        ("/var/lib/dpkg/diversions", b"/a\n/b\n"),
    ],
)
def test_damage_is_told_and_what_came_before_it_is_kept(path: str, data: bytes) -> None:
    found = ownership(**{path: data})
    assert [one.path for one in found.unread] == [path]
    assert found.packages


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["bullseye", "bookworm", "trixie"])
def test_owners_are_those_that_dpkg_names(name: str) -> None:
    require_tool("dpkg-query", "dpkg")
    directory = root(name)
    (result,) = scan(f"dir:{directory}", ScanOptions(entrypoint=("bash",)))
    found = result._facts.ownership
    query = ["dpkg-query", f"--admindir={directory}/var/lib/dpkg"]
    listed = subprocess.run(
        [*query, "-W", "-f=${Package} ${Version} ${Architecture} ${source:Package}\n"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    ours = {f"{one.name} {one.version} {one.architecture} {one.source}" for one in found.packages}
    assert ours == set(listed.splitlines())
    objects = [one.path for one in result._facts.objects if not one.path.startswith(INFO)]
    owners = {path: found.owner(path) for path in objects}
    assert {path for path, owner in owners.items() if owner is None} == set()
    merged = (directory / "lib").is_symlink()
    for path in objects[::7]:
        asked = [path, path.removeprefix("/usr")] if merged else [path]
        answer = subprocess.run([*query, "-S", *asked], capture_output=True, text=True).stdout
        owner = owners[path]
        assert owner is not None
        assert owner.name in {line.split(":")[0] for line in answer.splitlines() if "diversion" not in line}
