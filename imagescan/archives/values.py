"""What is known of one archive of an image: the native code in it, and what could not be read.

``imagescan.archives.reader`` makes these, ``bundles.bundle`` chooses among them.
"""

from __future__ import annotations

from imagescan.dataclasses import dataclass
from imagescan.elf.facts import ElfFacts

JOINT = "!/"  # between an archive and a member, as in a jar: URL


@dataclass(frozen=True, slots=True)
class ArchivedBinary:
    """One member with native code.

    ``path`` is the member's name, after those of the archives that it is nested in
    (``BOOT-INF/lib/x.jar!/native/libx.so``). ``size`` is its length in bytes when extracted.
    ``elf`` is None for code of other systems, told by name or by content.
    """

    path: str
    size: int
    elf: ElfFacts | None = None


@dataclass(frozen=True, slots=True)
class Archive:
    """One archive with native code, or one that could not be read whole.

    ``unread`` says what could not be looked at, and why, one phrase each.
    """

    binaries: tuple[ArchivedBinary, ...] = ()
    unread: tuple[str, ...] = ()


def outer_path(path: str) -> str:
    """The file of the image that a path of an archive's member lies in; any other path is itself."""
    return path.partition(JOINT)[0]
