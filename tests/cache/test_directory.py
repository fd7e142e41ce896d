"""The cache's directory under real circumstances: full and read-only disks, other users, links, two
processes at once. Whatever happens, a scan gives its answer."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagescan.cache.directory import MARKER, UNFINISHED_SECONDS, CacheDirectory, Unusable
from imagescan.cache.pruning import prune
from samples.oci import File
from tests.cache.images import CachedScans, base_layer, layout, program_layer
from tests.requirements import require_root, require_tool

NOBODY = 65534


def mount(directory: Path, *options: str) -> None:
    directory.mkdir(exist_ok=True)
    subprocess.run([require_tool("mount"), *options, directory], check=True)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for a few small files."""
    require_root()
    directory = tmp_path / "disk"
    mount(directory, "-t", "tmpfs", "-o", "size=16k,mode=700", "tmpfs")
    yield directory
    subprocess.run(["umount", "--lazy", directory], check=True)


def cold(image: str, tmp_path: Path) -> object:
    return CachedScans(tmp_path / "elsewhere")(image).report.findings


def test_a_full_disk_is_one_warning_and_the_scan_goes_on(tmp_path: Path, tiny_disk: Path) -> None:
    image = layout(tmp_path / "image")
    scans = CachedScans(tiny_disk / "cache")
    assert scans(image).report.findings == cold(image, tmp_path)
    assert len(scans.warnings) == 1
    assert "No space left on device" in scans.warnings[0]
    assert scans(image).report.findings == cold(image, tmp_path)
    assert not [path for path in tiny_disk.rglob(".unfinished*") if path.is_file()]


def test_a_read_only_directory_is_one_warning_but_still_read(tmp_path: Path) -> None:
    require_root()
    image = layout(tmp_path / "image")
    writable = CachedScans(tmp_path / "disk" / "cache")
    answer = writable(image).report
    mount(tmp_path / "disk", "--bind", str(tmp_path / "disk"))
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", tmp_path / "disk"], check=True)
        scans = CachedScans(tmp_path / "disk" / "cache")
        assert scans(image).report == answer
        assert (scans.answered, scans.warnings) == (True, [])
        other = layout(tmp_path / "other", base_layer(), program_layer("libx.so.1"))
        scans(other)
        assert scans.known_layers == 1
        assert len(scans.warnings) == 1
        assert "Read-only file system" in scans.warnings[0]
    finally:
        subprocess.run(["umount", "--lazy", tmp_path / "disk"], check=True)


def test_a_directory_that_cannot_be_made_is_one_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    scans = CachedScans(tmp_path / "file" / "cache")
    assert scans(layout(tmp_path / "image")).report.findings
    assert len(scans.warnings) == 1


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_directory_that_others_may_write_to_is_not_used(tmp_path: Path, mode: int) -> None:
    directory = tmp_path / "cache"
    directory.mkdir()
    directory.chmod(mode)
    scans = CachedScans(directory)
    assert scans(layout(tmp_path / "image")).report.findings
    assert "other users may write to it" in scans.warnings[0]
    assert list(directory.iterdir()) == []


def test_another_user_s_directory_is_not_used(tmp_path: Path) -> None:
    require_root()
    directory = tmp_path / "cache"
    directory.mkdir(mode=0o700)
    os.chown(directory, NOBODY, NOBODY)
    scans = CachedScans(directory)
    assert scans(layout(tmp_path / "image")).report.findings
    assert "belongs to another user" in scans.warnings[0]
    assert list(directory.iterdir()) == []


def test_another_user_s_file_is_not_believed(tmp_path: Path) -> None:
    require_root()
    image = layout(tmp_path / "image")
    scans = CachedScans(tmp_path / "cache")
    answer = scans(image).report
    for kind in ("layers", "answers"):
        for file in scans.files(kind):
            os.chown(file, NOBODY, NOBODY)
    assert scans(image).report == answer
    assert (scans.known_layers, scans.answered) == (0, False)


def test_a_link_in_place_of_the_directory_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir(mode=0o700)
    (tmp_path / "cache").symlink_to(tmp_path / "target")
    scans = CachedScans(tmp_path / "cache")
    assert scans(layout(tmp_path / "image")).report.findings
    assert "symbolic link" in scans.warnings[0]
    assert list((tmp_path / "target").iterdir()) == []


