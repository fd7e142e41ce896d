"""Preloading under glibc: which names are asked for, and what is said of those that fail.

LD_PRELOAD and the text of the preload file enter; names with their origin leave. Mirrors
``handle_preload_list`` and ``do_preload`` (elf/rtld.c); ``loader.md`` sections 4.10 and 4.12.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from imagescan.loader.values import LoaderFault
from imagescan.patterns import pattern

# What _dl_signal_error keeps apart from its text, and do_preload leaves out.
_ERRNO_WORDS = pattern(r"(?<=^cannot open shared object file): .*|(?<=^cannot read file data): .*")
_COMMENT = pattern(r"#[^\n]*")


def preload_names(variable: str, text: str, path: str, *, secure: bool) -> Iterator[tuple[str, str]]:
    """(name, where it was named) in the order loaded; ``text`` is the content of the file ``path``.

    Secure mode passes over names with a slash in the variable, not in the file.
    """
    for name in re.split("[ :]", variable):
        if name and not (secure and "/" in name):
            yield name, "LD_PRELOAD"
    for name in re.split(r"[\s:]+", _COMMENT.sub("", text)):
        if name:
            yield name, path


def preload_fault(name: str, origin: str, reason: str) -> LoaderFault:
    """What the loader prints before it goes on without the object."""
    reason = _ERRNO_WORDS.sub("", reason)
    text = f"ERROR: ld.so: object '{name}' from {origin} cannot be preloaded ({reason}): ignored."
    return LoaderFault("preload-failed", name, text)
