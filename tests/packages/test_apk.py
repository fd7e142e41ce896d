"""Owners by apk's database, in the form that apk-tools writes."""

from __future__ import annotations

import pytest

from imagescan.packages.ownership import read_ownership
from tests.packages.scene import filesystem

# As of Alpine 3.19: checksums, provides, directories with modes, files with checksums.
INSTALLED = b"""\
C:Q1hJ8NKJqgyAHF1BJpvLBGZ4FLpLI=
P:musl
V:1.2.4_git20230717-r4
A:x86_64
S:407278
I:667648
T:the musl c library (libc) implementation
o:musl
m:Timo Teras <timo.teras@iki.fi>
t:1705921330
p:so:libc.musl-x86_64.so.1=1
F:lib
R:ld-musl-x86_64.so.1
a:0:0:755
Z:Q1Jts5lYWTCbGFSGx5DThHdHoZkDM=
R:libc.musl-x86_64.so.1
a:0:0:777
Z:Q17yJ3JFNypA4mxhJJr0ou6CzsJVI=

P:libssl3
V:3.1.4-r5
A:x86_64
o:openssl
F:usr
F:usr/lib
R:libssl.so.3
Z:Q1abc=
F:
R:.rooted

"""


@pytest.mark.parametrize("path", ["/lib/apk/db/installed", "/usr/lib/apk/db/installed"])
def test_a_file_is_its_packages(path: str) -> None:
    found = read_ownership(filesystem({path: INSTALLED}))
    assert str(found.owner("/lib/ld-musl-x86_64.so.1")) == "musl 1.2.4_git20230717-r4 (apk)"
    library = found.owner("/usr/lib/libssl.so.3")
    assert library is not None
    assert (library.name, library.source, library.architecture) == ("libssl3", "openssl", "x86_64")
    assert found.owner("/.rooted") == library
    assert found.owner("/lib") is None
    assert found.unread == ()


def test_where_lib_is_a_link_the_listed_path_is_the_real_one() -> None:
    tree = {"/lib": "usr/lib", "/usr/lib/apk/db/installed": INSTALLED}
    found = read_ownership(filesystem(tree))
    assert found.owner("/usr/lib/ld-musl-x86_64.so.1") is not None
    assert len(found.packages) == 2


@pytest.mark.parametrize("data", [INSTALLED + b"\nnonsense\n", INSTALLED + b"\nP:half\n"])
def test_damage_is_told_and_what_came_before_it_is_kept(data: bytes) -> None:
    found = read_ownership(filesystem({"/lib/apk/db/installed": data}))
    assert [one.path for one in found.unread] == ["/lib/apk/db/installed"]
    assert len(found.packages) == 2


def test_a_directory_without_end_times_many_files_stays_small() -> None:
    data = b"P:a\nV:1\nF:" + b"d" * 1_000_000 + b"\n" + b"R:x\n" * 100_000
    found = read_ownership(filesystem({"/lib/apk/db/installed": data}))
    assert found.owner("/" + "d" * 1_000_000 + "/x") is None
