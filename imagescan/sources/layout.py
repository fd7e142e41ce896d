"""Images in an OCI image layout directory.

A directory and an optional tag or digest enter; manifests and layer streams leave. Follows the
OCI image specification (image-layout.md).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from imagescan.errors import ImageFormatError, InvalidReference, NotFound, SizeMismatch
from imagescan.reference import Digest
from imagescan.sources.documents import (
    CONFIG_SIZE_LIMIT,
    INDEX_ENTRY_LIMIT,
    MANIFEST_SIZE_LIMIT,
    REF_NAME,
    Descriptor,
    read_descriptor,
)
from imagescan.sources.host_files import open_beneath, open_directory
from imagescan.sources.index import ImageReader, Wanted
from imagescan.sources.json_reader import JsonObject
from imagescan.sources.streams import FileWindow
from imagescan.sources.values import ImageManifest, LayerDescriptor

LAYOUT_MARKER = "oci-layout"
INDEX_FILE = "index.json"
_CONTAINERD_NAME = "io.containerd.image.name"
_NAMES_SHOWN = 20


class LayoutSource:
    """One image, or all images of one name, in a layout directory."""

    random_access = True

    def __init__(self, directory: Path, name: str = "") -> None:
        self._directory = directory
        self._name = name
        self._descriptor = open_directory(directory)
        self._evidence: dict[str, str] = {}

    def images(self, wanted: Wanted) -> tuple[ImageManifest, ...]:
        """See ``values.ImageSource.images``."""
        where = f"oci:{self._directory}"
        self._check_marker(where)
        data = self._read_file((INDEX_FILE,), INDEX_FILE, MANIFEST_SIZE_LIMIT)
        reference = named(where, self._name)
        entries = choose_entries(data, self._name, reference)
        return ImageReader(reference, self._read_blob).images_among(entries, wanted)

    def open_layer(self, image: ImageManifest, layer: LayerDescriptor) -> BinaryIO:
        """See ``values.ImageSource.open_layer``."""
        if layer.digest is None or layer.size is None:
            raise ImageFormatError("the layer has no digest", where=image.reference)
        parts = blob_parts(layer.digest)
        where = f"{self._directory}/{'/'.join(parts)}"
        file = open_beneath(self._descriptor, parts, where)
        if file.size != layer.size:
            size = file.size
            file.close()
            raise SizeMismatch(f"the blob has {size} bytes, but {layer.size} are promised", where=where)
        return cast(BinaryIO, FileWindow(file, 0, layer.size, owned=True))

    def layer_streams(self, image: ImageManifest) -> Iterator[BinaryIO]:
        """See ``values.ImageSource.layer_streams``."""
        for layer in image.layers:
            with self.open_layer(image, layer) as stream:
                yield stream

    def evidence(self) -> tuple[tuple[str, str], ...]:
        """Every file that ``images`` has read, by its absolute path, and the SHA-256 of what it read."""
        return tuple(self._evidence.items())

    def close(self) -> None:
        """See ``values.ImageSource.close``."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> LayoutSource:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _check_marker(self, where: str) -> None:
        content = JsonObject.parse(
            self._read_file((LAYOUT_MARKER,), LAYOUT_MARKER, MANIFEST_SIZE_LIMIT), LAYOUT_MARKER
        )
        check_layout_version(content, where)

    def _read_blob(self, descriptor: Descriptor, what: str) -> bytes:
        limit = CONFIG_SIZE_LIMIT if what == "config" else MANIFEST_SIZE_LIMIT
        return self._read_file(blob_parts(descriptor.digest), f"the {what}", limit)

    def _read_file(self, parts: tuple[str, ...], what: str, limit: int) -> bytes:
        where = f"{self._directory}/{'/'.join(parts)}"
        file = open_beneath(self._descriptor, parts, where)
        try:
            if file.size > limit:
                raise ImageFormatError(f"{what} has {file.size} bytes; {limit} are allowed", where=where)
            data = file.read_at(0, limit)
        finally:
            file.close()
        path = os.path.abspath(f"{self._directory}/{'/'.join(parts)}")  # noqa: PTH100 - links stay
        self._evidence[path] = hashlib.sha256(data).hexdigest()
        return data


def named(where: str, name: str) -> str:
    """An image as the user names it: ``oci:DIR:TAG`` or ``oci:DIR@DIGEST``."""
    if not name:
        return where
    return f"{where}@{name}" if name.startswith(("sha256:", "sha512:")) else f"{where}:{name}"


def blob_parts(digest: Digest) -> tuple[str, ...]:
    """Where a blob is in a layout; a ``Digest`` can hold no separators."""
    return ("blobs", digest.algorithm, digest.hex)


def check_layout_version(content: JsonObject, where: str) -> None:
    """Refuse a layout of a later, incompatible specification.

    Raises:
        ImageFormatError: the version is missing, or its first part is not 1.
    """
    version = content.text("imageLayoutVersion")
    if version.partition(".")[0] != "1":
        raise ImageFormatError(f"the layout has the unknown version {version!r}", where=where)


def choose_entries(data: bytes, name: str, reference: str) -> tuple[Descriptor, ...]:
    """The entries of ``index.json`` that a name means; without a name, all of the only image.

    A name is the annotation ``org.opencontainers.image.ref.name``, or a digest. Several entries
    of one name are one image's platforms.

    Raises:
        NotFound: no such name, or a name is needed; the message names those that exist.
        ImageFormatError: the index breaks its specification.
    """
    content = JsonObject.parse(data, INDEX_FILE)
    members = content.children("manifests")
    if len(members) > INDEX_ENTRY_LIMIT:
        raise ImageFormatError(
            f"{INDEX_FILE} has {len(members)} entries; {INDEX_ENTRY_LIMIT} are allowed", where=reference
        )
    entries = tuple(read_descriptor(member) for member in members)
    if not entries:
        raise NotFound("the layout holds no image", where=reference)
    return tuple(_matching(entries, name, reference))


def _matching(entries: Sequence[Descriptor], name: str, reference: str) -> Sequence[Descriptor]:
    if not name:
        names = {_name_of(entry) for entry in entries}
        if len(names) > 1 and len({entry.digest for entry in entries}) > 1:
            raise _name_needed(entries, "the layout holds several images", reference)
        return entries
    try:
        digest: Digest | None = Digest.parse(name)
    except InvalidReference:
        digest = None
    matching = [
        entry
        for entry in entries
        if entry.digest == digest or name in (entry.annotation(REF_NAME), entry.annotation(_CONTAINERD_NAME))
    ]
    if not matching:
        raise _name_needed(entries, "the layout holds no image of this name", reference)
    return matching


def _name_of(entry: Descriptor) -> str:
    return entry.annotation(REF_NAME) or entry.annotation(_CONTAINERD_NAME)


def _name_needed(entries: Sequence[Descriptor], message: str, reference: str) -> NotFound:
    names = sorted({_name_of(entry) or str(entry.digest) for entry in entries})
    shown = ", ".join(names[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")
    return NotFound(message, where=reference, advice=f"name one of: {shown}")
