"""Version checks of glibc at start-up.

Loaded objects enter, missing versions and faults leave. Mirrors ``_dl_check_map_versions`` and
``match_symbol`` (elf/dl-version.c) and the DT_RELR guard of glibc 2.36 (elf/dl-version.c,
``GLIBC_ABI_DT_RELR``); ``loader.md`` section 5. musl checks no versions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from imagescan.elf.facts import ElfFacts
from imagescan.loader.values import LoaderFault, MissingVersion

_RELR_VERSION = "GLIBC_ABI_DT_RELR"


class Versioned(Protocol):
    """A loaded object, as far as versions are concerned."""

    @property
    def path(self) -> str:
        """The path as the loader opened it."""
        ...

    @property
    def elf(self) -> ElfFacts:
        """What it says."""
        ...


def check_versions(
    objects: Sequence[Versioned],
    answering: Callable[[str], Versioned | None],
    missing_names: frozenset[str],
    glibc: tuple[int, ...] | None,
) -> tuple[tuple[MissingVersion, ...], tuple[LoaderFault, ...]]:
    """Check every version need of every object.

    ``answering`` gives the loaded object that a file name stands for, by the names under which
    it was requested (``find_needed`` compares no soname); ``missing_names`` are requests that
    nothing satisfied: glibc reports those instead.
    """
    missing: list[MissingVersion] = []
    faults: list[LoaderFault] = []
    for one in objects:
        for need in one.elf.version_needs:
            provider = answering(need.file)
            if provider is None:
                if need.file not in missing_names:
                    faults.append(_not_loaded(one))
                continue
            if not provider.elf.has_version_definitions:
                if need.versions:
                    faults.append(_no_versions(one, provider))
                continue
            defined = provider.elf.version_definitions
            missing.extend(
                MissingVersion(version.name, need.file, provider.path, one.path, version.weak)
                for version in need.versions
                if version.name not in defined
            )
        if _lacks_relr_version(one.elf, glibc):
            faults.append(
                LoaderFault(
                    "relr-without-version",
                    one.path,
                    f"{one.path}: DT_RELR without {_RELR_VERSION} dependency",
                )
            )
    return tuple(missing), tuple(faults)


def _not_loaded(one: Versioned) -> LoaderFault:
    return LoaderFault(
        "version-file-not-loaded",
        one.path,
        "Inconsistency detected by ld.so: dl-version.c: _dl_check_map_versions: "
        "Assertion `needed != NULL' failed!",
    )


def _no_versions(one: Versioned, provider: Versioned) -> LoaderFault:
    return LoaderFault(
        "no-version-information",
        provider.path,
        f"{provider.path}: no version information available (required by {one.path})",
    )


def _lacks_relr_version(elf: ElfFacts, glibc: tuple[int, ...] | None) -> bool:
    """Whether glibc from 2.36 refuses the object: relative relocations in DT_RELR, version needs
    and a libc among the needed, but not the version that promises to process them."""
    if not elf.has_relr or not elf.version_needs or (glibc is not None and glibc < (2, 36)):
        return False
    if not any(name.startswith("libc.so.") for name in elf.needed):
        return False
    return not any(
        version.name == _RELR_VERSION
        for need in elf.version_needs
        if need.file.startswith("libc.so.")
        for version in need.versions
    )
