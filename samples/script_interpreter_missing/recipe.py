"""An entrypoint script for bash, in an image that only has sh."""

from __future__ import annotations

from samples.oci import File, ImageBuilder
from samples.parts import glibc_image
from samples.workshop import Workshop


def build(workshop: Workshop) -> ImageBuilder:
    """The image."""
    image, _ = glibc_image(workshop, "/entrypoint.sh")
    image.layer({"usr/bin/sh": workshop.program("shell.c", workshop.glibc_target())}, "RUN install the shell")
    return image.layer(
        {"entrypoint.sh": File(b"#!/bin/bash\necho hello\n", mode=0o755)}, "COPY entrypoint.sh /"
    )
