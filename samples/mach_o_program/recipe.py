"""A program built on a Mac, copied into a Linux image."""

from __future__ import annotations

from samples.oci import ImageBuilder
from samples.parts import glibc_image
from samples.workshop import Workshop


def build(workshop: Workshop) -> ImageBuilder:
    """The image."""
    image, _ = glibc_image(workshop, "/usr/local/bin/hello")
    program = workshop.program("hello.c", "aarch64-macos")
    return image.layer({"usr/local/bin/hello": program}, "COPY hello /usr/local/bin/")
