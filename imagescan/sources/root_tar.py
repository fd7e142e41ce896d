"""A root file system directory as the bytes of one layer, made while they are read.

An open directory enters; the pieces of a PAX tar leave: entries in the order of their names,
parents before children. Links are never followed, each directory is opened beneath its parent,
and only regular files are opened. Follows POSIX.1-2001 pax and, for file capabilities,
``SCHILY.xattr`` records as GNU tar and Docker write them.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path

from imagescan.dataclasses import dataclass, field
from imagescan.errors import LimitExceeded, SourceError
from imagescan.patterns import pattern
from imagescan.sources.host_files import host_error
from imagescan.sources.streams import READ_SIZE

DEPTH_LIMIT = 512
"""Directories nested in each other; each one that is being read holds a file descriptor."""

_CAPABILITY = "security.capability"
_PSEUDO_FILE_SYSTEMS = frozenset(
    (
        "autofs",
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "debugfs",
        "devpts",
        "devtmpfs",
        "fusectl",
        "hugetlbfs",
        "mqueue",
        "proc",
        "pstore",
        "securityfs",
        "sysfs",
        "tracefs",
    )
)
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OCTAL_ESCAPE = pattern(r"\\([0-7]{3})")
_TYPES = {
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
}


@dataclass(slots=True)
class _OpenDirectory:
    """A directory being read: its path below the root, and the names still to come, last first."""

    descriptor: int
    path: str
    names: list[str]


@dataclass(slots=True)
class RootTar:
    """Makes the tar of one root. ``root`` is the path that the user gave, for errors; nothing is
    opened by it. With ``copied_to`` (a path without slashes at its ends, may be empty) it is not a
    root but what COPY would put there: entries are root's, directories are left to the image, and
    those that it does not have come to be as parents do."""

    root: str
    pseudo: frozenset[str] = frozenset()
    copied_to: str | None = None
    _inodes: dict[tuple[int, int], str] = field(default_factory=dict)

    def pieces(self, descriptor: int) -> Generator[bytes, None, None]:
        """The tar of the directory that ``descriptor`` is open on, in pieces of up to 256 KiB.

        Sockets, which mean nothing in an image, and the content of kernel file systems
        (``/proc`` of a running system) are left out.

        Raises:
            SourceError: a file or directory cannot be read, or changed meanwhile.
            LimitExceeded: directories nested too deeply.
        """
        stack = [self._open(descriptor, ".", "")]
        try:
            if self.copied_to is None:
                yield _header(".", os.fstat(stack[0].descriptor), tarfile.DIRTYPE)
            while stack:
                current = stack[-1]
                if not current.names:
                    os.close(stack.pop().descriptor)
                    continue
                name = current.names.pop()
                path = f"{current.path}/{name}" if current.path else name
                status = os.stat(name, dir_fd=current.descriptor, follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    yield from self._file(current.descriptor, name, path)
                elif not stat.S_ISSOCK(status.st_mode):
                    yield from self._special(current.descriptor, name, path, status)
                if stat.S_ISDIR(status.st_mode) and path not in self.pseudo:
                    if len(stack) >= DEPTH_LIMIT:
                        raise LimitExceeded(
                            f"directories are nested more than {DEPTH_LIMIT} deep", where=self._where(path)
                        )
                    stack.append(self._open(current.descriptor, name, path))
            yield bytes(2 * tarfile.BLOCKSIZE)
        except OSError as error:
            raise host_error(error, self._where(error.filename or "")) from None
        finally:
            for directory in stack:
                os.close(directory.descriptor)

    def one_file(self, descriptor: int) -> Iterator[bytes]:
        """The tar of one open regular file, whose path there is ``copied_to``.

        Raises:
            SourceError: it changed while it was read.
        """
        try:
            status = os.fstat(descriptor)
            yield self._header("", status, tarfile.REGTYPE, capability=_capability(descriptor))
            yield from self._content(descriptor, status.st_size, "")
            yield bytes(2 * tarfile.BLOCKSIZE)
        except OSError as error:
            raise host_error(error, self.root) from None

    def _open(self, parent: int, name: str, path: str) -> _OpenDirectory:
        try:
            descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
        except OSError as error:
            raise host_error(error, self._where(path)) from None
        names = sorted(os.listdir(descriptor), key=os.fsencode, reverse=True)  # noqa: PTH208
        return _OpenDirectory(descriptor, path, names)

    def _special(self, directory: int, name: str, path: str, status: os.stat_result) -> Iterator[bytes]:
        target = os.readlink(name, dir_fd=directory) if stat.S_ISLNK(status.st_mode) else ""
        if self.copied_to is not None and stat.S_ISDIR(status.st_mode):
            # An entry would replace a symlink of the image that leads to the directory.
            return
        yield self._header(path, status, _TYPES[stat.S_IFMT(status.st_mode)], target)

    def _file(self, directory: int, name: str, path: str) -> Iterator[bytes]:
        """Header and content; a file met again under another name is a hard link to the first."""
        try:
            descriptor = os.open(name, _FILE, dir_fd=directory)
        except OSError as error:
            raise host_error(error, self._where(path)) from None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise SourceError("the file changed while it was read", where=self._where(path))
            first = (
                self._inodes.setdefault((status.st_dev, status.st_ino), path) if status.st_nlink > 1 else path
            )
            if first != path:
                yield self._header(path, status, tarfile.LNKTYPE, self._placed(first))
                return
            yield self._header(path, status, tarfile.REGTYPE, capability=_capability(descriptor))
            yield from self._content(descriptor, status.st_size, path)
        finally:
            os.close(descriptor)

    def _content(self, descriptor: int, size: int, path: str) -> Iterator[bytes]:
        left = size
        while left:
            piece = os.read(descriptor, min(left, READ_SIZE))
            if not piece:
                raise SourceError("the file became shorter while it was read", where=self._where(path))
            left -= len(piece)
            yield piece
        if padding := -size % tarfile.BLOCKSIZE:
            yield bytes(padding)

    def _placed(self, path: str) -> str:
        return "/".join(part for part in (self.copied_to, path) if part)

    def _header(
        self,
        path: str,
        status: os.stat_result,
        kind: bytes,
        target: str = "",
        capability: bytes | None = None,
    ) -> bytes:
        of_root = self.copied_to is not None
        return _header(self._placed(path), status, kind, target, capability, of_root=of_root)

    def _where(self, path: str) -> str:
        return f"{self.root.rstrip('/')}/{path}" if path else self.root


def pseudo_mounts(root: Path) -> frozenset[str]:
    """Paths below ``root`` where the kernel shows itself (proc, sysfs, ...), without leading slash."""
    found: set[str] = set()
    prefix = str(root.resolve()).rstrip("/") + "/"
    with suppress(OSError):
        for line in Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines():
            mount, _, origin = line.partition(" - ")
            point = _OCTAL_ESCAPE.sub(lambda match: chr(int(match.group(1), 8)), mount.split()[4])
            if origin.split()[0] in _PSEUDO_FILE_SYSTEMS and point.startswith(prefix):
                found.add(point.removeprefix(prefix))
    return frozenset(found)


def _header(
    path: str,
    status: os.stat_result,
    kind: bytes,
    target: str = "",
    capability: bytes | None = None,
    *,
    of_root: bool = False,
) -> bytes:
    info = tarfile.TarInfo(path)
    info.type = kind
    info.mode = stat.S_IMODE(status.st_mode)
    info.uid, info.gid = (0, 0) if of_root else (status.st_uid, status.st_gid)
    info.mtime = int(status.st_mtime)
    info.linkname = target
    if kind == tarfile.REGTYPE:
        info.size = status.st_size
    if kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        info.devmajor, info.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
    if capability is not None:
        info.pax_headers = {f"SCHILY.xattr.{_CAPABILITY}": capability.decode("utf-8", "surrogateescape")}
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _capability(descriptor: int) -> bytes | None:
    try:
        return os.getxattr(descriptor, _CAPABILITY)
    except OSError:
        return None
