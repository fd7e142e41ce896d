"""Path resolution beside what the kernel itself is asked in ``test_kernel``: trails and reasons."""

from __future__ import annotations

import pytest

from imagescan.filesystem.values import MAXIMUM_SYMLINKS, Credentials, Hop, PathError
from tests.filesystem.stacks import merged
from tests.layers.tars import directory, file, symlink


@pytest.fixture(scope="module")
def view():
    return merged(
        [
            directory(b"usr"), directory(b"usr/lib"), file(b"usr/lib/libz.so.1.2", b"z"),
            symlink(b"usr/lib/libz.so.1", b"libz.so.1.2"), symlink(b"lib", b"usr/lib"),
            symlink(b"loop", b"loop"), symlink(b"dangling", b"/nowhere/at/all"),
            symlink(b"up", b"../../../usr"),
            directory(b"closed", mode=0o700), file(b"closed/x"), directory(b"opt"),
        ],
        [symlink(b"lib64", b"/lib"), symlink(b"escape", b"../../../../etc/passwd")],
    )  # fmt: skip


def test_hops_have_the_links_in_order_with_their_layers(view):
    found = view.resolve("/lib64/libz.so.1")
    assert found.entry.path == "/usr/lib/libz.so.1.2"
    assert found.hops == (
        Hop("/lib64", "/lib", 1), Hop("/lib", "usr/lib", 0), Hop("/usr/lib/libz.so.1", "libz.so.1.2", 0)
    )  # fmt: skip
    assert view.resolve("/lib64/libz.so.1") == found
    assert view.resolve("/lib64/libz.so.1", who=Credentials(1000, (1000,))) == found


def test_the_last_link_is_kept_when_it_is_not_followed(view):
    found = view.resolve("/lib64/libz.so.1", follow=False)
    assert found.entry.path == "/usr/lib/libz.so.1"
    assert len(found.hops) == 2


@pytest.mark.parametrize(
    ("path", "error", "stopped_at"),
    [
        ("/usr/bin/x", PathError.ENOENT, "/usr/bin"),
        ("/lib/missing", PathError.ENOENT, "/usr/lib/missing"),
        ("/dangling", PathError.ENOENT, "/nowhere"),
        ("/lib/libz.so.1/x", PathError.ENOTDIR, "/usr/lib/libz.so.1.2"),
        ("/lib/libz.so.1/", PathError.ENOTDIR, "/usr/lib/libz.so.1.2"),
        ("/loop", PathError.ELOOP, "/loop"),
        ("/loop/x", PathError.ELOOP, "/loop"),
        ("/usr/" + "n" * 256, PathError.ENAMETOOLONG, "/usr/" + "n" * 256),
        ("/" + "x/" * 2048, PathError.ENAMETOOLONG, ""),
        ("", PathError.ENOENT, ""),
        ("/usr\0/lib", PathError.ENOENT, ""),
    ],
)
def test_an_error_says_where_the_walk_stopped(view, path, error, stopped_at):
    found = view.resolve(path)
    assert (found.entry, found.error, found.stopped_at) == (None, error, stopped_at)
    assert found.requested == path


def test_a_circle_ends_after_forty_links(view):
    assert len(view.resolve("/loop").hops) == MAXIMUM_SYMLINKS


def test_nothing_leads_out_of_the_image(view):
    """Neither ``..`` nor a link reaches a file of this machine, whatever it has there."""
    assert view.resolve("/../../../..").entry.path == "/"
    assert view.resolve("/up/lib").entry.path == "/usr/lib"
    assert view.resolve("/escape").stopped_at == "/etc"
    for path in ("/proc/self/exe", "/etc/passwd", "/../etc/passwd", "/dev/null"):
        assert view.resolve(path).error is PathError.ENOENT


def test_a_relative_path_starts_at_the_directory(view):
    assert view.resolve("libz.so.1", directory="/lib64").entry.path == "/usr/lib/libz.so.1.2"
    assert view.resolve("../lib/libz.so.1", directory="/opt").hops[0].link == "/lib"
    assert view.resolve("/opt", directory="/lib").entry.path == "/opt"
    assert view.resolve("usr").entry.path == "/usr"
    assert view.resolve("x", directory="/missing").error is PathError.ENOENT
    assert view.resolve("x", directory="/lib/libz.so.1").error is PathError.ENOTDIR


def test_without_credentials_no_directory_is_closed(view):
    assert view.resolve("/closed/x").entry
    found = view.resolve("/closed/x", who=Credentials(1000, (1000,)))
    assert (found.error, found.stopped_at) == (PathError.EACCES, "/closed")


def test_children_of_what_is_no_directory_are_none(view):
    assert view.children("/lib") == view.children("/missing") == view.children("/closed/x") == ()
    assert view.children("/") == (
        "closed", "dangling", "escape", "lib", "lib64", "loop", "opt", "up", "usr"
    )  # fmt: skip
