"""The library was copied to /usr/local/lib, but ldconfig never ran: glibc does not look there."""

from __future__ import annotations

from samples.oci import Directory, File, ImageBuilder
from samples.parts import glibc_image, greet_library, welcome_program
from samples.workshop import Workshop


def build(workshop: Workshop) -> ImageBuilder:
    """The image."""
    target = workshop.glibc_target()
    image, _ = glibc_image(workshop)
    library = greet_library(workshop, target)
    image.layer(
        {"usr/local/lib": Directory(), "usr/local/lib/libgreet.so.1": File(library)},
        "COPY --from=build /out/lib /usr/local/lib",
    )
    program = welcome_program(workshop, target, library)
    return image.layer({"usr/local/bin/welcome": program}, "COPY --from=build /out/welcome /usr/local/bin/")
