"""What every source hands on: an image's manifest as frozen values, and streams of its layers.

Follows the OCI image specification (manifest.md, config.md, descriptor.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Literal, Protocol

from imagescan.dataclasses import dataclass
from imagescan.reference import Digest, Platform


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One line of ``config.history``."""

    created_by: str
    empty_layer: bool
    comment: str = ""
    created: str = ""
    author: str = ""


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """The part of an image's config that decides how a container starts.

    ``entrypoint``, ``cmd`` and ``shell`` keep the difference between absent (None) and empty.
    ``env`` keeps order and duplicates as written (``NAME=value``). ``healthcheck`` is the
    ``Test`` array.
    """

    platform: Platform
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    shell: tuple[str, ...] | None = None
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    healthcheck: tuple[str, ...] | None = None
    history: tuple[HistoryEntry, ...] = ()
    diff_ids: tuple[Digest, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    created: str = ""


@dataclass(frozen=True, slots=True)
class LayerDescriptor:
    """One layer as the manifest promises it.

    ``index`` counts from 0 at the base. ``digest`` and ``size`` (bytes) describe the blob as
    stored; both are None where the source only knows the uncompressed tar (an engine, a
    directory). ``diff_id`` is the digest of the uncompressed tar. ``created_by`` is the history
    line that made the layer, empty when the history does not say (then ``history_aligned`` of
    the image is false).
    """

    index: int
    digest: Digest | None
    size: int | None
    media_type: str
    diff_id: Digest | None
    created_by: str = ""


@dataclass(frozen=True, slots=True)
class SiblingImage:
    """The image for another architecture in the same index: its layers by their diff IDs."""

    platform: Platform
    layers: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class ImageManifest:
    """One image of one platform.

    ``reference`` is the name as shown to the user, ``digest`` the manifest's (None where the
    source has no manifest). ``platform`` is what the index or the config says. ``digests``
    of the config and the index, where known, are for reports. ``siblings`` are the images for other
    architectures that were asked for together with this one. ``annotations`` are the manifest's own.
    """

    reference: str
    digest: Digest | None
    platform: Platform
    config: ImageConfig
    layers: tuple[LayerDescriptor, ...]
    config_digest: Digest | None = None
    index_digest: Digest | None = None
    history_aligned: bool = True
    siblings: tuple[SiblingImage, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()


class ImageSource(Protocol):
    """A place that one image reference can be read from.

    A source is opened by ``imagescan.sources.select.open_source`` and closed by its user
    (it is a context manager). Its values are frozen; only the streams are live.
    """

    def images(self, wanted: Platform | Literal["all"] | None) -> tuple[ImageManifest, ...]:
        """The images for the platform wanted: one, or with ``"all"`` each platform of an index.

        None means: the host's architecture where there is a choice, otherwise whatever the
        single image is.

        Raises:
            NotFound: no such image, or no such platform (the message names those that exist).
            SourceError, ImageFormatError, BlobError: as the tree in ``errors`` says.
        """
        ...

    def open_layer(self, image: ImageManifest, layer: LayerDescriptor) -> BinaryIO:
        """The bytes of one layer as stored, unverified; safe to call from several threads, and from copies
        of this process (fork(2)) at the same time: what they share has no position and no connection.

        Raises:
            NotFound, SourceError: the layer cannot be opened.
            NotImplementedError: never where ``random_access`` is true.
        """
        ...

    def layer_streams(self, image: ImageManifest) -> Iterator[BinaryIO]:
        """Every layer's bytes once, in whatever order they come; each stream must be read to its
        end before the next is asked for. Only for sources that are not ``random_access``
        (an engine's archive); which layer a stream was is told by the diff ID of its content.
        """
        ...

    @property
    def random_access(self) -> bool:
        """Whether ``open_layer`` works; if not, ``layer_streams`` is the only way."""
        ...

    def close(self) -> None:
        """Release connections and files."""
        ...

    def __enter__(self) -> ImageSource: ...

    def __exit__(self, *exception: object) -> None: ...
