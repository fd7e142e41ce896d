"""What loaders refuse in ``dlopen`` that they would load at start-up.

New objects of a process enter, faults leave. Mirrors glibc's ``_dl_map_object_from_fd`` (elf/dl-load.c:
DF_1_NOOPEN, position-independent executables) and ``_dl_make_stack_executable`` as called for
opened objects (elf/dl-execstack.c, refused from 2.41 on), and musl's ``do_relocs`` (ldso/dynlink.c,
REL_TPOFF); ``loader.md`` sections 4.3 and 10.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from imagescan.elf.facts import ElfFacts, ElfType
from imagescan.loader.gnu_hash import gnu_hash
from imagescan.loader.process import Mapped
from imagescan.loader.symbol_lookup import UNVERSIONED, DefinedSymbols
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


def static_tls_faults(objects: Sequence[Mapped], known: int) -> list[LoaderFault]:
    """What musl refuses of the objects from position ``known`` on, which were opened in a running program:
    a variable with initial-exec access that none of the earlier objects defines."""
    faults = []
    for one in objects[known:]:
        name = one.elf.symbols.static_tls if one.elf.symbols else None
        if name is None:
            continue
        definer = _first_definer(objects, name) if name else known
        if definer is not None and definer >= known:
            # Of a variable without a name musl says whatever name came before it.
            variable, place = f"{name}: " if name else "", objects[definer].path if name else one.path
            reason = f"{variable}initial-exec TLS resolves to dynamic definition in {place}"
            faults.append(LoaderFault("static-tls", one.path, f"Error relocating {one.path}: {reason}"))
    return faults


def _first_definer(objects: Sequence[Mapped], name: str) -> int | None:
    wanted = name.encode("utf-8", "surrogateescape")
    for position, one in enumerate(objects):
        if one.elf.symbols is not None:
            defined = DefinedSymbols(one.elf.symbols, is_musl=True)
            if defined.answers(wanted, gnu_hash(wanted), UNVERSIONED):
                return position
    return None


def missing_announcements(elf: ElfFacts, opens: Callable[[str], bool]) -> tuple[OptionalLibrary, ...]:
    """The entries of ``.note.dlopen`` (UAPI.12) of which no alternative can be opened."""
    return tuple(
        OptionalLibrary(note.sonames, note.feature, note.description, note.priority)
        for note in elf.dlopen_notes
        if note.sonames and not any(opens(name) for name in note.sonames)
    )
