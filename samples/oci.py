"""Write OCI image layouts from plain values, with no engine and no network.

Mappings of path to entry enter, a layout directory (``oci-layout``, ``index.json``, ``blobs/``)
leaves. Follows the OCI image specification: image-layout.md, image-index.md, manifest.md,
config.md and layer.md (whiteouts). Equal input gives equal bytes, so digests are stable.

    image = ImageBuilder("linux/amd64", {"Entrypoint": ["/app"]})
    image.layer({"app": File(b"...", mode=0o755), "etc": Directory()}, created_by="COPY app /app")
    image.layer({"etc/old": Whiteout()}, created_by="RUN rm /etc/old")
    write_layout(Path("layout"), {"latest": image, "both": Index(image, other)})
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import sys
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
REFERENCE_NAME = "org.opencontainers.image.ref.name"

Compression = Literal["gzip", "zstd", "none"]
_CREATED = "2026-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class File:
    """A regular file; ``content`` is its bytes or the host file that holds them."""

    content: bytes | Path
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    extended_attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory."""

    mode: int = 0o755
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class Symlink:
    """A symbolic link with its target as written."""

    target: str


@dataclass(frozen=True, slots=True)
class HardLink:
    """Another name for the file at ``target`` (a path in the image, no leading slash)."""

    target: str


@dataclass(frozen=True, slots=True)
class Device:
    """A device node or a FIFO."""

    kind: Literal["character", "block", "fifo"]
    major: int = 0
    minor: int = 0
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Whiteout:
    """Removes the path of lower layers (written as ``.wh.NAME``)."""


@dataclass(frozen=True, slots=True)
class OpaqueWhiteout:
    """Hides everything of lower layers under the directory (written as ``.wh..wh..opq``)."""


Entry = File | Directory | Symlink | HardLink | Device | Whiteout | OpaqueWhiteout
_DEVICE_TYPES = {"character": tarfile.CHRTYPE, "block": tarfile.BLKTYPE, "fifo": tarfile.FIFOTYPE}


def layer_tar(entries: Mapping[str, Entry | bytes]) -> bytes:
    """The uncompressed tar of one layer, members in the mapping's order.

    ``bytes`` stand for a plain file. No parent directory is added: name those that matter.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, entry in entries.items():
            _add(archive, path, File(entry) if isinstance(entry, bytes) else entry)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, path: str, entry: Entry) -> None:
    member = tarfile.TarInfo(path)
    content: bytes | None = None
    match entry:
        case File():
            content = entry.content if isinstance(entry.content, bytes) else entry.content.read_bytes()
            member.size = len(content)
            member.mode, member.uid, member.gid = entry.mode, entry.uid, entry.gid
            member.pax_headers = {f"SCHILY.xattr.{k}": v for k, v in entry.extended_attributes.items()}
        case Directory():
            member.type = tarfile.DIRTYPE
            member.mode, member.uid, member.gid = entry.mode, entry.uid, entry.gid
        case Symlink():
            member.type, member.mode, member.linkname = tarfile.SYMTYPE, 0o777, entry.target
        case HardLink():
            member.type, member.linkname = tarfile.LNKTYPE, entry.target
        case Device():
            member.type, member.mode = _DEVICE_TYPES[entry.kind], entry.mode
            member.devmajor, member.devminor = entry.major, entry.minor
        case Whiteout():
            parent, slash, name = path.rpartition("/")
            member.name = f"{parent}{slash}.wh.{name}"
        case OpaqueWhiteout():
            member.name = f"{path}/.wh..wh..opq"
    archive.addfile(member, io.BytesIO(content) if content is not None else None)


def compress(tar: bytes, compression: Compression) -> tuple[bytes, str]:
    """A layer's blob and media type."""
    if compression == "gzip":
        return gzip.compress(tar, compresslevel=1, mtime=0), f"{LAYER}+gzip"
    if compression == "zstd":
        return _zstd_compress()(tar), f"{LAYER}+zstd"
    return tar, LAYER


def _zstd_compress() -> Callable[[bytes], bytes]:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd.compress  # type: ignore[no-any-return, unused-ignore]


def digest_of(blob: bytes) -> str:
    """``sha256:...`` of some bytes."""
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


@dataclass(frozen=True, slots=True)
class LayerBlob:
    """One layer as it is stored, with the digest of its tar."""

    blob: bytes
    media_type: str
    diff_id: str


