"""The merged view against the kernel's own: overlayfs for the tree, openat2 for resolution."""

from __future__ import annotations

import ctypes
import errno
import os
import random
import stat
import subprocess
from pathlib import Path

import pytest

from imagescan.filesystem.values import Credentials, PathError
from tests.filesystem.stacks import listing_of_view, merged, random_layer, tar_parts
from tests.requirements import require, require_root

pytestmark = pytest.mark.oracle

STACKS = 300
RESOLVE_IN_ROOT = 0x10
O_PATH, O_NOFOLLOW, O_DIRECTORY = 0o10000000, 0o400000, 0o200000
KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
}


class OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_in_root(root: int, path: str, *, follow: bool) -> int:
    """openat2(2) with the directory as root; a descriptor, or minus the errno."""
    how = OpenHow(O_PATH | (0 if follow else O_NOFOLLOW), 0, RESOLVE_IN_ROOT)
    libc = ctypes.CDLL(None, use_errno=True)
    while True:
        found = libc.syscall(437, root, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how))
        if found >= 0:
            return found
        if ctypes.get_errno() != errno.EAGAIN:  # `..` beside a rename or mount elsewhere: ask again
            return -ctypes.get_errno()


def write_lower(root: Path, changes) -> None:
    """A layer as overlayfs stores it: whiteouts are devices 0/0, opaque directories have an xattr."""
    root.mkdir()
    whiteouts = [path for action, path, _ in changes if action == "whiteout"]
    for action, path, detail in changes:
        target = root / path
        if action == "directory":
            target.mkdir()
            if path in whiteouts:
                os.setxattr(target, "trusted.overlay.opaque", b"y")
        elif action == "file":
            target.write_text(detail)
        elif action == "symlink":
            target.symlink_to(detail)
        elif action == "fifo":
            os.mkfifo(target)
        elif action == "opaque":
            os.setxattr(target, "trusted.overlay.opaque", b"y")
    for path in whiteouts:
        if not os.path.lexists(root / path):
            os.mknod(root / path, stat.S_IFCHR, os.makedev(0, 0))


@pytest.fixture
def overlay(tmp_path):
    """Mounts layers' changes; the base first, as the view has them."""
    require_root()
    mounted: list[Path] = []

    def mount(stack) -> Path:
        work = tmp_path / str(len(mounted))
        work.mkdir()
        for number, changes in enumerate(stack):
            write_lower(work / f"l{number}", changes)
        (work / "empty").mkdir()
        (work / "merged").mkdir()
        # overlayfs does not ask whether the root is opaque: then what is below it is left out
        base = max((n for n, changes in enumerate(stack) if ("opaque", "", "") in changes), default=0)
        lowers = [f"l{number}" for number in reversed(range(base, len(stack)))] + ["empty"]
        command = ["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={':'.join(lowers)}", "merged"]
        done = subprocess.run(command, cwd=work, capture_output=True, text=True)
        require(done.returncode == 0, f"overlayfs cannot be mounted here: {done.stderr.strip()}")
        mounted.append(work / "merged")
        return work / "merged"

    yield mount
    for path in mounted:
        subprocess.run(["umount", str(path)], check=True)


def visible(directory: str, names: list[str]) -> list[str]:
    """Names that can be looked up: a whiteout in a directory of a single layer is only listed."""
    return [name for name in names if os.path.lexists(os.path.join(directory, name))]


def kernel_listing(root: Path) -> dict[str, tuple[str, str]]:
    found = {}
    for directory, directories, files in os.walk(root):
        for name in visible(directory, directories + files):
            path = Path(directory, name)
            kind = KINDS[stat.S_IFMT(path.lstat().st_mode)]
            detail = os.readlink(path) if kind == "symlink" else path.read_text() if kind == "file" else ""
            found["/" + str(path.relative_to(root))] = (kind, detail)
    return found


def random_paths(rng: random.Random, count: int):
    for _ in range(count):
        parts = [
            rng.choice(("a", "b", "c", "d", "a", "b", "..", ".", "")) for _ in range(rng.randrange(1, 6))
        ]
        yield rng.choice(("/", "")) + "/".join(parts) + rng.choice(("", "", "/", "/."))


