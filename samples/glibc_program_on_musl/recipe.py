"""A program built on a glibc system, copied into an image that has only musl."""

from __future__ import annotations

from samples.oci import ImageBuilder
from samples.parts import musl_image
from samples.workshop import Workshop


def build(workshop: Workshop) -> ImageBuilder:
    """The image."""
    image, _ = musl_image(workshop, "/usr/local/bin/hello")
    program = workshop.program("hello.c", workshop.glibc_target())
    return image.layer({"usr/local/bin/hello": program}, "COPY --from=build /out/hello /usr/local/bin/")
