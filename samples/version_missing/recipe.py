"""The program was built against a newer release of its library than the image has."""

from __future__ import annotations

from samples.oci import File, ImageBuilder
from samples.parts import glibc_image, greet_library, welcome_program
from samples.workshop import Workshop


def build(workshop: Workshop) -> ImageBuilder:
    """The image."""
    target = workshop.glibc_target()
    image, libraries = glibc_image(workshop)
    older = greet_library(workshop, target, versions=True)
    newer = greet_library(workshop, target, versions=True, formal=True)
    image.layer({f"{libraries}/libgreet.so.1": File(older)}, "RUN apt-get install -y libgreet1")
    program = welcome_program(workshop, target, newer, formal=True)
    return image.layer({"usr/local/bin/welcome": program}, "COPY --from=build /out/welcome /usr/local/bin/")
