"""Files of the cache are opened only where nobody but the user can have written them.

Names relative to an open directory enter, descriptors leave. Needs nothing but ``os``: the shortest way to
an answer goes through here (``cli.unchanged``).
"""

from __future__ import annotations

import os
import stat

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class NotTrusted(OSError):
    """It belongs to another user, or other users may write to it."""


def open_directory(name: str, above: int | None = None) -> int:
    """A descriptor of a directory; a symbolic link is none (openat(2), O_NOFOLLOW).

    Raises:
        OSError: there is no such directory, or it cannot be opened.
        NotTrusted: see there.
    """
    descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
    found = os.fstat(descriptor)
    problem = ""
    if found.st_uid != os.geteuid():
        problem = "it belongs to another user"
    elif found.st_mode & _OTHERS_MAY_WRITE:
        problem = "other users may write to it"
    if problem:
        os.close(descriptor)
        raise NotTrusted(0, problem)
    return descriptor


def open_file(name: str, directory: int) -> int:
    """A descriptor of a plain file of the user's, for reading.

    Raises:
        OSError: there is no such file, or it cannot be opened.
        NotTrusted: it is no plain file of this user.
    """
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        os.close(file)
        raise NotTrusted(0, "not a file of this user")
    return file