class ImageBuilder:
    """One image of one platform, built layer by layer.

    ``config`` is the ``config`` object of the image configuration (``Entrypoint``, ``Cmd``,
    ``Env``, ``User``, ``WorkingDir``, ``Shell``, ``Healthcheck``, ...), written as given.
    """

    def __init__(self, platform: str = "linux/amd64", config: Mapping[str, Any] | None = None) -> None:
        self.platform = platform
        self.config = dict(config or {})
        self.layers: list[LayerBlob] = []
        self.history: list[dict[str, Any]] = []

    def layer(
        self,
        entries: Mapping[str, Entry | bytes],
        created_by: str = "",
        compression: Compression = "gzip",
    ) -> ImageBuilder:
        """Add a layer and its line of history; returns itself."""
        return self.raw_layer(layer_tar(entries), created_by, compression)

    def raw_layer(self, tar: bytes, created_by: str = "", compression: Compression = "gzip") -> ImageBuilder:
        """Add a layer from the bytes of a tar, whatever they are (hostile ones for tests)."""
        blob, media_type = compress(tar, compression)
        self.layers.append(LayerBlob(blob, media_type, digest_of(tar)))
        self.history.append({"created": _CREATED, "created_by": created_by})
        return self

    def instruction(self, created_by: str) -> ImageBuilder:
        """Add a line of history that made no layer, such as ``ENV A=b``."""
        self.history.append({"created": _CREATED, "created_by": created_by, "empty_layer": True})
        return self

    def platform_object(self) -> dict[str, str]:
        """The platform as an index or a config writes it."""
        names = ("os", "architecture", "variant")
        return dict(zip(names, self.platform.split("/"), strict=False))

    def configuration(self) -> bytes:
        """The image configuration document."""
        return _document(
            {
                "created": _CREATED,
                **self.platform_object(),
                "config": self.config,
                "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in self.layers]},
                "history": self.history,
            }
        )


class Index:
    """Several images under one name. ``attestation`` adds an ``unknown/unknown`` entry for each,
    as BuildKit does for provenance."""

    def __init__(self, *images: ImageBuilder, attestation: bool = False) -> None:
        self.images = images
        self.attestation = attestation


def write_layout(directory: Path, images: Mapping[str, ImageBuilder | Index]) -> Path:
    """Write a layout with one entry for each tag ("" for an entry without a name).

    Returns the directory, which is made when it does not exist.
    """
    blobs = _Blobs(directory)
    manifests = []
    for tag, image in images.items():
        descriptor = _index(blobs, image) if isinstance(image, Index) else _manifest(blobs, image)
        if tag:
            descriptor["annotations"] = {REFERENCE_NAME: tag}
        manifests.append(descriptor)
    (directory / "oci-layout").write_bytes(_document({"imageLayoutVersion": "1.0.0"}))
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
    (directory / "index.json").write_bytes(_document(index))
    return directory


def write_archive(file: Path, layout: Path) -> Path:
    """Pack a layout directory as an ``oci-archive`` (a plain tar of it)."""
    with tarfile.open(file, "w") as archive:
        for path in sorted(layout.rglob("*")):
            archive.add(path, path.relative_to(layout).as_posix(), recursive=False)
    return file


class _Blobs:
    """The ``blobs/`` directory of a layout."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "blobs" / "sha256"
        self._directory.mkdir(parents=True, exist_ok=True)

    def put(self, blob: bytes, media_type: str) -> dict[str, Any]:
        """Store the bytes; returns their descriptor."""
        digest = digest_of(blob)
        (self._directory / digest.partition(":")[2]).write_bytes(blob)
        return {"mediaType": media_type, "digest": digest, "size": len(blob)}


def _manifest(blobs: _Blobs, image: ImageBuilder) -> dict[str, Any]:
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": blobs.put(image.configuration(), CONFIG),
        "layers": [blobs.put(layer.blob, layer.media_type) for layer in image.layers],
    }
    return blobs.put(_document(document), MANIFEST)


def _index(blobs: _Blobs, index: Index) -> dict[str, Any]:
    manifests = [{**_manifest(blobs, image), "platform": image.platform_object()} for image in index.images]
    if index.attestation:
        manifests += [_attestation(blobs, descriptor["digest"]) for descriptor in manifests]
    return blobs.put(_document({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}), INDEX)


def _attestation(blobs: _Blobs, subject: str) -> dict[str, Any]:
    statement = blobs.put(b'{"_type":"https://in-toto.io/Statement/v0.1"}', "application/vnd.in-toto+json")
    config = blobs.put(
        b'{"architecture":"unknown","os":"unknown","config":{},"rootfs":{"type":"layers","diff_ids":[]}}',
        CONFIG,
    )
    document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [statement]}
    return {
        **blobs.put(_document(document), MANIFEST),
        "platform": {"os": "unknown", "architecture": "unknown"},
        "annotations": {
            "vnd.docker.reference.digest": subject,
            "vnd.docker.reference.type": "attestation-manifest",
        },
    }


def _document(value: Mapping[str, Any] | Sequence[Any]) -> bytes:
    return json.dumps(value, indent=1).encode()
