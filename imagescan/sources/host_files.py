"""The only door to the host's files for images: beneath one directory, never through a link.

A directory that the user named and the parts of a path enter; an open regular file leaves. The
parts come from validated digests and fixed names, never from the text of an image.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from imagescan.errors import ImageFormatError, NotFound, SourceError
from imagescan.sources.streams import OpenFile

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


def open_directory(path: Path) -> int:
    """A descriptor of a directory that the user named; links in this path are the user's own.

    Raises:
        NotFound: there is none.
        SourceError: it may not be read.
    """
    try:
        return os.open(path, _DIRECTORY)
    except OSError as error:
        raise host_error(error, str(path)) from None


def open_file(path: Path) -> OpenFile:
    """A regular file that the user named.

    Raises:
        NotFound: there is none.
        SourceError: it may not be read, or it is no regular file.
    """
    try:
        return _regular(os.open(path, _FILE), str(path))
    except OSError as error:
        raise host_error(error, str(path)) from None


def open_beneath(directory: int, parts: tuple[str, ...], name: str) -> OpenFile:
    """A regular file beneath an open directory; no part may be a link. ``name`` is for errors.

    Raises:
        NotFound: there is none.
        ImageFormatError: a part is a link or not a regular file.
        SourceError: it may not be read.
    """
    current = os.dup(directory)
    try:
        for part in parts[:-1]:
            below = os.open(part, _DIRECTORY | os.O_NOFOLLOW, dir_fd=current)
            os.close(current)
            current = below
        return _regular(os.open(parts[-1], _FILE | os.O_NOFOLLOW, dir_fd=current), name)
    except OSError as error:
        if _is_link(error, parts, directory):
            raise ImageFormatError(
                "a symbolic link stands where a file or directory of the layout must be",
                where=name,
                advice="copy the layout with cp -rL and scan the copy",
            ) from None
        raise host_error(error, name) from None
    finally:
        os.close(current)


def host_error(error: OSError, name: str) -> SourceError:
    """The typed error for what the host said about a file that the user named."""
    if isinstance(error, FileNotFoundError):
        return NotFound("no such file or directory", where=name, advice="check the path")
    if isinstance(error, NotADirectoryError):
        return SourceError("not a directory", where=name, advice="name a directory, or check the path")
    if isinstance(error, PermissionError):
        return SourceError("permission denied", where=name, advice="run as a user that may read it")
    return SourceError(f"cannot be read: {error.strerror or error}", where=name)


def _regular(descriptor: int, name: str) -> OpenFile:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ImageFormatError("not a regular file", where=name)
    os.set_blocking(descriptor, True)
    return OpenFile(descriptor, name)


def _is_link(error: OSError, parts: tuple[str, ...], directory: int) -> bool:
    """Whether the refusal came from a link: ELOOP for files, ENOTDIR for directories."""
    for count in range(1, len(parts) + 1):
        try:
            mode = os.lstat("/".join(parts[:count]), dir_fd=directory).st_mode
        except OSError:
            return False
        if stat.S_ISLNK(mode):
            return True
    return False