def test_a_link_in_place_of_a_part_or_a_file_is_not_followed(tmp_path: Path) -> None:
    image = layout(tmp_path / "image")
    scans = CachedScans(tmp_path / "cache")
    answer = scans(image).report
    stolen = tmp_path / "stolen"
    stolen.mkdir()
    for file in scans.files("answers"):
        shutil.move(file, stolen / file.name)
        file.symlink_to(stolen / file.name)
    assert scans(image).report == answer
    assert not scans.answered
    shutil.rmtree(scans.directory / "layers")
    (scans.directory / "layers").symlink_to(stolen)
    before = sorted(stolen.iterdir())
    assert scans(image, variables=("A=b",)).report.findings
    assert sorted(stolen.iterdir()) == before


def test_only_the_user_can_read_what_is_kept(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        scans = CachedScans(tmp_path / "cache")
        scans(layout(tmp_path / "image"))
    finally:
        os.umask(previous)
    for path in (scans.directory, *scans.directory.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path
    assert (scans.directory / MARKER).read_bytes().startswith(b"Signature: 8a477f597d28d172789f06886806bc55")


SCAN = "import sys; from imagescan.cli.main import run_process; sys.exit(run_process(sys.argv[1:]))"


def process(image: str, cache: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", SCAN, image, "-o", "json", "--cache-dir", str(cache), "-v"]
    environment = {**os.environ, "IMAGESCAN_NO_CACHE": "0"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)


def test_processes_at_once_all_give_the_same_answer_and_leave_a_sound_cache(tmp_path: Path) -> None:
    image = layout(tmp_path / "image")
    running = [process(image, tmp_path / "cache") for _ in range(4)]
    results = [(one.communicate(), one.returncode) for one in running]
    assert len({output for (output, _), _ in results}) == 1
    assert {code for _, code in results} == {1}
    assert not any(b"warning" in errors for (_, errors), _ in results)
    scans = CachedScans(tmp_path / "cache")
    scans(image)
    assert scans.answered
    scans(image, variables=("A=b",))
    assert scans.known_layers == 2
    assert not list(scans.directory.rglob(".unfinished*"))


def test_a_process_that_is_killed_while_it_writes_leaves_nothing_that_is_believed(tmp_path: Path) -> None:
    noise = {
        f"opt/{number}": File(b"#!/bin/sh\n" + os.urandom(20_000).hex().encode()) for number in range(120)
    }
    image = layout(tmp_path / "image", base_layer(), program_layer(), noise)
    answer = CachedScans(tmp_path / "other")(image).report
    for delay in (0.25, 0.3, 0.35, 0.4, 0.5):
        one = process(image, tmp_path / "cache")
        time.sleep(delay)
        one.send_signal(signal.SIGKILL)
        one.communicate()
    scans = CachedScans(tmp_path / "cache")
    assert scans(image).report == answer
    assert not any("dropped" in text for text in scans.details)


def test_what_a_dead_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    scans = CachedScans(tmp_path / "cache")
    scans(layout(tmp_path / "image"))
    old, new = (scans.directory / "layers" / f".unfinished-{name}" for name in ("1-aa", "2-bb"))
    old.write_bytes(b"x" * 100_000)
    new.write_bytes(b"x" * 100_000)
    past = time.time() - UNFINISHED_SECONDS - 60
    os.utime(old, (past, past))
    directory = CacheDirectory(scans.directory)
    pruned = prune(directory, 1 << 30, 30)
    assert (pruned.removed, old.exists(), new.exists()) == (1, False, True)
    prune(directory, 0, 30)
    assert new.exists()
    directory.close()


def test_files_that_have_no_place_in_the_cache_are_never_removed(tmp_path: Path) -> None:
    scans = CachedScans(tmp_path / "cache")
    scans(layout(tmp_path / "image"))
    mine = [
        scans.directory / "notes.txt",
        scans.directory / "layers" / "UPPER CASE",
        scans.directory / "mine" / "x",
    ]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    directory = CacheDirectory(scans.directory)
    prune(directory, 0, 0)
    directory.close()
    assert all(path.read_text() == "mine" for path in mine)
    assert list((scans.directory / "answers").iterdir()) == []


def test_looking_into_a_cache_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(Unusable):
        CacheDirectory(tmp_path / "cache", create=False)
    assert not (tmp_path / "cache").exists()
