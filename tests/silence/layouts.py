"""An OCI layout of a large root file system with small layers on top, written without loading it.

In: a root, and layers as mappings of path to entry. Out: a layout directory, kept in the test cache.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from samples.oci import CONFIG, INDEX, LAYER, MANIFEST, Entry, layer_tar

_CREATED = "2026-01-01T00:00:00Z"
_OPTIONS = ("--sort=name", "--numeric-owner", "--format=pax", "--one-file-system")


@dataclass(frozen=True)
class Layer:
    """A layer with the instruction that made it."""

    created_by: str
    entries: Mapping[str, Entry]


def write_layout(directory: Path, base: Path, layers: Sequence[Layer], config: Mapping[str, object]) -> None:
    """Write ``base`` as the lowest layer and the others above it, all uncompressed."""
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    unnamed = blobs / "base"
    subprocess.run(["tar", *_OPTIONS, "-C", base, "-cf", unnamed, "."], check=True)
    with unnamed.open("rb") as tar:
        digest = hashlib.file_digest(tar, "sha256").hexdigest()
    descriptors = [_descriptor(unnamed.rename(blobs / digest), LAYER)]
    descriptors += [_put(blobs, layer_tar(layer.entries), LAYER) for layer in layers]
    history = [{"created": _CREATED, "created_by": "ADD rootfs.tar /"}]
    history += [{"created": _CREATED, "created_by": layer.created_by} for layer in layers]
    configuration = {
        "created": _CREATED,
        "os": "linux",
        "architecture": "amd64",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [one["digest"] for one in descriptors]},
        "history": history,
    }
    described = _put(blobs, json.dumps(configuration).encode(), CONFIG)
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": descriptors}
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [_put(blobs, json.dumps(manifest).encode(), MANIFEST)],
    }
    (directory / "index.json").write_text(json.dumps(index))
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def _put(blobs: Path, content: bytes, media_type: str) -> dict[str, object]:
    blob = blobs / hashlib.sha256(content).hexdigest()
    blob.write_bytes(content)
    return _descriptor(blob, media_type)


def _descriptor(blob: Path, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": f"sha256:{blob.name}", "size": blob.stat().st_size}
