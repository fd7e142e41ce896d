"""Which program this is, and which rules: what an answer depends on besides the image.

Folders enter, texts leave. A program whose files changed is another program, released or not; rules count
by their content.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from imagescan import __version__

MAXIMUM_RULE_FILES = 4000  # of one folder; more are not answered from the cache
MAXIMUM_RULE_BYTES = 64 << 20
_PACKAGE = Path(__file__).parent.parent
_CHECKOUT_RULES = _PACKAGE.parent / "rules"


def program_identity() -> str:
    """The version of imagescan and of Python, and name, size and time of each file of the program."""
    found = [f"{__version__} {sys.version}"]
    folders = [str(_PACKAGE)]
    if not (_PACKAGE / "rules" / "builtin").is_dir():
        folders.append(str(_CHECKOUT_RULES))
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
    return hashlib.sha256("\n".join(sorted(found)).encode("utf-8", "surrogateescape")).hexdigest()


def folder_digest(folder: Path) -> str | None:
    """A digest of every file below a folder, by name and content; None when it cannot be had."""
    digest = hashlib.sha256()
    budget = MAXIMUM_RULE_BYTES
    try:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        if len(files) > MAXIMUM_RULE_FILES:
            return None
        for path in files:
            data = path.read_bytes() if path.stat().st_size <= budget else b""
            budget -= len(data)
            if budget < 0 or (not data and path.stat().st_size):
                return None
            digest.update(f"{path.relative_to(folder)}\0{len(data)}\0".encode("utf-8", "surrogateescape"))
            digest.update(data)
    except OSError:
        return None
    return digest.hexdigest()
