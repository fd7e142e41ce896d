"""Manifests, indexes and configs as frozen values.

The bytes of one document enter; an ``Index``, ``Manifest`` or ``ImageConfig`` leaves. Follows the
OCI image specification (manifest.md, image-index.md, config.md, descriptor.md) and Docker's
"Image Manifest Version 2, Schema 2"; schema 1 is refused.
"""

from __future__ import annotations

import hashlib

from imagescan.dataclasses import dataclass, field
from imagescan.errors import (
    DigestMismatch,
    ImageFormatError,
    InvalidReference,
    SizeMismatch,
    UnsupportedImage,
)
from imagescan.reference import Digest, Platform
from imagescan.sources.json_reader import JsonObject
from imagescan.sources.values import HistoryEntry, ImageConfig, LayerDescriptor

MANIFEST_SIZE_LIMIT = 4 * 1024 * 1024
"""Bytes of a manifest or index; what registries accept (OCI distribution specification, 4 MiB)."""

CONFIG_SIZE_LIMIT = 8 * 1024 * 1024
"""Bytes of an image config."""

LAYER_LIMIT = 1000
"""Layers of one image; overlayfs itself stops at 500."""

INDEX_ENTRY_LIMIT = 1000
"""Entries of one index, nested ones included."""

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"

MANIFEST_TYPES = (OCI_MANIFEST, DOCKER_MANIFEST)
INDEX_TYPES = (OCI_INDEX, DOCKER_INDEX)
_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1"
_CONFIG_TYPES = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
_LAYER_TYPES = frozenset(
    f"{base}{compression}"
    for base, compressions in (
        (OCI_LAYER, ("", "+gzip", "+zstd")),
        ("application/vnd.docker.image.rootfs.diff.tar", ("", ".gzip", ".zstd")),
        ("application/vnd.docker.image.rootfs.diff", (".tar", ".tar.gzip", ".tar.zstd")),
    )
    for compression in compressions
)
_FOREIGN_LAYERS = (
    "application/vnd.docker.image.rootfs.foreign.",
    "application/vnd.oci.image.layer.nondistributable.",
)
REF_NAME = "org.opencontainers.image.ref.name"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What one document says of another blob (descriptor.md). ``size`` is in bytes."""

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    artifact_type: str = ""
    annotations: tuple[tuple[str, str], ...] = ()

    def annotation(self, name: str) -> str:
        """The annotation's value, or an empty string."""
        return dict(self.annotations).get(name, "")


