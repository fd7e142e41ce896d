"""An entrypoint script that was checked out on Windows: the kernel looks for /bin/sh and a return."""

from __future__ import annotations

from samples.oci import File, ImageBuilder
from samples.parts import glibc_image
from samples.workshop import Workshop


def build(workshop: Workshop) -> ImageBuilder:
    """The image."""
    image, _ = glibc_image(workshop, "/entrypoint.sh")
    image.layer({"usr/bin/sh": workshop.program("shell.c", workshop.glibc_target())}, "RUN install the shell")
    script = File(b"#!/bin/sh\r\nset -e\r\nexec welcome\r\n", mode=0o755)
    return image.layer({"entrypoint.sh": script}, "COPY entrypoint.sh /")
