"""Where the symbol look-up of glibc up to 2.40 gives up on a library without versions.

Objects in scope enter, ``LoaderFault`` values leave. Mirrors the assertion of ``check_match``
(elf/dl-lookup.c, removed in 2.41): a versioned reference must not meet, before it is answered, a
definition in an unversioned object that answers to the very file name of its version need.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from imagescan.elf.symbols import SymbolReference
from imagescan.loader.binding import Binder
from imagescan.loader.opened_files import Linked
from imagescan.loader.values import LoaderFault

_LAST = (2, 40)
_MESSAGE = (
    "Inconsistency detected by ld.so: dl-lookup.c: check_match: "
    "Assertion `version->filename == NULL || ! _dl_name_match_p (version->filename, map)' failed!"
)


def lookup_assertions(
    objects: Sequence[Linked],
    known: int,
    answering: Callable[[str], Linked | None],
    binder: Binder,
    glibc: tuple[int, ...] | None,
    *,
    bind_now: bool,
) -> tuple[LoaderFault, ...]:
    """One fault for each object, from position ``known`` on, whose immediate references make the
    loader give up.

    ``answering`` gives the loaded object that a file name stands for, as in ``check_versions``.
    """
    if glibc is None or glibc > _LAST:
        return ()
    return tuple(
        LoaderFault("unversioned-provider", one.path, _MESSAGE)
        for one in objects[known:]
        if any(
            _meets_unversioned(reference, objects, answering, binder)
            for reference in _immediate(one, bind_now=bind_now)
        )
    )


def _immediate(one: Linked, *, bind_now: bool) -> Iterator[SymbolReference]:
    if one.elf.symbols is None or not one.elf.version_needs:
        return
    for reference in one.elf.symbols.references(weak=True):
        if reference.version is not None and (bind_now or one.elf.bind_now or not reference.lazy):
            yield reference


def _meets_unversioned(
    reference: SymbolReference,
    objects: Sequence[Linked],
    answering: Callable[[str], Linked | None],
    binder: Binder,
) -> bool:
    provider = answering(reference.library)
    if provider is None or (provider.elf.symbols is not None and provider.elf.symbols.has_versions):
        return False
    for one in objects:
        if one is provider:
            # The assertion comes before the test of visibility.
            return binder.defines(one, reference.name)
        if binder.answers(one, reference):
            return False
    return False
