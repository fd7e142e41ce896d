"""One package was upgraded, the library that it calls was not: musl finds a symbol missing."""

from __future__ import annotations

from samples.oci import File, ImageBuilder
from samples.parts import greet_library, musl_image
from samples.workshop import Workshop


def build(workshop: Workshop) -> ImageBuilder:
    """The image."""
    target = workshop.musl_target
    image, libraries = musl_image(workshop, "/usr/bin/visit")
    older, newer = greet_library(workshop, target), greet_library(workshop, target, formal=True)
    image.layer({f"{libraries}/libgreet.so.1": File(older)}, "ADD base with libgreet 1.0")
    door = workshop.library("door.c", target, "libdoor.so.4", libraries=[newer])
    upgraded = {
        f"{libraries}/libdoor.so.4": File(door),
        "usr/bin/visit": workshop.program("visit.c", target, [door], ["-Wl,--allow-shlib-undefined"]),
    }
    return image.layer(upgraded, "RUN apk add visit")
