"""Symbol binding: which strong references nothing in scope answers.

Objects of a link map enter, ``MissingSymbol`` values leave. Mirrors glibc ``check_match`` and
``do_lookup_x`` (elf/dl-lookup.c) and musl ``find_sym`` (ldso/dynlink.c); ``loader.md`` sections
6 and 7.5. Only whether a definition exists is asked, never which one wins, so the scope's order
does not matter and answers can be shared between link maps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from imagescan.elf.facts import ElfFacts
from imagescan.elf.symbols import SymbolReference
from imagescan.loader.values import Binding, LoadedObject, MissingSymbol

# musl's get_lfs64 (ldso/dynlink.c): names that the loader answers with X for X64.
_LFS64_BASES = """
aio_cancel aio_error aio_fsync aio_read aio_return aio_suspend aio_write alphasort creat
fallocate fgetpos fopen freopen fseeko fsetpos fstat fstatat fstatfs fstatvfs ftello ftruncate
ftw getdents getrlimit glob globfree lio_listio lockf lseek lstat mkostemp mkostemps mkstemp
mkstemps mmap nftw open openat posix_fadvise posix_fallocate pread preadv prlimit pwrite pwritev
readdir scandir sendfile setrlimit stat statfs statvfs tmpfile truncate versionsort __fxstat
__fxstatat __lxstat __xstat
"""
_LFS64 = frozenset(f"{name}64" for name in _LFS64_BASES.split()) | {"readdir64_r"}


class Exports:
    """The definitions of one file, keyed for the three ways in which glibc matches, and musl's.

    ``versioned`` holds ``name@VERSION``; ``base`` names that a versioned reference may fall back
    to; ``unversioned`` names that an unversioned reference finds; ``visible`` what musl sees.
    """

    __slots__ = ("base", "has_versions", "unversioned", "versioned", "visible")

    def __init__(self, elf: ElfFacts) -> None:
        table = elf.symbols
        definitions = table.definitions() if table else []
        self.has_versions = table is not None and table.has_versions
        self.versioned = frozenset(
            f"{one.name}@{one.version}" for one in definitions if one.version_index > 1
        )
        self.base = frozenset(
            one.name for one in definitions if one.version_index <= 1 and not one.version_hidden
        )
        self.visible = frozenset(
            one.name for one in definitions if not one.version_hidden and not one.is_ifunc
        )
        # Index 2 is the oldest version: found at once, hidden or not. Of later ones a single
        # default version is found.
        oldest = {one.name for one in definitions if one.version_index <= 2}
        later = [one.name for one in definitions if one.version_index > 2 and not one.version_hidden]
        self.unversioned = frozenset(oldest.union(later))

    def answers(self, reference: SymbolReference) -> bool:
        """Whether glibc's ``check_match`` accepts a definition of this file for the reference."""
        if reference.version is None:
            return reference.name in self.unversioned
        if not self.has_versions:
            return reference.name in self.base
        return f"{reference.name}@{reference.version}" in self.versioned or (
            not reference.version_hidden and reference.name in self.base
        )

    def answers_musl(self, name: str) -> bool:
        """Whether musl's ``find_sym`` accepts a definition of this file."""
        return name in self.visible


class Binder:
    """Finds unanswered references in link maps of one image; remembers each file's symbols."""

    def __init__(self, *, is_musl: bool) -> None:
        self._is_musl = is_musl
        self._exports: dict[tuple[int, int], Exports] = {}
        self._references: dict[tuple[int, int], list[SymbolReference]] = {}
        self._residuals: dict[tuple[tuple[int, int], ...], list[SymbolReference]] = {}

    def exports(self, one: LoadedObject) -> Exports:
        """The definitions of an object, decoded once."""
        found = self._exports.get(one.inode)
        if found is None:
            found = self._exports[one.inode] = Exports(one.elf)
        return found

    def missing(
        self, objects: Sequence[LoadedObject], needed: Sequence[Iterable[int]], *, bind_now: bool
    ) -> tuple[MissingSymbol, ...]:
        """Every strong reference of every object that no object of the list answers.

        ``needed`` gives, for each object, the positions of those that it needs directly: nearly
        every reference is answered there, and that part of the answer is shared between maps.
        """
        missing = []
        for one, direct in zip(objects, needed, strict=True):
            residual = self._residual(one, [objects[position] for position in direct])
            for reference in residual:
                if not any(self._answers(other, reference) for other in objects):
                    missing.append(self._missing_symbol(one, reference, bind_now))
        return tuple(missing)

    def _residual(self, one: LoadedObject, direct: Sequence[LoadedObject]) -> list[SymbolReference]:
        key = (one.inode, *(other.inode for other in direct))
        found = self._residuals.get(key)
        if found is None:
            references = self._references.get(one.inode)
            if references is None:
                references = one.elf.symbols.references() if one.elf.symbols else []
                self._references[one.inode] = references
            found = [
                reference
                for reference in references
                if not any(self._answers(other, reference) for other in direct)
            ]
            self._residuals[key] = found
        return found

    def _answers(self, provider: LoadedObject, reference: SymbolReference) -> bool:
        exports = self.exports(provider)
        if not self._is_musl:
            return exports.answers(reference)
        name = reference.name
        return exports.answers_musl(name) or (
            name in _LFS64 and _is_musl_libc(provider.elf) and exports.answers_musl(_without_64(name))
        )

    def _missing_symbol(self, one: LoadedObject, reference: SymbolReference, bind_now: bool) -> MissingSymbol:
        # musl relocates everything at start; glibc defers JUMP_SLOTs of objects that allow it.
        lazy = reference.lazy and not (self._is_musl or bind_now or one.elf.bind_now)
        return MissingSymbol(
            symbol=reference.name,
            version=None if self._is_musl else reference.version,
            needed_by=one.path,
            binding=Binding.LAZY if lazy else Binding.IMMEDIATE,
            library=reference.library,
        )


def _is_musl_libc(elf: ElfFacts) -> bool:
    return elf.loader_strings is not None and bool(elf.loader_strings.musl_version)


def _without_64(name: str) -> str:
    return "readdir_r" if name == "readdir64_r" else name.removesuffix("64")
