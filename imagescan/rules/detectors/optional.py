"""Plugins that a distribution ships although it only recommends or suggests what they need.

A plugin's path and the library that it misses enter; the package that would bring it leaves, where the
image's own database says that the plugin's package can do without. Debian Policy sections 7.2
(Recommends, Suggests) and 8.1 (names of shared library packages).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from imagescan.facts import ImageFacts

_SONAME = re.compile(r"(?P<stem>[^/]+)\.so\.(?P<version>[^/]+)")


def optional_package(
    facts: ImageFacts, packages: Mapping[str, tuple[str, ...]], plugin: str, library: str
) -> tuple[str, str]:
    """The package that has the library, and the plugin's package, which only recommends or suggests that
    one; two empty texts where it is not so or not known.

    Args:
        packages: the packages of the image's release, by library; may be empty.
        plugin: canonical path of the file that needs the library.
        library: its file name.
    """
    owner = facts.ownership.owner(plugin)
    if owner is None or not owner.optional:
        return "", ""
    having = dict.fromkeys((*packages.get(library, ()), *policy_names(library)))
    found = next((name for name in having if name in owner.optional), "")
    return found, owner.name if found else ""


def policy_names(library: str) -> Iterator[str]:
    """What Debian Policy calls the package of a soname: libfoo.so.1 is of libfoo1, libfoo2.so.1 of
    libfoo2-1; since the 64-bit time_t transition some have the suffix t64."""
    match = _SONAME.fullmatch(library)
    if match is None:
        return
    stem = match["stem"].lower().replace("_", "-")
    joint = "-" if stem[-1].isdigit() else ""
    for suffix in ("", "t64"):
        yield f"{stem}{joint}{match['version']}{suffix}"