@pytest.mark.parametrize("seed", range(STACKS))
def test_tree_and_resolution_are_the_kernels(seed, overlay):
    rng = random.Random(seed)
    stack = [random_layer(rng, number) for number in range(rng.randrange(1, 6))]
    root = overlay(stack)
    view = merged(*(tar_parts(changes) for changes in stack))
    assert listing_of_view(view) == kernel_listing(root)
    for directory, names, files in os.walk(root):
        assert view.children(directory.removeprefix(str(root)) or "/") == tuple(
            sorted(visible(directory, names + files))
        )
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for path in random_paths(rng, 60):
            for follow in (True, False):
                compare(view, root, descriptor, path, follow)
    finally:
        os.close(descriptor)


def compare(view, root: Path, descriptor: int, path: str, follow: bool) -> None:
    expected = open_in_root(descriptor, path, follow=follow)
    found = view.resolve(path, follow=follow)
    if expected < 0:
        assert found.entry is None, (path, found)
        assert found.error.name == errno.errorcode[-expected], (path, found)
        return
    try:
        real = os.readlink(f"/proc/self/fd/{expected}").removeprefix(str(root)) or "/"
    finally:
        os.close(expected)
    assert found.entry is not None, (path, real, found)
    assert found.entry.path == real


def test_forty_links_are_followed_and_no_more(overlay):
    chain = [("file", "f0", "end")] + [("symlink", f"f{n}", f"f{n - 1}") for n in range(1, 43)]
    chain += [("directory", "d0", ""), ("file", "d0/x", "x")]
    chain += [("symlink", f"d{n}", f"d{n - 1}") for n in range(1, 43)]
    root = overlay([chain])
    view = merged(tar_parts(chain))
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for number in range(38, 43):
        for path in (f"f{number}", f"/d{number}/x", f"d{number}/", f"/d20/../d{number - 20}/x"):
            compare(view, root, descriptor, path, True)
    os.close(descriptor)


def test_long_names_and_paths(overlay):
    tree = [
        ("directory", "d", ""),
        ("file", "d/" + "n" * 255, "x"),
        ("file", "f", "x"),
        ("symlink", "s", "d/" + "m" * 256),
    ]
    root = overlay([tree])
    view = merged(tar_parts(tree))
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for path in (
        "d/" + "n" * 255, "d/" + "n" * 256, "x/" + "n" * 256, "f/" + "n" * 256, "ü" * 127, "ü" * 128, "s",
        "d/" + "./" * 2046 + "d", "d/" + "./" * 2045 + "d", "/" * 4095, "/" * 4096,
    ):  # fmt: skip
        compare(view, root, descriptor, path, True)
    os.close(descriptor)


@pytest.mark.parametrize("mode", [0o000, 0o001, 0o010, 0o100, 0o711, 0o755, 0o644])
def test_search_permission_is_the_kernels(mode, tmp_path):
    """A child process with other credentials walks a real tree of the same modes."""
    require_root()
    from tests.layers.tars import directory, file, symlink

    base = tmp_path / "root"
    view = merged(
        [directory(b"./", 0o755), directory(b"d", mode, uid=1000, gid=2000),
         directory(b"d/e", 0o755), file(b"d/e/f"), symlink(b"s", b"d/e/f"), symlink(b"up", b"d/..")]
    )  # fmt: skip
    (base / "d" / "e").mkdir(parents=True)
    (base / "d" / "e" / "f").write_text("")
    (base / "s").symlink_to("d/e/f")
    (base / "up").symlink_to("d/..")
    base.chmod(0o755)
    (base / "d").chmod(mode)
    os.chown(base / "d", 1000, 2000)
    for who in (
        Credentials(0, (0,)),
        Credentials(1000, (5,)),
        Credentials(7, (7, 2000)),
        Credentials(7, (7,)),
    ):
        for path in ("d", "d/e/f", "s", "d/.", "d/..", "up", "d/missing", "d/e/"):
            found = view.resolve("/" + path, who=who)
            assert (found.error.name if found.error else "") == as_user(base, path, who), (path, who)
            if found.error is PathError.EACCES:
                assert found.stopped_at == "/d"


def as_user(base: Path, path: str, who: Credentials) -> str:
    """The errno of stat(2) as another user, or ""."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        answer = "crashed"
        try:
            os.chdir(base)
            os.setgroups(who.gids)
            os.setgid(who.gids[0])
            os.setuid(who.uid)
            answer = ""
            os.stat(path)
        except OSError as error:
            answer = errno.errorcode[error.errno]
        finally:
            os.write(writer, answer.encode())
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as answer:
        return answer.read()
