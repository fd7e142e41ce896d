"""A root directory becomes the layer that GNU tar would make of it, and nothing of the host with it."""

from __future__ import annotations

import io
import os
import shutil
import socket
import stat
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest

from imagescan.errors import LimitExceeded, NotFound, SourceError
from imagescan.reference import Platform
from imagescan.sources import root_tar
from imagescan.sources.directory import DirectorySource
from imagescan.sources.root_tar import pseudo_mounts
from tests.requirements import require_root, require_tool
from tests.system import as_nobody


def layer(root: Path) -> bytes:
    with DirectorySource(root) as source:
        (image,) = source.images(None)
        return source.open_layer(image, image.layers[0]).read()


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name: member for member in archive}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small tree with every kind of entry that needs no privilege."""
    root = tmp_path / "root"
    (root / "usr/bin").mkdir(parents=True)
    shutil.copy("/bin/true", root / "usr/bin/true")
    os.link(root / "usr/bin/true", root / "usr/bin/zz")
    (root / "bin").symlink_to("usr/bin")
    (root / "escape").symlink_to("/etc/passwd")
    (root / ("long" * 60)).write_bytes(b"x" * 1000)
    (root / os.fsdecode(b"not-utf8-\xff")).write_bytes(b"")
    os.mkfifo(root / "fifo")
    os.chmod(root / "usr/bin/true", 0o4755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
    return root


def test_every_entry_is_there_with_its_kind_and_nothing_else(root: Path) -> None:
    found = members(layer(root))
    assert set(found) == {
        ".", "usr", "usr/bin", "usr/bin/true", "usr/bin/zz", "bin", "escape", "long" * 60,
        os.fsdecode(b"not-utf8-\xff"), "fifo",
    }  # fmt: skip
    assert found["escape"].issym() and found["escape"].linkname == "/etc/passwd"
    assert found["fifo"].isfifo()
    assert found["usr/bin/true"].mode == 0o4755
    assert found["usr/bin/zz"].islnk() and found["usr/bin/zz"].linkname == "usr/bin/true"


@pytest.mark.oracle
def test_gnu_tar_unpacks_what_was_packed(root: Path, tmp_path: Path) -> None:
    require_tool("tar")
    copy = tmp_path / "copy"
    copy.mkdir()
    subprocess.run(["tar", "-xpf", "-", "-C", copy], input=layer(root), check=True)

    def listing(top: Path) -> list[tuple[str, int, int, bytes]]:
        found = []
        for path in sorted(top.rglob("*")):
            status = path.lstat()
            if stat.S_ISSOCK(status.st_mode):
                continue
            content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
            content = os.fsencode(path.readlink()) if path.is_symlink() else content
            found.append((str(path.relative_to(top)), status.st_mode, status.st_uid, content))
        return found

    assert listing(copy) == listing(root)
    assert (copy / "usr/bin/true").stat().st_ino == (copy / "usr/bin/zz").stat().st_ino


def test_the_same_tree_gives_the_same_bytes(root: Path) -> None:
    assert layer(root) == layer(root)


def test_the_stream_can_be_read_in_any_portions(root: Path) -> None:
    with DirectorySource(root) as source:
        (image,) = source.images(None)
        stream = source.open_layer(image, image.layers[0])
        pieces = []
        buffer = bytearray(777)
        while count := stream.readinto(buffer):  # type: ignore[attr-defined]
            pieces.append(bytes(buffer[:count]))
    assert b"".join(pieces) == layer(root)


@pytest.mark.oracle
def test_file_capabilities_and_devices_are_kept(tmp_path: Path) -> None:
    require_root()
    setcap = require_tool("setcap", "libcap2-bin")
    shutil.copy("/bin/true", tmp_path / "ping")
    subprocess.run([setcap, "cap_net_raw+ep", tmp_path / "ping"], check=True)
    os.mknod(tmp_path / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    found = members(layer(tmp_path))
    raw = found["ping"].pax_headers["SCHILY.xattr.security.capability"].encode("utf-8", "surrogateescape")
    assert raw == os.getxattr(tmp_path / "ping", "security.capability")
    assert found["null"].ischr() and (found["null"].devmajor, found["null"].devminor) == (1, 3)


def test_the_platform_is_the_one_wanted_or_this_machine_s(root: Path) -> None:
    with DirectorySource(root) as source:
        assert source.images(None)[0].platform == Platform.host()
        assert source.images("all")[0].platform == Platform.host()
        assert str(source.images(Platform.parse("linux/s390x"))[0].platform) == "linux/s390x"


def test_an_empty_or_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="the directory is empty"), DirectorySource(tmp_path) as source:
        source.images(None)
    with pytest.raises(NotFound, match="no such file or directory"):
        DirectorySource(tmp_path / "nothing")
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match="not a directory"):
        DirectorySource(tmp_path / "file")


def test_a_file_that_may_not_be_read_is_an_error_that_names_it(root: Path) -> None:
    (root / "usr/bin/true").chmod(0)
    with DirectorySource(root) as source:
        (image,) = source.images(None)
        said = as_nobody(lambda: source.open_layer(image, image.layers[0]).read())
    assert said.startswith("SourceError")
    assert "usr/bin/true: permission denied" in said


def test_a_file_that_shrinks_while_it_is_read_is_an_error(root: Path) -> None:
    (root / "big").write_bytes(b"x" * 3_000_000)
    with DirectorySource(root) as source:
        (image,) = source.images(None)
        stream = source.open_layer(image, image.layers[0])
        stream.read(200_000)
        os.truncate(root / "big", 0)
        with pytest.raises(SourceError, match="big: the file became shorter"):
            stream.read()


def test_directories_are_nested_only_so_deep(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(root_tar, "DEPTH_LIMIT", 2)
    with pytest.raises(LimitExceeded, match="nested more than 2 deep"):
        layer(root)


def test_no_descriptor_stays_open_when_reading_stops_midway(root: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        with DirectorySource(root) as source:
            (image,) = source.images(None)
            with source.open_layer(image, image.layers[0]) as stream:
                stream.read(1500)
    assert len(os.listdir("/proc/self/fd")) == before


def test_several_threads_read_the_tree_at_once(root: Path) -> None:
    expected = layer(root)
    found: list[bytes] = []
    with DirectorySource(root) as source:
        (image,) = source.images(None)
        threads = [
            threading.Thread(target=lambda: found.append(source.open_layer(image, image.layers[0]).read()))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [expected] * 4


def test_the_kernel_s_own_file_systems_are_not_part_of_an_image() -> None:
    assert {"proc", "sys"} <= pseudo_mounts(Path("/"))
    assert pseudo_mounts(Path("/usr")) == frozenset()
