"""Builds images blob by blob, so that a test can make exactly the document that it is about."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imagescan.sources.documents import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"

Json = dict[str, Any]


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar_of(files: dict[str, bytes]) -> bytes:
    """A layer's tar with these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mode = 0o755
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@dataclass
class Store:
    """Blobs by digest, and what tags stand for."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    tags: dict[str, Json] = field(default_factory=dict)

    def add(self, data: bytes | Json, media_type: str) -> Json:
        """Keep a blob; its descriptor."""
        if not isinstance(data, bytes):
            data = json.dumps(data).encode()
        digest = sha256(data)
        self.blobs[digest] = data
        self.types[digest] = media_type
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def image(
        self,
        *tars: bytes,
        architecture: str = "amd64",
        variant: str = "",
        os: str = "linux",
        config: Json | None = None,
        manifest: Json | None = None,
        layer_type: str = LAYER_TYPE + "+gzip",
        tag: str = "",
        media_type: str = OCI_MANIFEST,
    ) -> Json:
        """An image with gzip layers; ``config`` and ``manifest`` override members. Its descriptor."""
        tars = tars or (tar_of({"etc/name": architecture.encode()}),)
        layers = [self.add(gzip.compress(tar, mtime=0), layer_type) for tar in tars]
        document = {
            "architecture": architecture,
            "os": os,
            **({"variant": variant} if variant else {}),
            "config": {"Entrypoint": ["/bin/true"], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [sha256(tar) for tar in tars]},
            "history": [{"created_by": f"COPY {number}"} for number in range(len(tars))],
            **(config or {}),
        }
        content = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": self.add(document, CONFIG_TYPE),
            "layers": layers,
            **(manifest or {}),
        }
        descriptor = self.add({key: value for key, value in content.items() if value is not None}, media_type)
        if tag:
            self.tags[tag] = descriptor
        return descriptor

    def index(self, *entries: Json, tag: str = "", **members: Any) -> Json:
        """An index of these entries; its descriptor."""
        content = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries), **members}
        descriptor = self.add(content, OCI_INDEX)
        if tag:
            self.tags[tag] = descriptor
        return descriptor

    def write_layout(self, directory: Path) -> Path:
        """The store as an OCI layout; a tag becomes a ref.name."""
        for name, data in self.layout_files().items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return directory

    def layout_files(self) -> dict[str, bytes]:
        """The files of an OCI layout."""
        entries = [
            {**descriptor, "annotations": {"org.opencontainers.image.ref.name": tag}}
            for tag, descriptor in self.tags.items()
        ]
        return {
            **{f"blobs/{digest.replace(':', '/')}": data for digest, data in self.blobs.items()},
            "index.json": json.dumps({"schemaVersion": 2, "manifests": entries}).encode(),
            "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
        }


def platform(descriptor: Json, text: str, **members: Any) -> Json:
    """The descriptor as an entry of an index: ``os/architecture[/variant]``."""
    os, architecture, *variant = text.split("/")
    named = {"os": os, "architecture": architecture, **({"variant": variant[0]} if variant else {})}
    return {**descriptor, "platform": named, **members}


__all__ = ["DOCKER_MANIFEST", "Store", "platform", "sha256", "tar_of"]
