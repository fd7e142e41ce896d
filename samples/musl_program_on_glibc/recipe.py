"""A program built on Alpine, copied into an image that has only glibc."""

from __future__ import annotations

from samples.oci import ImageBuilder
from samples.parts import glibc_image
from samples.workshop import Workshop


def build(workshop: Workshop) -> ImageBuilder:
    """The image."""
    image, _ = glibc_image(workshop, "/usr/local/bin/hello")
    program = workshop.program("hello.c", workshop.musl_target)
    return image.layer({"usr/local/bin/hello": program}, "COPY --from=build /out/hello /usr/local/bin/")
