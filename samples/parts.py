"""What several recipes have in common: images that start well, to be broken by one more layer."""

from __future__ import annotations

from pathlib import Path

from samples.oci import File, ImageBuilder
from samples.workshop import SOURCES, Workshop


def glibc_image(workshop: Workshop, entrypoint: str = "/usr/local/bin/welcome") -> tuple[ImageBuilder, str]:
    """An image with only this machine's glibc, and the directory of its libraries."""
    base = workshop.glibc_base()
    image = ImageBuilder(workshop.platform, {"Entrypoint": [entrypoint]})
    return image.layer(base.entries, base.created_by), base.library_directory


def musl_image(workshop: Workshop, entrypoint: str = "/usr/local/bin/welcome") -> tuple[ImageBuilder, str]:
    """An image with only musl, and the directory of its libraries."""
    base = workshop.musl_base()
    image = ImageBuilder(workshop.platform, {"Entrypoint": [entrypoint]})
    return image.layer(base.entries, base.created_by), base.library_directory


def greet_library(workshop: Workshop, target: str, *, formal: bool = False, versions: bool = False) -> Path:
    """libgreet.so.1: the newer release when ``formal``, with symbol versions when ``versions``."""
    flags = ["-DFORMAL"] if formal else []
    if versions:
        flags.append(f"-Wl,--version-script={SOURCES / ('greet-2.map' if formal else 'greet-1.map')}")
    variant = ("-formal" if formal else "") + ("-versions" if versions else "")
    return workshop.library("greet.c", target, "libgreet.so.1", flags=flags, variant=variant)


def welcome_program(workshop: Workshop, target: str, library: Path, *, formal: bool = False) -> File:
    """The program that needs libgreet.so.1."""
    return workshop.program("welcome.c", target, [library], ["-DFORMAL"] if formal else [])
