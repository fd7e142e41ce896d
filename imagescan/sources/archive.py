"""Images in an archive file: oci-archive and docker-archive, plain or compressed.

A file enters; manifests and layer streams leave. Follows the OCI image specification
(image-layout.md) and Docker's "Image Specification v1.2" (``manifest.json``). A plain archive is
read at its members' offsets. A compressed one is passed over twice, once for its documents and
once for its layers, so nothing is written to disk.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal, cast

from imagescan.errors import ImageFormatError, LimitExceeded, NotFound, SizeMismatch
from imagescan.reference import Digest
from imagescan.sources import docker_archive
from imagescan.sources.documents import CONFIG_SIZE_LIMIT, MANIFEST_SIZE_LIMIT, Descriptor
from imagescan.sources.host_files import open_file
from imagescan.sources.index import ImageReader, Wanted
from imagescan.sources.json_reader import JsonObject
from imagescan.sources.layout import (
    INDEX_FILE,
    LAYOUT_MARKER,
    blob_parts,
    check_layout_version,
    choose_entries,
    named,
)
from imagescan.sources.streams import FileWindow
from imagescan.sources.tar_archive import Member, scan_members, stream_members
from imagescan.sources.unpack import compression_of, is_tar, unpack
from imagescan.sources.values import ImageManifest, LayerDescriptor

DOCUMENTS_SIZE_LIMIT = 64 * 1024 * 1024
"""Bytes of all JSON documents kept from a compressed archive."""

LINK_LIMIT = 8
"""Links followed from one member to the next inside an archive."""

ArchiveFormat = Literal["oci-archive", "docker-archive"]


class ArchiveSource:
    """One image of an archive file. ``format`` None means: whichever the content is."""

    def __init__(self, path: Path, name: str = "", format: ArchiveFormat | None = None) -> None:
        self._file = open_file(path)
        self._where = str(path)
        self._name = name
        self._members: dict[str, Member] = {}
        self._documents: dict[str, bytes] = {}
        self._format: ArchiveFormat = format or "oci-archive"
        self._asked_format = format
        self._layer_members: dict[tuple[Digest | None, ...], tuple[Member, ...]] = {}
        head = self._file.read_at(0, 512)
        self._compression = compression_of(head)
        if self._compression not in ("", "gzip", "zstd"):
            self.close()
            raise ImageFormatError(
                f"the file is compressed with {self._compression}",
                where=self._where,
                advice=f"unpack it with {self._compression} -d first",
            )
        if not self._compression and not is_tar(head):
            self.close()
            raise ImageFormatError(
                "not an image file",
                where=self._where,
                advice="give an oci-archive or a docker-archive (docker save)",
            )

    @property
    def random_access(self) -> bool:
        """Whether the archive is plain, so that its members have places."""
        return not self._compression

    def images(self, wanted: Wanted) -> tuple[ImageManifest, ...]:
        """See ``values.ImageSource.images``."""
        if not self._members:
            self._scan()
            self._format = self._recognise()
        prefix = f"{self._format}:{self._where}"
        reference = named(prefix, self._name)
        if self._format == "docker-archive":
            return (self._docker_image(reference, wanted),)
        marker = JsonObject.parse(self._document(LAYOUT_MARKER, MANIFEST_SIZE_LIMIT), LAYOUT_MARKER)
        check_layout_version(marker, reference)
        index = self._document(INDEX_FILE, MANIFEST_SIZE_LIMIT)
        entries = choose_entries(index, self._name, reference)
        images = ImageReader(reference, self._read_blob).images_among(entries, wanted)
        for image in images:
            self._layer_members[_key(image)] = tuple(self._blob_member(layer) for layer in image.layers)
        return images

    def open_layer(self, image: ImageManifest, layer: LayerDescriptor) -> BinaryIO:
        """See ``values.ImageSource.open_layer``."""
        if self._compression:
            raise NotImplementedError("the layers of a compressed archive come in its own order")
        member = self._layer_members[_key(image)][layer.index]
        return cast(BinaryIO, FileWindow(self._file, member.offset, member.size))

    def layer_streams(self, image: ImageManifest) -> Iterator[BinaryIO]:
        """See ``values.ImageSource.layer_streams``."""
        left = {member.offset: member for member in self._layer_members[_key(image)]}
        if not self._compression:
            for member in left.values():
                yield cast(BinaryIO, FileWindow(self._file, member.offset, member.size))
            return
        for member, content in stream_members(self._unpacked(), self._where):
            if left.pop(member.offset, None) is not None:
                yield content
            if not left:
                return

    def close(self) -> None:
        """See ``values.ImageSource.close``."""
        self._file.close()

    def __enter__(self) -> ArchiveSource:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _unpacked(self) -> BinaryIO:
        window = io.BufferedReader(FileWindow(self._file, 0, self._file.size), 1 << 16)
        return unpack(cast(BinaryIO, window), self._compression, self._where)

    def _scan(self) -> None:
        """Learn every member; of a compressed archive also keep what may be a document."""
        if not self._compression:
            window = io.BufferedReader(FileWindow(self._file, 0, self._file.size))
            for member in scan_members(cast(BinaryIO, window), self._where):
                self._members[member.name] = member
            return
        kept = 0
        for member, content in stream_members(self._unpacked(), self._where):
            self._members[member.name] = member
            if member.head.lstrip()[:1] in (b"{", b"[") and member.size <= CONFIG_SIZE_LIMIT:
                kept += member.size
                if kept > DOCUMENTS_SIZE_LIMIT:
                    raise LimitExceeded(
                        f"the archive has more than {DOCUMENTS_SIZE_LIMIT} bytes of documents",
                        where=self._where,
                    )
                self._documents[member.name] = content.read(member.size)

    def _recognise(self) -> ArchiveFormat:
        formats: list[ArchiveFormat] = []
        if LAYOUT_MARKER in self._members and INDEX_FILE in self._members:
            formats.append("oci-archive")
        if docker_archive.MANIFEST_FILE in self._members:
            formats.append("docker-archive")
        asked = self._asked_format
        if asked in formats:
            return asked
        if formats and asked is None:
            return formats[0]
        what = "not an image archive"
        if asked:
            what = "not a docker-archive" if asked == "docker-archive" else f"not an {asked}"
        advice = (
            f"write {formats[0]}:{self._where}"
            if formats
            else "the tar must hold index.json or manifest.json"
        )
        raise ImageFormatError(what, where=self._where, advice=advice)

    def _docker_image(self, reference: str, wanted: Wanted) -> ImageManifest:
        listing = self._document(docker_archive.MANIFEST_FILE, MANIFEST_SIZE_LIMIT)
        entry = docker_archive.choose_entry(listing, self._name, reference)
        config = self._document(entry.config, CONFIG_SIZE_LIMIT)
        members = tuple(self._member(name) for name in entry.layers)
        image = docker_archive.image_of(
            entry, config, tuple(compression_of(member.head) for member in members), reference, wanted
        )
        self._layer_members[_key(image)] = members
        return image

    def _member(self, name: str) -> Member:
        """The member of this name, after links: ``docker save`` links equal layers."""
        member = self._members.get(name)
        for _ in range(LINK_LIMIT):
            if member is None or not member.link:
                break
            member = self._members.get(member.link)
        if member is None or member.link:
            raise NotFound(
                f"the archive has no member {name}", where=self._where, advice="save the image again"
            )
        return member

    def _blob_member(self, layer: LayerDescriptor) -> Member:
        if layer.digest is None:
            raise ImageFormatError("the layer has no digest", where=self._where)
        member = self._member("/".join(blob_parts(layer.digest)))
        if member.size != layer.size:
            raise SizeMismatch(
                f"the layer {layer.digest} has {member.size} bytes, but {layer.size} are promised",
                where=self._where,
            )
        return member

    def _read_blob(self, descriptor: Descriptor, what: str) -> bytes:
        limit = CONFIG_SIZE_LIMIT if what == "config" else MANIFEST_SIZE_LIMIT
        return self._document("/".join(blob_parts(descriptor.digest)), limit)

    def _document(self, name: str, limit: int) -> bytes:
        member = self._member(name)
        if member.size > limit:
            raise ImageFormatError(f"{name} has {member.size} bytes; {limit} are allowed", where=self._where)
        if not self._compression:
            return self._file.read_at(member.offset, member.size)
        if member.name not in self._documents:
            raise ImageFormatError(f"{name} is not JSON", where=self._where)
        return self._documents[member.name]


def _key(image: ImageManifest) -> tuple[Digest | None, ...]:
    return (image.digest, image.config_digest)
