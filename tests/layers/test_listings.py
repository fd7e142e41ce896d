"""The index against independent readers: tarfile, GNU tar and bsdtar list the same entries."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagescan.layers.values import EntryKind
from tests.layers.tars import KeepNothing, index
from tests.requirements import require_root, require_tool

NAMES = st.text(
    st.characters(
        min_codepoint=1, max_codepoint=0x2FFF, exclude_characters="/\x7f", exclude_categories=("Cs", "Cc")
    ),
    min_size=1,
    max_size=60,
).filter(lambda name: name not in (".", "..") and not name.startswith(".wh.") and len(name.encode()) < 250)
KINDS = {
    tarfile.REGTYPE: EntryKind.FILE,
    tarfile.AREGTYPE: EntryKind.FILE,
    tarfile.LNKTYPE: EntryKind.FILE,
    tarfile.DIRTYPE: EntryKind.DIRECTORY,
    tarfile.SYMTYPE: EntryKind.SYMLINK,
    tarfile.FIFOTYPE: EntryKind.FIFO,
    tarfile.CHRTYPE: EntryKind.CHARACTER_DEVICE,
    tarfile.GNUTYPE_SPARSE: EntryKind.FILE,
}


@st.composite
def trees(draw):
    """Paths with their kind, parents first; every path once."""
    directories = [""]
    entries = []
    for name, parent, kind in draw(
        st.lists(
            st.tuples(NAMES, st.integers(0, 50), st.sampled_from("dddffffffslp")), min_size=1, max_size=25
        )
    ):
        path = directories[parent % len(directories)] + name
        if any(path == taken for taken, _, _ in entries) or len(path) > 700:
            continue
        if kind == "d":
            directories.append(path + "/")
        earlier = [taken for taken, what, _ in entries if what == "f"]
        if kind == "l" and not earlier:
            continue
        detail = (
            earlier[parent % len(earlier)]
            if kind == "l"
            else "x" * (parent * 37)
            if kind == "f"
            else "t/" * 70
        )
        entries.append((path, kind, detail))
    return entries


def same(found, listed: list[tarfile.TarInfo]) -> None:
    by_path = {entry.path: entry for entry in found.entries() if not entry.implicit}
    assert set(by_path) - {""} == {info.name.removeprefix("./") for info in listed} - {".", ""}
    for info in listed:
        path = "" if info.name == "." else info.name.removeprefix("./")
        entry = by_path[path]
        assert entry.kind is KINDS[info.type], path
        assert (entry.uid, entry.gid) == (info.uid, info.gid)
        if info.type == tarfile.SYMTYPE:
            assert entry.target == info.linkname
        elif info.type == tarfile.LNKTYPE:
            target = by_path.get(info.linkname.removeprefix("./"))
            if target is None:  # GNU tar cuts a link's name that ustar has no room for
                assert entry.hard_link == info.linkname.removeprefix("./")
                continue
            assert (entry.serial, entry.size, entry.mode) == (target.serial, target.size, target.mode)
        else:
            assert (entry.size, entry.mode) == (info.size, info.mode & 0o7777)


def listing(data: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape", encoding="utf-8") as reader:
        return reader.getmembers()


@settings(max_examples=100, deadline=None)
@given(trees(), st.sampled_from((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)), st.integers(0, 2**33))
def test_what_tarfile_writes(entries, form, uid):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form, encoding="utf-8") as writer:
        for path, kind, detail in entries:
            info = tarfile.TarInfo(path)
            info.uid, info.gid, info.mtime = uid, uid // 3, 1.5 if form == tarfile.PAX_FORMAT else 1
            info.type = {"d": b"5", "f": b"0", "s": b"2", "l": b"1", "p": b"6"}[kind]
            info.linkname = detail if kind in "sl" else ""
            info.size = len(detail) if kind == "f" else 0
            writer.addfile(info, io.BytesIO(detail.encode()) if kind == "f" else None)
    same(index(stream.getvalue()), listing(stream.getvalue()))


COMMANDS = {
    "tar gnu": ["tar", "--format=gnu"],
    "tar pax": ["tar", "--format=pax", "--sparse"],
    "tar posix xattrs": ["tar", "--format=posix", "--xattrs"],
    "tar ustar": ["tar", "--format=ustar"],
    "tar v7": ["tar", "--format=v7"],
    "bsdtar pax": ["bsdtar", "--format=pax"],
    "bsdtar restricted": ["bsdtar", "--format=paxr"],
    "bsdtar gnu": ["bsdtar", "--format=gnutar"],
    "bsdtar ustar": ["bsdtar", "--format=ustar"],
}


@pytest.mark.oracle
@pytest.mark.parametrize("name", COMMANDS)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=trees())
def test_what_tar_and_bsdtar_write_of_a_real_tree(name, entries, tmp_path_factory):
    command = COMMANDS[name]
    require_tool(command[0], "libarchive-tools" if command[0] == "bsdtar" else "")
    root = tmp_path_factory.mktemp("tree")
    for path, kind, detail in entries:
        target = root / path
        if kind == "d":
            target.mkdir()
        elif kind == "f":
            target.write_text(detail)
        elif kind == "s":
            target.symlink_to(detail)
        elif kind == "l":
            os.link(root / detail, target)
        else:
            os.mkfifo(target)
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run([*command, "-C", str(root), "-cf", "-", "."], capture_output=True, env=environment)
    data = done.stdout  # ustar and v7 leave out what does not fit, and say so
    same(index(data), listing(data))


@pytest.mark.oracle
def test_a_real_root_file_system_is_listed_as_gnu_tar_and_bsdtar_list_it(tmp_path):
    require_root()
    require_tool("mmdebstrap")
    require_tool("bsdtar", "libarchive-tools")
    path = tmp_path / "root.tar"
    subprocess.run(
        ["mmdebstrap", "--variant=extract", "--include=base-files,bash,passwd", "bookworm", str(path)],
        check=True, capture_output=True,
    )  # fmt: skip
    data = path.read_bytes()
    found = index(data, inspector=KeepNothing(), pipelined=True)
    same(found, listing(data))
    ours = sorted(entry.path for entry in found.entries() if entry.path and not entry.implicit)
    for command in (["tar", "--quoting-style=literal", "-tf"], ["bsdtar", "-tf"]):
        lines = (
            subprocess.run([*command, str(path)], check=True, capture_output=True)
            .stdout.decode()
            .splitlines()
        )
        assert sorted({line.removeprefix("./").rstrip("/") for line in lines} - {""}) == ours
