"""The cache's directory on the user's disk: whole files appear in it and vanish from it, nothing else.

Names and bytes enter, open files leave. Everything goes through a descriptor of the directory and
follows no symbolic link (openat(2), O_NOFOLLOW), so nobody can turn a name into another place. A file is
written under a name of its own and renamed (rename(2)): readers and other writers see all of it or
nothing. What a crash leaves half-written is told by the checksums of ``entry``.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from imagescan.cache.trust import NotTrusted, open_directory, open_file
from imagescan.dataclasses import NamedTuple
from imagescan.errors import ImageScanError
from imagescan.patterns import pattern

KINDS = ("layers", "blobs", "answers", "links", "outputs")
MARKER = "CACHEDIR.TAG"  # tells backup programs to pass it over (bford.info/cachedir)
_MARKER_TEXT = (
    b"Signature: 8a477f597d28d172789f06886806bc55\n# Made by imagescan; may be removed at any time.\n"
)
_NAME = pattern(r"[0-9a-z][0-9a-z.-]{0,200}", re.ASCII)
_UNFINISHED = ".unfinished-"
UNFINISHED_SECONDS = 3600.0  # a file that is still unfinished then was left by a process that died
_TOUCH_SECONDS = 3600.0  # a use is noted at most this often


class Unusable(ImageScanError):
    """The directory, or a file in it, cannot be used; a scan goes on without."""


class StoredFile(NamedTuple):
    """One file of the cache; ``used`` is seconds since the epoch."""

    kind: str
    name: str
    size: int
    used: float


class UnfinishedFile(NamedTuple):
    """One file of the cache that is being written; ``file`` is its descriptor."""

    kind: str
    name: str
    file: int


class CacheDirectory:
    """An open directory; the user alone may write to it.

    Raises:
        Unusable: it is somebody else's, others may write to it, it is a symbolic link, or it cannot be
            made (with ``create``) or opened.
    """

    def __init__(self, path: Path, *, create: bool = True) -> None:
        self.path = path
        self._kinds: dict[str, int] = {}
        self._root = -1
        try:
            self._root = _opened(path, create=create)
            if create:
                self._mark()
        except OSError as error:
            self.close()
            advice = "name another with --cache-dir" if isinstance(error, NotTrusted) else ""
            raise Unusable(_reason(error), where=str(path), advice=advice) from error

    def open(self, kind: str, name: str) -> int | None:
        """A descriptor of a file, for reading; None when there is none. Notes that it was used.

        Raises:
            Unusable: it is there and cannot be opened, or is no plain file of the user's.
        """
        try:
            file = open_file(_checked(name), self._kind(kind))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unusable(_reason(error), where=f"{self.path}/{kind}/{name}") from error
        if time.time() - os.fstat(file).st_mtime > _TOUCH_SECONDS:
            with suppress(OSError):  # a read-only file system
                os.utime(file)
        return file

    def write(self, kind: str, name: str, parts: Iterable[bytes]) -> None:
        """Put a file there, whole or not at all; one of the same name is replaced.

        Raises:
            Unusable: no room, or any other reason of the system's.
        """
        unfinished = self.begin(kind)
        try:
            for part in parts:
                _write_all(unfinished.file, part)
            self.finish(unfinished, name)
        except OSError as error:
            raise Unusable(_reason(error), where=str(self.path)) from error
        finally:
            self.give_up(unfinished)
            os.close(unfinished.file)

    def begin(self, kind: str) -> UnfinishedFile:
        """A new file under a name of its own, open for reading and writing; its descriptor is the caller's.

        Raises:
            Unusable: it cannot be made.
        """
        name = f"{_UNFINISHED}{os.getpid()}-{os.urandom(6).hex()}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return UnfinishedFile(
                kind, name, os.open(name, flags, 0o600, dir_fd=self._kind(kind, create=True))
            )
        except OSError as error:
            raise Unusable(_reason(error), where=str(self.path)) from error

    def finish(self, file: UnfinishedFile, name: str) -> None:
        """Give a file its name; one of the same name is replaced.

        Raises:
            Unusable: that cannot be done.
        """
        try:
            directory = self._kind(file.kind)
            os.rename(file.name, _checked(name), src_dir_fd=directory, dst_dir_fd=directory)
        except OSError as error:
            raise Unusable(_reason(error), where=str(self.path)) from error

    def give_up(self, file: UnfinishedFile) -> None:
        """Take a file away that has no name of its own yet; nothing, if it has."""
        self.remove(file.kind, file.name)

    def remove(self, kind: str, name: str) -> None:
        """Take a file away, if it is there and may be taken."""
        with suppress(OSError):
            os.unlink(name, dir_fd=self._kind(kind))

    def files(self) -> Iterator[StoredFile]:
        """Every file of the cache, unfinished ones too; nothing that has no place in it."""
        for kind in KINDS:
            try:
                directory = self._kind(kind)
                names = os.listdir(directory)  # noqa: PTH208 - of a descriptor
            except OSError:
                continue
            for name in names:
                if not _NAME.fullmatch(name.removeprefix(_UNFINISHED)):
                    continue
                with suppress(OSError):
                    found = os.stat(name, dir_fd=directory, follow_symlinks=False)
                    if stat.S_ISREG(found.st_mode):
                        yield StoredFile(kind, name, found.st_blocks * 512, found.st_mtime)

    def close(self) -> None:
        """Close the descriptors; files that were opened stay open."""
        for descriptor in (*self._kinds.values(), self._root):
            if descriptor >= 0:
                os.close(descriptor)
        self._kinds, self._root = {}, -1

    def _kind(self, kind: str, *, create: bool = False) -> int:
        if kind not in self._kinds:
            if create:
                with suppress(FileExistsError):
                    os.mkdir(kind, 0o700, dir_fd=self._root)
            opened = open_directory(kind, self._root)
            if self._kinds.setdefault(kind, opened) != opened:  # another thread was faster
                os.close(opened)
        return self._kinds[kind]

    def _mark(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with suppress(FileExistsError, PermissionError):
            file = os.open(MARKER, flags, 0o600, dir_fd=self._root)
            try:
                os.write(file, _MARKER_TEXT)
            except OSError:  # no room: a later scan will have
                os.unlink(MARKER, dir_fd=self._root)
            finally:
                os.close(file)


def is_unfinished(file: StoredFile, now: float) -> bool:
    """Whether a file was begun by a process that died."""
    return file.name.startswith(_UNFINISHED) and now - file.used > UNFINISHED_SECONDS


def is_being_written(file: StoredFile, now: float) -> bool:
    """Whether a process may still be at work on a file."""
    return file.name.startswith(_UNFINISHED) and not is_unfinished(file, now)


def _opened(path: Path, *, create: bool) -> int:
    try:
        return open_directory(str(path))
    except FileNotFoundError:
        if not create:
            raise
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    return open_directory(str(path))


def _checked(name: str) -> str:
    assert _NAME.fullmatch(name), name
    return name


def _write_all(file: int, data: bytes) -> None:
    with memoryview(data) as view:
        done = 0
        while done < len(view):
            done += os.write(file, view[done:])


def _reason(error: OSError) -> str:
    if isinstance(error, NotADirectoryError):  # what O_DIRECTORY | O_NOFOLLOW says of a symbolic link
        return "it is a symbolic link or no directory"
    return error.strerror or str(error)
