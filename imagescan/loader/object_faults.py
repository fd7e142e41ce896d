"""What is wrong with single objects of a link map besides their libraries, versions and symbols.

Loaded objects enter, faults leave. Mirrors ``_dl_cet_check``'s neighbour for instruction sets
(sysdeps/x86/dl-prop.h, ``_dl_process_property_note``; enforced from glibc 2.33), and what loaders
before DT_RELR do with it: nothing. ``loader.md`` sections 4.11, 5 and 7.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from imagescan.elf.facts import ElfFacts
from imagescan.layers.values import ImagePath
from imagescan.loader.environment import ProcessEnvironment
from imagescan.loader.values import LoadedObject, LoaderFault

_X86_LEVELS = ("", "x86-64-v2", "x86-64-v3", "x86-64-v4")  # by bit of GNU_PROPERTY_X86_ISA_1_NEEDED
_ISA_CHECKED = (2, 33)
_RELR_KNOWN_TO_GLIBC = (2, 36)
_RELR_KNOWN_TO_MUSL = (1, 2, 4)


class Checked(Protocol):
    """A loaded object, as far as it is checked."""

    @property
    def path(self) -> str:
        """The path as the loader opened it."""
        ...

    @property
    def real(self) -> ImagePath:
        """The same after symbolic links."""
        ...

    @property
    def elf(self) -> ElfFacts:
        """What it says."""
        ...


def start_faults(
    objects: Sequence[Checked],
    glibc: tuple[int, ...] | None,
    environment: ProcessEnvironment,
    interpreter: ImagePath,
) -> tuple[LoaderFault, ...]:
    """Faults of glibc's objects; the loader itself is not checked."""
    faults: list[LoaderFault] = []
    for one in objects:
        if (glibc is None or glibc >= _ISA_CHECKED) and one.real != interpreter:
            level = needed_level(one.elf.isa_needed)
            if level and level not in environment.cpu:
                text = f"{one.path}: CPU ISA level is lower than required"
                condition = "" if environment.cpu_stated else f"on a CPU below {level}"
                faults.append(LoaderFault("cpu-level", one.path, text, condition))
        if glibc is not None and glibc < _RELR_KNOWN_TO_GLIBC and one.elf.has_relr:
            faults.append(relr_ignored(one.path))
    return tuple(faults)


def musl_relr_faults(
    objects: Sequence[LoadedObject], musl: tuple[int, ...] | None
) -> tuple[LoaderFault, ...]:
    """Packed relocations that musl before 1.2.4 leaves out."""
    if musl is None or musl >= _RELR_KNOWN_TO_MUSL:
        return ()
    return tuple(relr_ignored(one.path) for one in objects if one.elf.has_relr)


def needed_level(isa_needed: int) -> str:
    """The x86-64 level that an object's property note demands; "" for the baseline, the highest
    known one for bits that no level has yet."""
    if isa_needed <= 1:
        return ""
    return _X86_LEVELS[isa_needed.bit_length() - 1] if isa_needed < 16 else "a later x86-64 level"


def relr_ignored(path: str) -> LoaderFault:
    """The loader does not know DT_RELR: pointers in the object stay wrong, and nothing is printed."""
    return LoaderFault("relr-ignored", path, f"{path}: its packed relocations (DT_RELR) are not applied")
