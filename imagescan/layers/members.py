"""What a walk through a tar hands on of one member."""

from __future__ import annotations

from imagescan.dataclasses import NamedTuple, dataclass
from imagescan.layers.header import Attributes
from imagescan.layers.values import EntryKind, ImagePath


@dataclass(slots=True)
class Member:
    """One entry of the tar as written, before its name is normalised.

    ``size`` is the length of a regular file with its holes, 0 for everything else. ``link`` is
    the text of a symlink, or the name that a hard link (``is_hard_link``) points to.
    """

    name: bytes
    kind: EntryKind
    attributes: Attributes
    size: int
    link: bytes
    is_hard_link: bool
    capability: bytes | None = None
    is_sparse: bool = False


class WantedFile(NamedTuple):
    """A file that an inspector wants to look into: its path, row and length in bytes."""

    path: ImagePath
    row: int
    size: int
