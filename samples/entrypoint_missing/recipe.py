"""The entrypoint names a program that no layer brought."""

from __future__ import annotations

from samples.oci import ImageBuilder
from samples.parts import glibc_image
from samples.workshop import Workshop


def build(workshop: Workshop) -> ImageBuilder:
    """The image."""
    image, _ = glibc_image(workshop, "/usr/local/bin/wellcome")
    program = workshop.program("hello.c", workshop.glibc_target())
    return image.layer({"usr/local/bin/welcome": program}, "COPY welcome /usr/local/bin/")
