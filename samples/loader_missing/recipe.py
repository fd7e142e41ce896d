"""A dynamic program alone in an empty image: nothing can load it."""

from __future__ import annotations

from samples.oci import ImageBuilder
from samples.workshop import Workshop


def build(workshop: Workshop) -> ImageBuilder:
    """The image."""
    program = workshop.program("hello.c", workshop.glibc_target())
    return ImageBuilder(workshop.platform, {"Entrypoint": ["/hello"]}).layer(
        {"hello": program}, "COPY hello /"
    )
