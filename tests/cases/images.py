"""Images as cases write them: a base and layers on top, each a mapping of path to content.

    debian("bookworm").layer("COPY --from=build /app /app", {"/app": Program(gnu("2.39"))}).starts("/app")

Values enter and leave; nothing is compiled or written before ``write``.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from samples.oci import (
    Directory,
    Entry,
    File,
    HardLink,
    ImageBuilder,
    Index,
    LayerBlob,
    OpaqueWhiteout,
    Symlink,
    Whiteout,
    compress,
    digest_of,
    layer_tar,
    write_layout,
)
from tests.cases.parts import Part
from tests.requirements import require_root

__all__ = [
    "GONE", "Content", "Directory", "File", "HardLink", "Image", "Layer", "OpaqueWhiteout", "Symlink",
    "script", "write",
]  # fmt: skip

Content = str | bytes | Entry | Part
GONE = Whiteout()
TAG = "latest"


def script(text: str) -> File:
    """An executable script."""
    return File(text.encode(), mode=0o755)


class Layer:
    """One layer. A base's entries are made when they are first asked for, and its blob once."""

    def __init__(
        self, created_by: str, entries: Mapping[str, Content] | Callable[[], Mapping[str, Content]]
    ) -> None:
        self.created_by = created_by
        self._entries = entries

    @cached_property
    def entries(self) -> Mapping[str, Entry | bytes]:
        """What the layer has, by path without a leading slash."""
        made = self._entries() if callable(self._entries) else self._entries
        return {path.lstrip("/"): _entry(content) for path, content in made.items()}

    @cached_property
    def blob(self) -> LayerBlob:
        """The layer as it is stored."""
        tar = layer_tar(self.entries)
        blob, media_type = compress(tar, "gzip")
        return LayerBlob(blob, media_type, digest_of(tar))


@dataclass(frozen=True, eq=False)
class Image:
    """One image of one platform; every method returns another image."""

    layers: tuple[Layer, ...] = ()
    platform: str = "linux/amd64"
    config: Mapping[str, Any] = field(default_factory=dict)
    instructions: Mapping[int, str] = field(default_factory=dict)  # before which layer: ENV and the like

    def layer(self, created_by: str, entries: Mapping[str, Content]) -> Image:
        """With one more layer."""
        return replace(self, layers=(*self.layers, Layer(created_by, entries)))

    def starts(self, *entrypoint: str) -> Image:
        """With an ENTRYPOINT in exec form."""
        return self.configured(Entrypoint=list(entrypoint))

    def configured(self, **config: object) -> Image:
        """With fields of the image configuration, as they are spelled there."""
        return replace(self, config={**self.config, **config})

    def env(self, *variables: str) -> Image:
        """With environment variables, and the line of history that ENV leaves."""
        known = [*self.config.get("Env", []), *variables]
        line = {len(self.layers): f"ENV {' '.join(variables)}"}
        return replace(self.configured(Env=known), instructions={**self.instructions, **line})

    def ldconfig(self) -> Image:
        """With the loader cache that the image's own ldconfig makes (as RUN ldconfig)."""
        merged = {path: entry for layer in self.layers for path, entry in layer.entries.items()}
        kept = {path: entry for path, entry in merged.items() if not isinstance(entry, Whiteout)}
        cache = with_loader_cache(kept)["etc/ld.so.cache"]
        return self.layer("RUN ldconfig", {"/etc/ld.so.cache": cache})

    def builder(self) -> ImageBuilder:
        """As ``samples`` writes it."""
        image = ImageBuilder(self.platform, self.config)
        for position, layer in enumerate(self.layers):
            if position in self.instructions:
                image.instruction(self.instructions[position])
            image.layers.append(layer.blob)
            image.history.append({"created_by": layer.created_by})
        for position in sorted(set(self.instructions) - set(range(len(self.layers)))):
            image.instruction(self.instructions[position])
        return image


def write(directory: Path, *images: Image) -> Path:
    """Write one image, or an index of several, as an OCI layout."""
    builders = [image.builder() for image in images]
    top = builders[0] if len(builders) == 1 else Index(*builders, attestation=True)
    return write_layout(directory, {TAG: top})


def _entry(content: Content) -> Entry | bytes:
    if isinstance(content, Part):
        return content.entry()
    return content.encode() if isinstance(content, str) else content


def with_loader_cache(entries: Mapping[str, Entry | bytes]) -> dict[str, Entry | bytes]:
    """The same entries with the cache that their own ldconfig makes of them (it enters the root)."""
    require_root()
    with tempfile.TemporaryDirectory() as name:
        archive = Path(name, "layer.tar")
        archive.write_bytes(layer_tar(entries))
        root = Path(name, "root")
        root.mkdir()
        subprocess.run(["tar", "-xf", archive, "-C", root], check=True)
        made = root / "etc/ld.so.cache"
        ldconfig = root / "usr/sbin/ldconfig"
        subprocess.run([ldconfig, "-X", "-r", root], check=True, capture_output=True)
        return {**entries, "etc/ld.so.cache": made.read_bytes()}
