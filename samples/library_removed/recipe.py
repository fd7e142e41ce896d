"""One layer installs the library, a later one cleans up too much: the program cannot start."""

from __future__ import annotations

from samples.oci import File, ImageBuilder, Whiteout
from samples.parts import glibc_image, greet_library, welcome_program
from samples.workshop import Workshop


def build(workshop: Workshop) -> ImageBuilder:
    """The image."""
    target = workshop.glibc_target()
    image, libraries = glibc_image(workshop)
    library = greet_library(workshop, target)
    image.layer({f"{libraries}/libgreet.so.1": File(library)}, "RUN apt-get install -y libgreet-dev")
    image.layer({"usr/local/bin/welcome": welcome_program(workshop, target, library)}, "RUN make install")
    return image.layer(
        {f"{libraries}/libgreet.so.1": Whiteout()}, "RUN apt-get purge -y --auto-remove libgreet-dev"
    )
