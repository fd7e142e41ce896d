"""Plugins that a distribution ships although it does not depend on what they need.

A plugin's path and the library that it misses enter; the package that would bring it leaves, where the
image's own database says that the plugin's package can do without: it only recommends or suggests that
package (tc's q_atm.so), or does not name it at all (the OpenGL driver of libcaca). Debian Policy sections
7.2 (Recommends, Suggests) and 8.1 (names of shared library packages).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from imagescan.dataclasses import NamedTuple
from imagescan.facts import ImageFacts
from imagescan.packages.values import PackageManager
from imagescan.patterns import pattern

_SONAME = pattern(r"(?P<stem>[^/]+)\.so\.(?P<version>[^/]+)")


class OptionalPackage(NamedTuple):
    """The package that has a library, and the plugin's package, which ``relation`` says can do without."""

    name: str
    owner: str
    relation: str


def optional_package(
    facts: ImageFacts, packages: Mapping[str, tuple[str, ...]], plugin: str, library: str
) -> OptionalPackage | None:
    """The package that a distribution leaves optional, or None where it is not so or not known.

    A package that names the library's package nowhere must be of the release itself: what a vendor forgot
    to depend on is a fault. A library that an installed package brought was removed since.

    Args:
        packages: the packages of the image's release, by library; may be empty.
        plugin: canonical path of the file that needs the library.
        library: its file name.
    """
    owner = facts.ownership.owner(plugin)
    if owner is None or owner.manager is not PackageManager.DPKG or facts.ownership.bringing(library):
        return None
    known = packages.get(library, ())
    for name in dict.fromkeys((*known, *policy_names(library))):
        if name in owner.optional:
            return OptionalPackage(name, owner.name, f"it only recommends or suggests {name}")
    if not known or not owner.needed or set(known) & set(owner.needed) or not _is_of(packages, owner.name):
        return None
    return OptionalPackage(known[0], owner.name, f"it is installed without {known[0]}")


def _is_of(packages: Mapping[str, tuple[str, ...]], name: str) -> bool:
    """Whether a release that has these libraries has the package (and libraries in it)."""
    return any(name in having for having in packages.values())


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
