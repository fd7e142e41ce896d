"""Symbol binding: which strong references nothing in scope answers.

Objects of a link map enter, ``MissingSymbol`` values leave. Mirrors glibc ``check_match`` and
``do_lookup_x`` (elf/dl-lookup.c) and musl ``find_sym`` (ldso/dynlink.c); ``loader.md`` sections
6 and 7.5. Only whether a definition exists is asked, never which one wins, so the scope's order
does not matter and answers can be shared between link maps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

from imagescan.elf.facts import ElfFacts
from imagescan.elf.symbols import SymbolDefinition, SymbolReference, SymbolTable
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
_LFS64 = {f"{name}64".encode(): name.encode() for name in _LFS64_BASES.split()} | {
    b"readdir64_r": b"readdir_r"
}


class Exports:
    """The definitions of one file, keyed for the ways in which the loaders match.

    ``versioned`` holds ``name@VERSION`` for glibc's versioned references and ``name@`` where they
    may fall back to a base definition. ``unversioned`` has the names that an unversioned reference
    finds, ``visible`` those that musl sees.
    """

    def __init__(self, table: SymbolTable | None) -> None:
        self._table = table
        self.has_versions = table is not None and table.has_versions

    @cached_property
    def versioned(self) -> frozenset[bytes]:
        """Version indices 0 and 1 are the base, usable unless hidden."""
        return frozenset(
            one.name + b"@" + one.version
            for one in self._definitions()
            if one.version_index > 1 or not one.version_hidden
        )

    @cached_property
    def names(self) -> frozenset[bytes]:
        """Every name that is defined, whoever may use it."""
        return frozenset(one.name for one in (self._table.definitions() if self._table else ()))

    @cached_property
    def unversioned(self) -> frozenset[bytes]:
        """Index 2 is the oldest version: found at once, hidden or not. Of later ones a default
        version is found."""
        return frozenset(
            one.name for one in self._definitions() if one.version_index <= 2 or not one.version_hidden
        )

    @cached_property
    def visible(self) -> frozenset[bytes]:
        """musl looks at the hidden bit and not at visibility, and knows no indirect functions."""
        every = self._table.definitions() if self._table else ()
        return frozenset(one.name for one in every if not one.version_hidden and not one.is_ifunc)

    def _definitions(self) -> Iterable[SymbolDefinition]:
        every = self._table.definitions() if self._table else ()
        return (one for one in every if not one.visibility_hidden)

    def answers(self, reference: SymbolReference) -> bool:
        """Whether glibc's ``check_match`` accepts a definition of this file for the reference."""
        name, version, _library, version_hidden, _lazy, _copied = reference
        if version is None or not self.has_versions:
            return name in self.unversioned
        return name + b"@" + version in self.versioned or (
            not version_hidden and name + b"@" in self.versioned
        )

    def answers_musl(self, name: bytes) -> bool:
        """Whether musl's ``find_sym`` accepts a definition of this file."""
        return name in self.visible


class Binder:
    """Finds unanswered references in link maps of one image; remembers each file's symbols.

    ``aliases`` is the file that answers ``X64`` with its ``X`` (musl from 1.2.4), or None.
    """

    def __init__(self, *, is_musl: bool, aliases: ElfFacts | None = None) -> None:
        self._is_musl = is_musl
        self._aliases = Exports(aliases.symbols) if aliases is not None else None
        self._exports: dict[tuple[int, int], Exports] = {}
        self._references: dict[tuple[int, int], list[SymbolReference]] = {}
        self._residuals: dict[tuple[tuple[int, int], ...], list[SymbolReference]] = {}

    def exports(self, one: LoadedObject) -> Exports:
        """The definitions of an object, decoded once."""
        found = self._exports.get(one.inode)
        if found is None:
            found = self._exports[one.inode] = Exports(one.elf.symbols)
        return found

    def missing(
        self,
        objects: Sequence[LoadedObject],
        needed: Sequence[Iterable[int]],
        first: int = 0,
        *,
        bind_now: bool,
    ) -> tuple[MissingSymbol, ...]:
        """Every strong reference of the objects from ``first`` on that no object of the list answers.

        ``needed`` gives, for each object, the positions of those that it needs directly: nearly
        every reference is answered there, and that part of the answer is shared between maps.
        """
        missing = []
        for one, direct in zip(objects[first:], needed[first:], strict=True):
            residual = self._residual(one, [objects[position] for position in direct])
            for reference in residual:
                if not any(
                    self._answers(other, reference)
                    for other in objects
                    if not (reference.copied and other is one)
                ):
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
        # get_lfs64 asks musl itself, also when nothing needs a libc.
        return exports.answers_musl(name) or (
            self._aliases is not None and name in _LFS64 and self._aliases.answers_musl(_LFS64[name])
        )

    def _missing_symbol(self, one: LoadedObject, reference: SymbolReference, bind_now: bool) -> MissingSymbol:
        lazy = reference.lazy and not (bind_now or one.elf.bind_now)
        return MissingSymbol(
            symbol=_text(reference.name),
            version=None if self._is_musl or reference.version is None else _text(reference.version),
            needed_by=one.path,
            binding=Binding.LAZY if lazy else Binding.IMMEDIATE,
            library=reference.library,
        )


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
