"""A small image of several layers with every kind of content, and scans of it with a cache."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from imagescan.cache.session import CacheSession
from imagescan.judging import ImageScan
from imagescan.layers import parallel
from imagescan.layers.values import LayerIndex
from imagescan.options import CacheOptions, Message, ScanOptions
from imagescan.rules.examples.elf_writer import ElfStandIn, write_elf
from imagescan.rules.examples.notation import GLIBC_MARKS
from imagescan.scan import KnownImage, scan
from imagescan.sources.select import SourceOptions, open_source
from imagescan.sources.values import ImageManifest
from samples.oci import File, ImageBuilder, write_layout

WAYS = ("here", "threads", "processes")
LOADER = "/lib64/ld-linux-x86-64.so.2"
LIBRARIES = "usr/lib/x86_64-linux-gnu"


def base_layer() -> dict[str, File]:
    """A loader, a library, a script, a kept file, a database, foreign programs and an archive."""
    library = ElfStandIn(soname="libx.so.1", versions=("V1",), defined=("hello@V1",))
    return {
        "lib64/ld-linux-x86-64.so.2": File(
            write_elf(ElfStandIn(soname="ld-linux-x86-64.so.2", marks=GLIBC_MARKS)), mode=0o755
        ),
        f"{LIBRARIES}/libx.so.1": File(write_elf(library)),
        "usr/bin/run": File(b"#!/bin/sh\nexec /app \xff\n", mode=0o755),
        "etc/passwd": File(b"root:x:0:0::/root:/bin/sh\n"),
        "var/lib/dpkg/status": File(
            b"Package: x\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n"
        ),
        "opt/setup.exe": File(
            b"MZ" + bytes(58) + (64).to_bytes(4, "little") + b"PE\0\0\x64\x86" + bytes(300)
        ),
        "opt/x.jar": File(_jar({"native/libx.so": write_elf(library)})),
    }


def program_layer(needed: str = "libx.so.1") -> dict[str, File]:
    """A program that needs a library."""
    program = ElfStandIn(type="program", interpreter=LOADER, needed=(needed,), undefined=("hello", "bye"))
    return {"app": File(write_elf(program), mode=0o755)}


def _jar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def layout(directory: Path, *layers: dict[str, File], config: dict[str, object] | None = None) -> str:
    """An image of these layers (default: the base and a program), as a word for ``scan``."""
    image = ImageBuilder("linux/amd64", {"Entrypoint": ["/app"], **(config or {})})
    for number, files in enumerate(layers or (base_layer(), program_layer("libgone.so.2"))):
        image.layer(files, created_by=f"COPY {number}")
    return f"oci:{write_layout(directory, {'latest': image})}"


class CachedScans:
    """Scans with one cache, and what they said."""

    def __init__(self, directory: Path, **limits: int) -> None:
        self.directory = directory
        self.options = ScanOptions(
            platform="linux/amd64", cache=CacheOptions(directory, **limits), on_message=self._hear
        )
        self.heard: list[Message] = []

    def __call__(self, image: str, **wishes: object) -> ImageScan | KnownImage:
        self.heard.clear()
        (found,) = scan(image, replace(self.options, **wishes))  # type: ignore[arg-type]
        return found

    def _hear(self, message: Message) -> None:
        self.heard.append(message)

    @property
    def details(self) -> list[str]:
        return [one.text for one in self.heard if one.detail]

    @property
    def warnings(self) -> list[str]:
        return [one.text for one in self.heard if not one.detail]

    @property
    def known_layers(self) -> int:
        return sum("layer" in text and text.endswith("is known") for text in self.details)

    @property
    def answered(self) -> bool:
        return any("the answer for" in text for text in self.details)

    def files(self, kind: str) -> list[Path]:
        return sorted((self.directory / kind).iterdir())


@contextmanager
def read_by(way: str) -> Iterator[None]:
    """Layers are read so, whatever their size and whatever threads a test runner has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "usable_processors", lambda: 1 if way == "here" else 2)
        patch.setattr(parallel, "may_fork", lambda: way == "processes")
        patch.setattr(parallel, "SMALL_LAYER_BYTES", 0)
        patch.setattr(parallel, "WORTH_PROCESSES_BYTES", 0)
        yield


def manifest_of(image: str) -> ImageManifest:
    with open_source(image, SourceOptions()) as source:
        (manifest,) = source.images(None)
        return manifest


def known(directory: Path, image: str) -> dict[int, LayerIndex]:
    """What the cache knows of an image's layers."""
    with CacheSession(CacheOptions(directory), None) as session:
        return dict(session.known_layers(manifest_of(image)))
