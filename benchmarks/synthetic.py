"""Images that grow in one direction only, and one of 10 GB for the limit of memory.

Their files are real ELF files of the images in the cache, each copy with its last bytes changed
(past everything that a loader reads), and plain files cut from them. Nothing is held or stored
uncompressed: each tar streams through the compressor.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import cycle, islice
from typing import BinaryIO

from benchmarks.images import Layer, blob_files, is_built, layers, pack, write_image

XL_ENTRIES = 350_000
XL_ELF_FILES = 11_000
XL_BYTES = 10 << 30
_FILES_IN_A_DIRECTORY = 200
_LARGEST_COPY = 8 << 20


def real_elf_files(image: str, largest: int = _LARGEST_COPY) -> Iterator[tuple[str, bytes]]:
    """Path and content of an image's ELF files, layer by layer, read from the Zstandard blobs."""
    for blob in blob_files(image, "zstd"):
        with subprocess.Popen(["zstd", "-dcq", blob], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            with tarfile.open(fileobj=process.stdout, mode="r|", bufsize=1 << 20) as archive:
                for member in archive:
                    file = archive.extractfile(member) if 64 < member.size <= largest else None
                    content = file.read() if file and member.isreg() else b""
                    if content.startswith(b"\x7fELF"):
                        yield member.name, content
                    archive.members.clear()


def _changed(content: bytes, number: int) -> bytes:
    return content[:-8] + number.to_bytes(8, "little")


def _add(archive: tarfile.TarFile, path: str, content: bytes, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(path)
    member.size, member.mode = len(content), mode
    archive.addfile(member, io.BytesIO(content))


def _layer(
    name: str, fill: Callable[[tarfile.TarFile], tuple[int, int]], compressions: Sequence[str]
) -> Layer:
    def write(stream: BinaryIO) -> tuple[int, int]:
        with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT, bufsize=1 << 20) as archive:
            return fill(archive)

    return pack(name, write, compressions, level=1)


def files_layer(count: int, size: int, content: bytes, name: str, compressions: Sequence[str]) -> Layer:
    """Plain files of one size, ``_FILES_IN_A_DIRECTORY`` in each directory."""

    def fill(archive: tarfile.TarFile) -> tuple[int, int]:
        for number in range(count):
            start = number * 4099 % max(1, len(content) - size)
            path = f"srv/{name}/{number // _FILES_IN_A_DIRECTORY}/{number}.txt"
            _add(archive, path, b"#" + content[start : start + size - 1])
        return count, 0

    return _layer(f"COPY {name}", fill, compressions)


def elf_layer(
    files: Iterator[tuple[str, bytes]], count: int, name: str, compressions: Sequence[str], first: int = 0
) -> Layer:
    """Copies of ELF files below ``/opt``."""

    def fill(archive: tarfile.TarFile) -> tuple[int, int]:
        written = 0
        for path, content in islice(files, count):
            _add(archive, f"opt/{name}/{first + written}/{path}", _changed(content, first + written), 0o755)
            written += 1
        return written, written

    return _layer(f"COPY {name}", fill, compressions)


def build_xl() -> None:
    """The large image and, above it, layers up to 350,000 entries, 11,000 ELF files and 10 GB."""
    parts = layers("large")
    elf_files = XL_ELF_FILES - sum(part.elf_files for part in parts)
    files = _again(lambda: real_elf_files("large"))
    parts.append(elf_layer(files, elf_files // 2, "first", ("zstd",)))
    parts.append(elf_layer(files, elf_files - elf_files // 2, "second", ("zstd",), elf_files // 2))
    count = XL_ENTRIES - sum(part.members for part in parts)
    size = (XL_BYTES - sum(part.uncompressed for part in parts)) // count - 1024
    _, content = next(real_elf_files("large"))
    parts.append(files_layer(count, max(64, size), content * (2 + size // len(content)), "data", ("zstd",)))
    write_image("xl", parts, ("zstd",))


def _again(files: Callable[[], Iterator[tuple[str, bytes]]]) -> Iterator[tuple[str, bytes]]:
    while True:
        yield from files()


def growth_images(kind: str, sizes: Sequence[int]) -> list[str]:
    """Images on the small one that have more and more of one thing; their names, in order.

    ``kind`` is ``files``, ``elf-files``, ``layers`` (the same 4,000 files and 600 ELF files in
    more layers) or ``sharing`` (images that differ in one file above shared layers).
    """
    names = [f"{kind}-{size}" for size in sizes]
    for name, size in zip(names, sizes, strict=True):
        if not is_built(name):
            write_image(name, [*layers("small"), *_grown(kind, size)], ("gzip",))
    return names


def _grown(kind: str, size: int) -> list[Layer]:
    samples = list(islice(real_elf_files("small", 256 << 10), 300))
    text = samples[0][1]
    only = ("gzip",)
    if kind == "files":
        return [files_layer(size, 200, text, "data", only)]
    if kind == "elf-files":
        return [elf_layer(cycle(samples), size, "data", only)]
    if kind == "sharing":
        return [files_layer(1, 100 + size, text, f"own-{size}", only)]
    files = cycle(samples)
    made = []
    for number in range(size // 2):
        made.append(files_layer(8000 // size, 200, text, f"data-{number}", only))
        made.append(elf_layer(files, 1200 // size, f"copies-{number}", only))
    return made


def twin(image: str, compressions: Sequence[str] = ("gzip", "zstd")) -> str:
    """An image of the same layers that starts the same and says other words of its history; its name."""
    name = f"{image}-twin"
    if not is_built(name):
        parts = [replace(part, created_by=f"{part.created_by} # again") for part in layers(image)]
        write_image(name, parts, compressions)
    return name


def other_command(image: str, compressions: Sequence[str] = ("gzip", "zstd")) -> str:
    """An image of the same layers that starts another program, so only its layers can be known; its name."""
    name = f"{image}-other-command"
    if not is_built(name):
        write_image(name, layers(image), compressions, command=("/usr/bin/perl", "-v"))
    return name
