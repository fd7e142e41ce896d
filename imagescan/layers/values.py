"""What a layer hands on: its entries, whiteouts, and the facts of the files that matter.

Follows the OCI image specification (layer.md) and POSIX ustar/PAX. Paths inside an image are
``ImagePath``: text decoded from the tar's bytes as UTF-8 with surrogateescape, without leading
or trailing slash, ``.`` or ``..`` in a layer index ("usr/bin/env"; the root is ""), and with a
leading slash ("/usr/bin/env") everywhere after the ``filesystem`` room.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import NewType, Protocol

from imagescan.dataclasses import NamedTuple, dataclass
from imagescan.reference import Digest
from imagescan.sources.values import LayerDescriptor

ImagePath = NewType("ImagePath", str)


class EntryKind(IntEnum):
    """What an entry is; a hard link is a FILE that shares its target's inode."""

    FILE = 0
    DIRECTORY = 1
    SYMLINK = 2
    CHARACTER_DEVICE = 3
    BLOCK_DEVICE = 4
    FIFO = 5


class Body(Protocol):
    """The content of one regular file, random access while its layer streams by."""

    @property
    def size(self) -> int:
        """Length in bytes, as read (not as claimed)."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Bytes from ``offset``; fewer than ``length`` only at the end of the file."""
        ...


class Place(NamedTuple):
    """Where a ``ColumnStore`` keeps some bytes."""

    offset: int
    length: int


class ColumnStore(Protocol):
    """Bytes that facts refer to and nobody needs at once, kept off the heap: symbols, strings, hashes.

    Facts hold a store and a place in it, and read when asked. One layer's facts use one store.
    Both methods may be called from several threads.
    """

    def append(self, data: bytes | memoryview) -> Place:
        """Keep bytes for as long as the store lives.

        Raises:
            LimitExceeded: the store has no room for them.
        """
        ...

    def read(self, place: Place) -> bytes:
        """Exactly the bytes that ``append`` was given for this place.

        Raises:
            LayerError: they can no longer be had.
        """
        ...


HEAD_BYTES = 512  # how much of a file ``ContentInspector.wants`` is shown


class Interest(NamedTuple):
    """What a file must have for an inspector to be asked about it, one of these: its first two bytes,
    the last two bytes of its path, or the start of its directory's path."""

    starts: frozenset[bytes]
    endings: frozenset[bytes]
    folders: tuple[bytes, ...]


class NotWritten(Exception):
    """A ``LayerDraft`` cannot take what was found; the layer must be read again, into another one."""


class LayerDraft(Protocol):
    """Takes what reading one layer finds, and gives the layer's index back.

    Where ``is_shared`` is true the layer may be read in a copy of the process that made the draft: ``store``
    and ``write`` are used there, and what ``write`` returns is brought to ``keep``. ``load`` is asked after
    ``keep``, for the layers of an image in their order.
    """

    @property
    def is_shared(self) -> bool:
        """Whether another process may fill it."""
        ...

    @property
    def store(self) -> ColumnStore:
        """Takes what the facts of files keep off the heap. ``append`` may raise ``NotWritten``."""
        ...

    def write(self, index: LayerIndex) -> bytes:
        """Take the index of the layer; returns a short note for ``keep``. What its facts keep in another
        store than this one's is copied.

        Raises:
            NotWritten: there is no room, or no form, for it.
        """
        ...

    def keep(self, note: bytes, layer: LayerDescriptor | None) -> None:
        """The layer was read as this one of the image (None: as none of it)."""
        ...

    def load(self) -> LayerIndex:
        """The index that was written."""
        ...

    def give_up(self, reason: str) -> None:
        """It refused; ``on_heap`` takes its place."""
        ...

    def on_heap(self) -> LayerDraft:
        """A draft of the same layer that never raises ``NotWritten``, for this process only."""
        ...


