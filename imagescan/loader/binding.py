"""Symbol binding: which strong references nothing in scope answers.

Objects of a link map enter, ``MissingSymbol`` values leave. Mirrors glibc ``check_match`` and
``do_lookup_x`` (elf/dl-lookup.c) and musl ``find_sym`` (ldso/dynlink.c); ``loader.md`` sections
6 and 7.5. Only whether a definition exists is asked, never which one wins, so the scope's order
does not matter and answers can be shared between link maps.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Protocol

from imagescan.elf.facts import ElfFacts
from imagescan.elf.symbols import SymbolReference, SymbolTable, symbol_reference
from imagescan.loader.symbol_lookup import UNVERSIONED, DefinedSymbols, Version, gnu_hash
from imagescan.loader.values import Binding, MissingSymbol

MAXIMUM_OPENED_BYTES = 8 << 20  # of files in which names are looked up; the others are read again
MAXIMUM_FOUND = 50_000  # names remembered because they were found, and as many that were not
MAXIMUM_HASHES = 20_000  # hashes of names remembered

_Inode = tuple[int, int]

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


class Linked(Protocol):
    """A loaded file, as far as symbols are concerned."""

    @property
    def path(self) -> str:
        """The path as the loader opened it."""
        ...

    @property
    def inode(self) -> tuple[int, int]:
        """Its identity."""
        ...

    @property
    def elf(self) -> ElfFacts:
        """What it says."""
        ...


class Binder:
    """Finds unanswered references in link maps of one image.

    ``aliases`` is the file that answers ``X64`` with its ``X`` (musl from 1.2.4), or None. What takes a
    look-up in a file is remembered for as long as there is room, what came of it for all names that
    were found, so that one file's references cost little once another's have been answered.
    """

    def __init__(self, *, is_musl: bool, aliases: ElfFacts | None = None) -> None:
        self._is_musl = is_musl
        self._aliases = aliases.symbols if aliases is not None else None
        self._aliased = DefinedSymbols(self._aliases) if self._aliases is not None else None
        self._opened: OrderedDict[_Inode, DefinedSymbols] = OrderedDict()
        self._bytes = 0
        self._found: dict[tuple[_Inode, Version | None], set[bytes]] = {}
        self._found_names = 0
        self._absent: dict[tuple[_Inode, Version | None], set[bytes]] = {}
        self._absent_names = 0
        self._hashes: dict[bytes, int] = {}
        self._names: dict[bytes, bytes] = {}
        self._texts: dict[bytes, str] = {}
        self._residuals: dict[tuple[_Inode, ...], tuple[SymbolReference, ...]] = {}

    def missing(
        self,
        objects: Sequence[Linked],
        needed: Sequence[Iterable[int]],
        first: int = 0,
        *,
        bind_now: bool,
    ) -> tuple[MissingSymbol, ...]:
        """Every strong reference of the objects from ``first`` on that no object of the list answers.

        ``needed`` gives, for each object, the positions of those that it needs directly: nearly
        every reference is answered there, and that part of the answer is shared between maps.
        """
        pending = [
            (one, reference)
            for one, direct in zip(objects[first:], needed[first:], strict=True)
            for reference in self.residual(one, [objects[position] for position in direct])
        ]
        if not pending:
            return ()
        asked: dict[Version | None, set[bytes]] = {}
        for _, reference in pending:
            asked.setdefault(version_of(reference), set()).add(reference.name)
        left = {version: self._answered_by_none(names, version, objects) for version, names in asked.items()}
        return tuple(
            self.missing_symbol(one, reference, bind_now=bind_now, path=one.path)
            for one, reference in pending
            if reference.name in left[version_of(reference)]
            or (reference.copied and not self._answers_copy(one, reference, objects))
        )

    def _answers_copy(self, one: Linked, reference: SymbolReference, objects: Sequence[Linked]) -> bool:
        """Whether another object than the one that refers to it has a symbol that is copied."""
        return any(other is not one and self.answers(other, reference) for other in objects)

    def _answered_by_none(
        self, names: set[bytes], version: Version | None, objects: Sequence[Linked]
    ) -> set[bytes]:
        """Those of some names, all of one version, that no object answers. What is remembered counts first;
        then each file is opened once, for all that is asked."""
        for by in objects:
            names = names - self._known(by, version)
            if not names:
                return names
        for by in objects:
            absent = self._known_absent(by, version)
            asked = names - absent
            if asked:
                answered = self._answered(by, asked, version)
                absent |= asked - answered
                self._absent_names += len(asked) - len(answered)
                names = names - answered
                if not names:
                    break
        return names

    def residual(self, one: Linked, direct: Sequence[Linked]) -> tuple[SymbolReference, ...]:
        """The strong references of an object that none of some others answers; remembered."""
        key = (one.inode, *(other.inode for other in direct))
        found = self._residuals.get(key)
        if found is None:
            table = one.elf.symbols
            found = self._residuals[key] = self._unanswered(table, direct) if table else ()
        return found

    def answers(self, provider: Linked, reference: SymbolReference) -> bool:
        """Whether a definition of an object answers a reference."""
        return self.answers_name(provider, reference.name, version_of(reference))

    def defines(self, provider: Linked, name: bytes) -> bool:
        """Whether an object has a definition of that name, whoever may use it."""
        defined = self._open(provider)
        return defined is not None and defined.defines(name)

    def close_files(self) -> None:
        """Give back the memory that look-ups take; what is asked later opens its files again."""
        self._opened.clear()
        self._bytes = 0
        self._found.clear()
        self._found_names = 0
        self._absent.clear()
        self._absent_names = 0
        self._hashes.clear()

    def missing_symbol(
        self, one: Linked, reference: SymbolReference, *, bind_now: bool, path: str
    ) -> MissingSymbol:
        """What is said of a reference of an object, opened by ``path``, that nothing answers."""
        lazy = reference.lazy and not (bind_now or one.elf.bind_now)
        return MissingSymbol(
            symbol=self._text(reference.name),
            version=None if self._is_musl or reference.version is None else self._text(reference.version),
            needed_by=path,
            binding=Binding.LAZY if lazy else Binding.IMMEDIATE,
            library=reference.library,
        )

    def _text(self, name: bytes) -> str:
        text = self._texts.get(name)
        if text is None:
            text = self._texts[name] = name.decode("utf-8", "surrogateescape")
        return text

    def _unanswered(self, table: SymbolTable, direct: Sequence[Linked]) -> tuple[SymbolReference, ...]:
        columns = table.columns()
        names, numbers, words = table.undefined(columns)
        labels = table.version_labels(columns)
        groups: dict[int, set[bytes]] = {}
        for name, number in zip(names, numbers, strict=True):
            groups.setdefault(number, set()).add(name)
        files = {one.elf.soname or one.path.rpartition("/")[2]: one for one in direct}
        left = {}
        for number, group in groups.items():
            label = labels.get(number)
            # The version need says where a symbol was when the file was linked: ask there first.
            likely = files.get(label.file) if label is not None else None
            version = (label.name, label.hidden) if label is not None and label.name else UNVERSIONED
            pending = group if likely is None else self._without_answered(group, version, likely)
            if pending and (pending := self._without_answered_by_any(pending, version, direct)):
                left[number] = pending
        if not left:
            return ()
        once = self._names.setdefault  # the same few names are missed by many
        return tuple(
            symbol_reference(once(name, name), labels.get(number), word)
            for name, number, word in zip(names, numbers, words, strict=True)
            if number in left and name in left[number]
        )

    def _without_answered(self, names: set[bytes], version: Version | None, by: Linked) -> set[bytes]:
        """Those of some names, all of one version, that an object does not answer."""
        names = names - self._known(by, version)
        return names - self._answered(by, names, version) if names else names

    def _without_answered_by_any(
        self, names: set[bytes], version: Version | None, direct: Sequence[Linked]
    ) -> set[bytes]:
        """The same for several objects: what is remembered of any of them counts first."""
        for by in direct:
            names = names - self._known(by, version)
            if not names:
                return names
        for by in direct:
            names = names - self._answered(by, names, version)
            if not names:
                break
        return names

    def answers_name(self, provider: Linked, name: bytes, version: Version | None) -> bool:
        """Whether a definition of an object answers a reference of that name and version."""
        return name in self._known(provider, version) or bool(self._answered(provider, {name}, version))

    def _answered(self, provider: Linked, names: set[bytes], version: Version | None) -> set[bytes]:
        """Those of some names that an object answers; remembered unless it cost nothing."""
        defined = self._open(provider)
        version = self._normal(provider, version)
        aliased = set(filter(self._answers_alias, names)) if self._aliased is not None else set()
        if defined is None:
            return aliased
        if version is UNVERSIONED and defined.decodes_all(len(names)):
            every = defined.visible_to_musl if self._is_musl else defined.unversioned
            return names & every | aliased
        found = {name for name in names if self._finds(defined, name, version)} | aliased
        self._known(provider, version).update(found)
        self._found_names += len(found)
        return found

    def _finds(self, defined: DefinedSymbols, name: bytes, version: Version | None) -> bool:
        if self._is_musl:
            return defined.answers_musl(name, self._hash(name))
        return defined.answers(name, self._hash(name), version)

    def _hash(self, name: bytes) -> int:
        value = self._hashes.get(name)
        if value is None:
            if len(self._hashes) > MAXIMUM_HASHES:
                self._hashes.clear()
            value = self._hashes[name] = gnu_hash(name)
        return value

    def _answers_alias(self, name: bytes) -> bool:
        """get_lfs64 asks musl itself, also when nothing needs a libc."""
        return (
            self._aliased is not None
            and name in _LFS64
            and self._aliased.answers_musl(_LFS64[name], gnu_hash(_LFS64[name]))
        )

    def _known(self, provider: Linked, version: Version | None) -> set[bytes]:
        if self._found_names > MAXIMUM_FOUND:
            self._found.clear()
            self._found_names = 0
        return self._found.setdefault((provider.inode, self._normal(provider, version)), set())

    def _known_absent(self, provider: Linked, version: Version | None) -> set[bytes]:
        """The names that an object is known not to answer."""
        if self._absent_names > MAXIMUM_FOUND:
            self._absent.clear()
            self._absent_names = 0
        return self._absent.setdefault((provider.inode, self._normal(provider, version)), set())

    def _normal(self, provider: Linked, version: Version | None) -> Version | None:
        """Under which version answers are remembered: musl knows none, nor does a file without."""
        table = provider.elf.symbols
        return UNVERSIONED if self._is_musl or table is None or not table.has_versions else version

    def _open(self, provider: Linked) -> DefinedSymbols | None:
        found = self._opened.get(provider.inode)
        if found is not None:
            self._opened.move_to_end(provider.inode)
            return found
        if provider.elf.symbols is None:
            return None
        found = self._opened[provider.inode] = DefinedSymbols(provider.elf.symbols)
        self._bytes += found.size
        while self._bytes > MAXIMUM_OPENED_BYTES and len(self._opened) > 1:
            self._bytes -= self._opened.popitem(last=False)[1].size
        return found


def version_of(reference: SymbolReference) -> Version | None:
    """The version that a reference asks for."""
    return UNVERSIONED if reference.version is None else (reference.version, reference.version_hidden)
