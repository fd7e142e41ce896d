"""Which names the files of an image answer, with a memory of bounded size.

Files and names enter, those of the names that a file answers leave. Only whether a definition exists is
asked, never which one wins. Follows the tests of ``symbol_lookup``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Set
from typing import Protocol

from imagescan.elf.facts import ElfFacts
from imagescan.loader.gnu_hash import gnu_hash, gnu_hashes
from imagescan.loader.symbol_lookup import UNVERSIONED, AnsweredNames, DefinedSymbols, Names, Version

MAXIMUM_OPENED_BYTES = 4 << 20  # of files in which names are looked up; the others are read again
MAXIMUM_HASHES = 20_000  # hashes of names remembered

Inode = tuple[int, int]

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


class OpenedFiles:
    """Files in which names are looked up, and what takes a look-up in them.

    ``aliases`` is the file that answers ``X64`` with its ``X`` (musl from 1.2.4), or None.
    """

    def __init__(self, *, is_musl: bool, aliases: ElfFacts | None = None) -> None:
        self.is_musl = is_musl
        self._aliases = aliases
        symbols = aliases.symbols if aliases is not None else None
        self._aliased = DefinedSymbols(symbols, is_musl=is_musl) if symbols is not None else None
        self._opened: OrderedDict[Inode, DefinedSymbols] = OrderedDict()
        self._sizes: dict[Inode, int] = {}
        self._bytes = 0
        self._hashes: dict[bytes, int] = {}

    def anew(self) -> OpenedFiles:
        """The same, with nothing opened yet."""
        return OpenedFiles(is_musl=self.is_musl, aliases=self._aliases)

    def among(self, provider: Linked, names: Names) -> AnsweredNames:
        """Those of many names that an object answers."""
        anyway = [name for name in names.hashes if self._answers_alias(name)] if self._aliased else ()
        defined = self._open(provider)
        if defined is None:
            return AnsweredNames(None, {}, anyway)
        found = defined.among(names)
        answered = AnsweredNames(defined.tests if found else None, found, anyway)
        self._close_some(provider.inode)
        return answered

    def answered(self, provider: Linked, names: Set[bytes], version: Version | None) -> Set[bytes]:
        """Those of some names, of references of one version, that an object answers."""
        return self.among(provider, Names(self._hashes_of(names))).of(version)

    def defines(self, provider: Linked, name: bytes) -> bool:
        """Whether an object has a definition of that name, whoever may use it."""
        defined = self._open(provider)
        return defined is not None and defined.defines(name)

    def normal(self, provider: Linked, version: Version | None) -> Version | None:
        """Under which version answers are the same: musl knows none, nor does a file without."""
        table = provider.elf.symbols
        return UNVERSIONED if self.is_musl or table is None or not table.has_versions else version

    def close(self) -> None:
        """Give back the memory that look-ups take; what is asked later opens its files again."""
        self._opened.clear()
        self._sizes.clear()
        self._bytes = 0
        self._hashes.clear()

    def _hashes_of(self, names: Set[bytes]) -> dict[bytes, int]:
        hashes = self._hashes
        if len(hashes) > MAXIMUM_HASHES:
            hashes.clear()
        hashes.update(gnu_hashes(names - hashes.keys()))
        return {name: hashes[name] for name in names}

    def _answers_alias(self, name: bytes) -> bool:
        """get_lfs64 asks musl itself, also when nothing needs a libc."""
        return (
            self._aliased is not None
            and name in _LFS64
            and self._aliased.answers(_LFS64[name], gnu_hash(_LFS64[name]), UNVERSIONED)
        )

    def _open(self, provider: Linked) -> DefinedSymbols | None:
        found = self._opened.get(provider.inode)
        if found is not None:
            self._opened.move_to_end(provider.inode)
            return found
        if provider.elf.symbols is None:
            return None
        self._close_oldest(MAXIMUM_OPENED_BYTES - provider.elf.symbols.length, 0)
        self._opened[provider.inode] = found = DefinedSymbols(provider.elf.symbols, is_musl=self.is_musl)
        return found

    def _close_some(self, used: Inode) -> None:
        """Keep within the limit after a file was used: its columns are read when they are first needed."""
        size = self._opened[used].size
        self._bytes += size - self._sizes.get(used, 0)
        self._sizes[used] = size
        self._close_oldest(MAXIMUM_OPENED_BYTES, 1)

    def _close_oldest(self, size: int, count: int) -> None:
        """Close files until so many bytes are left, or so many files."""
        while self._bytes > size and len(self._opened) > count:
            self._bytes -= self._sizes.pop(self._opened.popitem(last=False)[0], 0)