class ContentInspector(Protocol):
    """Looks at each regular file as it streams by, and keeps facts of those that matter.

    ``NAME`` and ``VERSION`` key the layer cache: facts change, the version changes. ``INTEREST``
    tells files apart that ``wants`` need not be asked about; those not of ``INTEREST`` may be asked
    about all the same, and then the answer is no.
    """

    NAME: str
    VERSION: int
    INTEREST: Interest

    def wants(self, path: ImagePath, size: int, head: bytes) -> bool:
        """Whether ``inspect`` should see the whole body; ``head`` is its first bytes (``HEAD_BYTES``)."""
        ...

    def parts(self, path: ImagePath, start: Body) -> tuple[range, ...] | None:
        """Which bytes of a large file ``inspect`` will read, ascending and apart; None: all.

        ``start`` is the beginning of the file, at least 64 KiB. A read elsewhere raises.
        """
        ...

    def inspect(self, path: ImagePath, body: Body, store: ColumnStore) -> object | None:
        """The facts of one file (a frozen value), or None when it is of no interest.

        What is large and rarely needed goes to ``store``; the facts keep its place.

        Raises:
            MalformedBinary, LimitExceeded: recorded as an incomplete entry; the layer goes on.
        """
        ...


@dataclass(frozen=True, slots=True)
class LayerEntry:
    """One entry of a layer's tar after normalisation.

    ``serial`` tells entries of one layer apart; entries of a hard-link group within the layer
    share it. ``target`` is a symlink's text as written. ``hard_link`` is the path of a hard
    link whose target is not in this layer (so it must be looked up below), else None.
    ``implicit`` marks a directory that no tar entry names but whose children exist.
    ``capability`` is the raw ``security.capability`` xattr. ``content`` is what the inspector
    made of the file.
    """

    path: ImagePath
    kind: EntryKind
    mode: int
    uid: int
    gid: int
    size: int
    serial: int
    target: str = ""
    hard_link: ImagePath | None = None
    capability: bytes | None = None
    implicit: bool = False
    content: object | None = None


class FileWithContent(NamedTuple):
    """What a layer says of a file of which the inspector kept something; see ``LayerEntry``.

    ``attributes`` are mode, uid and gid.
    """

    name: str
    kind: EntryKind
    attributes: tuple[int, int, int]
    size: int
    serial: int
    capability: bytes | None
    content: object


@dataclass(frozen=True, slots=True)
class UnreadFile:
    """A file of a layer whose facts could not be had, and why (one sentence)."""

    path: ImagePath
    reason: str


class LayerIndex(Protocol):
    """Everything later rooms need to know of one layer, immutable once made."""

    @property
    def diff_id(self) -> Digest:
        """Digest of the uncompressed tar, computed while reading."""
        ...

    @property
    def blob_digest(self) -> Digest | None:
        """Digest of the blob as stored, computed while reading."""
        ...

    @property
    def compressed_size(self) -> int:
        """Bytes of the blob as stored."""
        ...

    @property
    def uncompressed_size(self) -> int:
        """Bytes of the tar."""
        ...

    @property
    def unread(self) -> tuple[UnreadFile, ...]:
        """Files whose content could not be understood."""
        ...

    def __len__(self) -> int: ...

    def entry(self, path: ImagePath) -> LayerEntry | None:
        """The entry at exactly this path in this layer (the last one, when a tar repeats it)."""
        ...

    def entries(self) -> Iterator[LayerEntry]:
        """Every entry, parents before children."""
        ...

    def children(self, directory: ImagePath) -> tuple[str, ...]:
        """Names directly under a directory in this layer, whiteouts not included."""
        ...

    def paths_named(self, name: str) -> tuple[ImagePath, ...]:
        """Every path of this layer whose last component is ``name``, without going through all entries."""
        ...

    def paths_of_libraries(self, names: Iterable[str]) -> Iterator[tuple[str, ImagePath]]:
        """``paths_named`` for many names at once, all of which have ".so" in them: each with its name."""
        ...

    def is_whiteout(self, path: ImagePath) -> bool:
        """Whether this layer removes exactly this path of lower layers (``.wh.NAME``)."""
        ...

    def is_opaque(self, directory: ImagePath) -> bool:
        """Whether this layer hides all lower entries under this directory (``.wh..wh..opq``)."""
        ...

    def whiteouts(self) -> tuple[ImagePath, ...]:
        """Every path that this layer removes."""
        ...

    def contents(self) -> Iterator[tuple[ImagePath, object]]:
        """Path and facts of each file that the inspector kept, without going through all entries."""
        ...

    def contents_by_directory(self) -> Iterator[tuple[ImagePath, list[FileWithContent]]]:
        """The same files with their attributes, each directory once."""
        ...

    def implicit_directories(self) -> tuple[ImagePath, ...]:
        """Directories that no tar entry names, the root not included, parents before children."""
        ...

    def hard_links(self) -> tuple[tuple[ImagePath, ImagePath], ...]:
        """Path and target of each hard link whose target is not in this layer."""
        ...
