"""What glibc refuses in ``dlopen`` that it would load at start-up.

New objects of a process enter, faults leave. Mirrors ``_dl_map_object_from_fd`` (elf/dl-load.c:
DF_1_NOOPEN, position-independent executables) and ``_dl_make_stack_executable`` as called for
opened objects (elf/dl-execstack.c, refused from 2.41 on); ``loader.md`` sections 4.3 and 10.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from imagescan.elf.facts import ElfFacts, ElfType
from imagescan.loader.process import Mapped
from imagescan.loader.values import LoaderFault, OptionalLibrary

_STACK_REFUSED = (2, 41)


def dlopen_faults(
    new: Sequence[Mapped], plugin: Mapped, program: ElfFacts, glibc: tuple[int, ...] | None
) -> list[LoaderFault]:
    """Why opening ``plugin`` fails although all its libraries and symbols are there."""
    faults = []
    if plugin.elf.refuses_dlopen:
        faults.append(
            LoaderFault("not-for-dlopen", plugin.path, f"{plugin.path}: shared object cannot be dlopen()ed")
        )
    if plugin.elf.type == ElfType.EXEC:
        faults.append(
            LoaderFault("not-for-dlopen", plugin.path, f"{plugin.path}: cannot dynamically load executable")
        )
    elif plugin.elf.is_pie:
        text = f"{plugin.path}: cannot dynamically load position-independent executable"
        faults.append(LoaderFault("not-for-dlopen", plugin.path, text))
    if (glibc is None or glibc >= _STACK_REFUSED) and not program.executable_stack:
        faults += [
            LoaderFault(
                "executable-stack",
                one.path,
                f"{one.path}: cannot enable executable stack as shared object requires: Invalid argument",
            )
            for one in new
            if one.elf.executable_stack
        ]
    return faults


def missing_announcements(elf: ElfFacts, opens: Callable[[str], bool]) -> tuple[OptionalLibrary, ...]:
    """The entries of ``.note.dlopen`` (UAPI.12) of which no alternative can be opened."""
    return tuple(
        OptionalLibrary(note.sonames, note.feature, note.description, note.priority)
        for note in elf.dlopen_notes
        if note.sonames and not any(opens(name) for name in note.sonames)
    )
