"""The link map of a whole image as plain values: what ``imagescan tree`` and ``why`` show.

``scan`` fills these from the loader room's link maps, ``reports`` show them. One ``ObjectLinks``
stands for one ELF file, asked as if it were the program. Text may come from a hostile image and
is escaped where it is shown. The JSON shape is ``imagescan.links/1`` (``docs/links.schema.json``).
"""

from __future__ import annotations

from imagescan.dataclasses import dataclass
from imagescan.findings import ImageSummary, TrailLine


@dataclass(frozen=True, slots=True)
class NeededLink:
    """One needed entry and its answer: ``path`` as the loader opens it, ``real`` the same after
    symlinks, both None (as ``how``) when nothing answers. ``trail`` has each search step in order."""

    soname: str
    path: str | None
    real: str | None
    how: str | None
    trail: tuple[TrailLine, ...] = ()


@dataclass(frozen=True, slots=True)
class MissingVersionLink:
    """A version that ``library`` (the name as needed) does not define, and who needs it."""

    version: str
    library: str
    needed_by: str


@dataclass(frozen=True, slots=True)
class MissingSymbolLink:
    """A symbol that nothing in the link map defines; ``binding`` is ``immediate`` or ``lazy``."""

    symbol: str
    version: str | None
    needed_by: str
    binding: str


@dataclass(frozen=True, slots=True)
class ClosureObject:
    """One object of the link map; ``requester`` is the path of who asked first, None for the
    program itself and for preloaded objects. ``soname`` is the name that it was asked by."""

    path: str
    real: str
    how: str
    requester: str | None
    soname: str = ""


@dataclass(frozen=True, slots=True)
class MissingLink:
    """A request anywhere in the link map that nothing answers, with the loader's reason."""

    soname: str
    requester: str
    message: str
    trail: tuple[TrailLine, ...] = ()


@dataclass(frozen=True, slots=True)
class ObjectLinks:
    """What the dynamic loader would do with one ELF file.

    ``kind`` is ``program``, ``library`` or ``static``; ``libc`` is ``glibc``, ``musl`` or None.
    ``closure`` is everything that would be loaded, in load order, the program first. ``missing``
    are the unanswered requests of the whole closure. ``fault`` is the kernel's or loader's reason
    for refusing before any library matters, or "".
    """

    path: str
    kind: str
    libc: str | None
    loader: str | None
    needed: tuple[NeededLink, ...] = ()
    versions_missing: tuple[MissingVersionLink, ...] = ()
    symbols_missing: tuple[MissingSymbolLink, ...] = ()
    closure: tuple[ClosureObject, ...] = ()
    missing: tuple[MissingLink, ...] = ()
    fault: str = ""


@dataclass(frozen=True, slots=True)
class LinkReport:
    """Every ELF file of one image, ordered by path."""

    image: ImageSummary
    objects: tuple[ObjectLinks, ...]