@dataclass(frozen=True, slots=True)
class Index:
    """An image index: one entry for each platform."""

    entries: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest of one image."""

    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """The verified bytes of a manifest or index, as its origin served them.

    ``media_type`` is what the origin or the descriptor says it is, empty when nothing does.
    """

    data: bytes = field(repr=False)
    digest: Digest
    media_type: str


def verified(data: bytes, expected: Descriptor, what: str) -> Document:
    """The document, when its bytes are those that the descriptor promises.

    Raises:
        SizeMismatch, DigestMismatch: they are not.
    """
    if len(data) != expected.size:
        raise SizeMismatch(
            f"{what} {expected.digest} has {len(data)} bytes, but {expected.size} are promised"
        )
    actual = digest_of(data, expected.digest.algorithm)
    if actual != expected.digest:
        raise DigestMismatch(f"{what} has the digest {actual}, but {expected.digest} is promised")
    return Document(data, actual, expected.media_type)


def digest_of(data: bytes, algorithm: str = "sha256") -> Digest:
    """The digest of these bytes; ``algorithm`` is sha256 or sha512."""
    return Digest(algorithm, hashlib.new(algorithm, data).hexdigest())


def parse_document(document: Document) -> Index | Manifest:
    """Tell index from manifest, and read it.

    A document that could be read as either is refused, as distribution clients do since
    CVE-2021-41190.

    Raises:
        UnsupportedImage: schema 1, an artifact that is no image, a layer that cannot be had.
        ImageFormatError: the document breaks its specification.
    """
    content = JsonObject.parse(document.data, f"the manifest {document.digest}")
    media_type = content.text("mediaType", "")
    if content.integer("schemaVersion", 0) == 1 or document.media_type.startswith(_SCHEMA_1):
        raise UnsupportedImage(
            f"{content.what} has the obsolete schema 1", advice="push the image again with a current tool"
        )
    claims = {claim for claim in (media_type, document.media_type) if claim}
    is_index = content.has("manifests")
    if is_index and (content.has("layers") or content.has("config")):
        raise ImageFormatError(f"{content.what} is both an index and a manifest")
    if claims & set(MANIFEST_TYPES if is_index else INDEX_TYPES):
        claim = ", ".join(sorted(claims))
        raise ImageFormatError(f"{content.what} is not what its media type says ({claim})")
    return _read_index(content) if is_index else _read_manifest(content)


def read_descriptor(content: JsonObject) -> Descriptor:
    """One descriptor.

    Raises:
        ImageFormatError: a member is missing, of a wrong type, or no digest.
    """
    try:
        digest = Digest.parse(content.text("digest"))
    except InvalidReference as error:
        raise ImageFormatError(f"{content.what}: {error.message}") from None
    platform = content.child("platform")
    return Descriptor(
        content.text("mediaType", ""),
        digest,
        content.integer("size"),
        _read_platform(platform) if platform is not None else None,
        content.text("artifactType", ""),
        content.text_map("annotations"),
    )


def _read_index(content: JsonObject) -> Index:
    entries = content.children("manifests")
    if len(entries) > INDEX_ENTRY_LIMIT:
        raise ImageFormatError(f"{content.what} has {len(entries)} entries; {INDEX_ENTRY_LIMIT} are allowed")
    return Index(tuple(read_descriptor(entry) for entry in entries))


def _read_manifest(content: JsonObject) -> Manifest:
    config_member = content.child("config")
    if config_member is None:
        content.fail("config", "a descriptor")
    config = read_descriptor(config_member)
    if config.media_type and config.media_type not in _CONFIG_TYPES:
        kind = content.text("artifactType", "") or config.media_type
        raise UnsupportedImage(f"{content.what} is no container image but an artifact of type {kind}")
    members = content.children("layers")
    if len(members) > LAYER_LIMIT:
        raise ImageFormatError(f"{content.what} has {len(members)} layers; {LAYER_LIMIT} are allowed")
    layers = tuple(read_descriptor(member) for member in members)
    for number, layer in enumerate(layers):
        _check_layer_type(layer.media_type, f"layer {number} of {content.what}")
    return Manifest(config, layers, content.text_map("annotations"))


def _check_layer_type(media_type: str, what: str) -> None:
    if media_type.endswith("+encrypted"):
        raise UnsupportedImage(f"{what} is encrypted", advice="decrypt it with a tool that has the key first")
    if media_type.startswith(_FOREIGN_LAYERS):
        raise UnsupportedImage(
            f"{what} is a foreign (non-distributable) layer, which registries do not hold",
            advice="scan an image without foreign layers",
        )
    if media_type not in _LAYER_TYPES:
        raise UnsupportedImage(f"{what} has the unknown media type {media_type!r}")


def _read_platform(content: JsonObject) -> Platform | None:
    """The platform of a descriptor or config; None when it names no architecture."""
    parts = (content.text("os", ""), content.text("architecture", ""), content.text("variant", ""))
    if not parts[1]:
        return None
    try:
        return Platform.parse("/".join(part for part in (parts[0] or "linux", *parts[1:]) if part))
    except InvalidReference as error:
        raise ImageFormatError(f"{content.what}: {error.message}") from None


def parse_config(data: bytes, what: str) -> ImageConfig:
    """Read an image config.

    Raises:
        ImageFormatError: the document breaks its specification.
    """
    content = JsonObject.parse(data, what)
    platform = _read_platform(content)
    if platform is None:
        content.fail("architecture", "a string")
    rootfs = content.child("rootfs")
    try:
        diff_ids = tuple(Digest.parse(text) for text in (rootfs.texts("diff_ids") if rootfs else None) or ())
    except InvalidReference as error:
        raise ImageFormatError(f"{what}: {error.message}") from None
    history = tuple(
        HistoryEntry(
            entry.text("created_by", ""),
            entry.flag("empty_layer"),
            entry.text("comment", ""),
            entry.text("created", ""),
            entry.text("author", ""),
        )
        for entry in content.children("history")
    )
    start = content.child("config") or JsonObject({}, f"config of {what}")
    return read_start(start, platform, history, diff_ids, content.text("created", ""))


def read_start(
    content: JsonObject,
    platform: Platform,
    history: tuple[HistoryEntry, ...],
    diff_ids: tuple[Digest, ...],
    created: str,
) -> ImageConfig:
    """An image config from its ``config`` member, which engines also show on their own.

    Raises:
        ImageFormatError: a member has a wrong type.
    """
    healthcheck = content.child("Healthcheck")
    return ImageConfig(
        platform=platform,
        entrypoint=content.texts("Entrypoint", or_text=True),
        cmd=content.texts("Cmd", or_text=True),
        shell=content.texts("Shell", or_text=True),
        env=content.texts("Env") or (),
        user=content.text("User", ""),
        working_dir=content.text("WorkingDir", ""),
        healthcheck=healthcheck.texts("Test") if healthcheck is not None else None,
        history=history,
        diff_ids=diff_ids,
        labels=content.text_map("Labels"),
        created=created,
    )


def describe_layers(
    config: ImageConfig, stored: tuple[Descriptor, ...] | None
) -> tuple[tuple[LayerDescriptor, ...], bool]:
    """Join the manifest's layers, the config's diff IDs and the history lines.

    ``stored`` is None where the origin has no blobs but only the layers' tars. The second value
    tells whether the history names each layer; where it does not (squashed and rebased images),
    no layer gets a line, because a wrong line is worse than none.

    Raises:
        ImageFormatError: there are more or fewer layers than diff IDs.
    """
    count = len(config.diff_ids)
    if stored is not None and len(stored) != count:
        raise ImageFormatError(f"the manifest has {len(stored)} layers, but the config {count} diff IDs")
    lines = [entry.created_by for entry in config.history if not entry.empty_layer]
    aligned = len(lines) == count
    layers = tuple(
        LayerDescriptor(
            index=index,
            digest=stored[index].digest if stored else None,
            size=stored[index].size if stored else None,
            media_type=stored[index].media_type if stored else OCI_LAYER,
            diff_id=diff_id,
            created_by=lines[index] if aligned else "",
        )
        for index, diff_id in enumerate(config.diff_ids)
    )
    return layers, aligned
