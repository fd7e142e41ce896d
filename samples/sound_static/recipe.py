"""A static program alone in its image: it needs no loader."""

from __future__ import annotations

from samples.oci import ImageBuilder
from samples.workshop import Workshop


def build(workshop: Workshop) -> ImageBuilder:
    """The image."""
    program = workshop.program("hello.c", workshop.musl_target, flags=["-static"])
    return ImageBuilder(workshop.platform, {"Entrypoint": ["/hello"]}).layer(
        {"hello": program}, "COPY hello /"
    )
