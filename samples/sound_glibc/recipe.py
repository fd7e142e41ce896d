"""A program, its library on the loader's search path, and a shell script, on glibc: all start."""

from __future__ import annotations

from samples.oci import File, ImageBuilder
from samples.parts import glibc_image, greet_library, welcome_program
from samples.workshop import Workshop


def build(workshop: Workshop) -> ImageBuilder:
    """The image."""
    target = workshop.glibc_target()
    image, libraries = glibc_image(workshop, "/usr/local/bin/start")
    library = greet_library(workshop, target)
    image.layer({"usr/bin/sh": workshop.program("shell.c", target)}, "RUN install the shell")
    image.layer({f"{libraries}/libgreet.so.1": File(library)}, "RUN install libgreet")
    image.layer(
        {"usr/local/bin/welcome": welcome_program(workshop, target, library)}, "COPY welcome /usr/local/bin/"
    )
    script = File(b"#!/bin/sh\nexec welcome\n", mode=0o755)
    return image.layer({"usr/local/bin/start": script}, "COPY start /usr/local/bin/")
