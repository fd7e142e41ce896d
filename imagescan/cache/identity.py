"""Which program this is, and which rules: what an answer depends on besides the image.

Folders enter, texts leave. A program whose files changed is another program, released or not; rules count
by their content. Needs nothing but ``os`` and a hash: the shortest way to an answer goes through here.
"""

from __future__ import annotations

import os
import sys
from hashlib import sha256

from imagescan import __version__

MAXIMUM_RULE_FILES = 4000  # of one folder; more are not answered from the cache
MAXIMUM_RULE_BYTES = 64 << 20
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - costs 3 ms


_identity: list[str] = []  # of this process, from when it was first asked for


def program_identity() -> str:
    """The version of imagescan and of Python, and name, size and time of each file of the program."""
    if not _identity:
        _identity.append(_look_at_the_program())
    return _identity[0]


def _look_at_the_program() -> str:
    found = [f"{__version__} {sys.version}"]
    folders = [_PACKAGE]
    if not os.path.isdir(f"{_PACKAGE}/rules/builtin"):  # noqa: PTH112
        folders.append(f"{_PACKAGE}/../rules")
    for folder in folders:  # grows while it is walked
        try:
            with os.scandir(folder) as children:
                for child in children:
                    if child.name == "__pycache__" or child.name.startswith("."):
                        continue
                    if child.is_dir():
                        folders.append(child.path)
                    else:
                        status = child.stat()
                        found.append(f"{child.path} {status.st_size} {status.st_mtime_ns}")
        except OSError:  # not a plain installation, such as a zip file: then the version says it
            continue
    return sha256("\n".join(sorted(found)).encode("utf-8", "surrogateescape")).hexdigest()


def folder_digest(folder: str) -> str | None:
    """A digest of every file below a folder, by name and content; None when it cannot be had."""
    digest = sha256()
    budget = MAXIMUM_RULE_BYTES
    try:
        files = sorted(
            f"{place}/{name}" for place, _, names in os.walk(folder, followlinks=True) for name in names
        )
        if len(files) > MAXIMUM_RULE_FILES:
            return None
        for path in files:
            with open(path, "rb") as stream:  # noqa: PTH123
                data = stream.read(budget + 1)
            budget -= len(data)
            if budget < 0:
                return None
            digest.update(f"{path[len(folder) :]}\0{len(data)}\0".encode("utf-8", "surrogateescape"))
            digest.update(data)
    except OSError:
        return None
    return digest.hexdigest()
