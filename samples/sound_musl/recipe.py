"""A program and its library on musl: all start."""

from __future__ import annotations

from samples.oci import File, ImageBuilder
from samples.parts import greet_library, musl_image, welcome_program
from samples.workshop import Workshop


def build(workshop: Workshop) -> ImageBuilder:
    """The image."""
    image, libraries = musl_image(workshop)
    library = greet_library(workshop, workshop.musl_target)
    image.layer({f"{libraries}/libgreet.so.1": File(library)}, "RUN apk add libgreet")
    program = welcome_program(workshop, workshop.musl_target, library)
    return image.layer({"usr/local/bin/welcome": program}, "COPY welcome /usr/local/bin/")
