"""Which references of some files none of the files answers that they need directly.

Files enter, each with those that it needs; for each the references leave that are left. Mirrors what
``symbol_lookup`` mirrors, many files at a time: references are asked by name alone until one is left, and
each file that answers is opened once for all that ask it.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from itertools import compress, repeat
from operator import is_not

from imagescan.dataclasses import NamedTuple
from imagescan.elf.symbols import (
    FIRST_NAMED_VERSION,
    SymbolColumns,
    SymbolReference,
    SymbolTable,
    UndefinedSymbols,
    relocated_symbols,
    symbol_reference,
    version_rows,
)
from imagescan.loader.gnu_hash import gnu_hashes
from imagescan.loader.opened_files import Inode, Linked, OpenedFiles
from imagescan.loader.symbol_lookup import UNVERSIONED, Names, Version

MAXIMUM_ASKED = 50_000  # names remembered because they were answered

_NOT_KNOWN = False


class OnlyOnce(dict[SymbolReference, SymbolReference]):
    """Gives for each reference the first one that was equal, so that the others need not be kept."""

    def __missing__(self, reference: SymbolReference) -> SymbolReference:
        self[reference] = reference
        return reference


class _Wanted(NamedTuple):
    """What references ask for: a version, and the file that had it when they were linked, if it is there."""

    version: Version | None
    provider: Inode | None


_Row = tuple[int, bytes, int, int]
"""A reference: the symbol's index, name, version number, and what asks for it."""
_ANYTHING = _Wanted(UNVERSIONED, None)


class _Asker:
    """One file: the names that nobody has answered yet, by what is wanted of them. ``versions`` is what it
    wants of those that somebody has asked for before."""

    __slots__ = ("direct", "pending", "table", "versions")

    def __init__(self, table: SymbolTable, direct: Sequence[Linked]) -> None:
        self.table, self.direct = table, direct
        self.pending: dict[_Wanted, Set[bytes]] = {}
        self.versions: Collection[_Wanted] = ()

    def drop(self, wanted: _Wanted, answered: Set[bytes]) -> None:
        """Some of the names are answered."""
        left = self.pending[wanted] - answered
        if left:
            self.pending[wanted] = left
        else:
            del self.pending[wanted]


class Unanswered:
    """What many files ask for; ``files`` are those that were opened to answer.

    A name that files ask for by the same version of the same file is asked once, for the first of them.
    The same few ``references`` are missed by many.
    """

    def __init__(self, files: OpenedFiles, references: OnlyOnce) -> None:
        self._files = files
        self._once = references
        self._asked: dict[bytes, _Wanted] = {}
        self._wanted: dict[tuple[bytes, bool, Inode | None], _Wanted] = {}

    def references(
        self, some: Iterable[tuple[Linked, Sequence[Linked]]]
    ) -> list[tuple[SymbolReference, ...]]:
        """For each of some files the references that none of the files answers that stand beside it."""
        return [
            self._references(one.table, self._left(one)) if one is not None and one.pending else ()
            for one in self._ask(some)
        ]

    def symbols(self, some: Iterable[tuple[Linked, Sequence[Linked]]]) -> list[array[int]]:
        """``references`` as indices of symbols, which are few bytes."""
        return [
            array("I", [index for index, *_ in self._left(one)] if one is not None and one.pending else ())
            for one in self._ask(some)
        ]

    def references_of(self, one: Linked, symbols: array[int]) -> tuple[SymbolReference, ...]:
        """The references of a file that are these ``symbols``."""
        table = one.elf.symbols
        if table is None or not symbols:
            return ()
        columns, wanted = table.columns(), {*symbols}
        rows = _rows(table, columns, table.undefined(columns))
        return self._references(table, [row for row in rows if row[0] in wanted])

    def _ask(self, some: Iterable[tuple[Linked, Sequence[Linked]]]) -> list[_Asker | None]:
        """Some files with the names that are left."""
        if len(self._asked) > MAXIMUM_ASKED:
            self._asked.clear()
            self._wanted.clear()
        asking: dict[_Wanted, set[bytes]] = {}
        askers = [self._asker(one, direct, asking) for one, direct in some]
        waiting = [one for one in askers if one is not None]
        self._ask_likely(waiting, asking)
        self._ask_all([one for one in waiting if one.pending])
        return askers

    def _asker(
        self, one: Linked, direct: Sequence[Linked], asking: dict[_Wanted, set[bytes]]
    ) -> _Asker | None:
        table = one.elf.symbols
        if table is None:
            return None
        asker = _Asker(table, direct)
        columns = table.columns()
        asked = table.undefined(columns)
        wanted = self._wanted_versions(columns, asked, direct)
        if not wanted:
            if asked.names:
                asker.pending[_ANYTHING] = {*asked.names}
            return asker
        asker.versions = {*wanted.values()}
        versions = list(map(wanted.__getitem__, asked.numbers))
        known = map(self._asked.get, asked.names, repeat(_NOT_KNOWN))
        pending: dict[_Wanted, set[bytes]] = {}
        for name, version in compress(zip(asked.names, versions, strict=True), map(is_not, known, versions)):
            if version.provider is None:
                pending.setdefault(version, set()).add(name)
            else:
                self._asked[name] = version
                asking.setdefault(version, set()).add(name)
        asker.pending |= pending
        return asker

    def _ask_likely(self, askers: Sequence[_Asker], asking: Mapping[_Wanted, set[bytes]]) -> None:
        """Ask the files that version needs name."""
        providers = {provider.inode: provider for one in askers for provider in one.direct}
        by_provider: dict[Inode, list[_Wanted]] = {}
        for wanted in asking:
            assert wanted.provider is not None, "others are not likely to answer"
            by_provider.setdefault(wanted.provider, []).append(wanted)
        failed: dict[_Wanted, set[bytes]] = {}
        for inode, some in by_provider.items():
            sought = Names(gnu_hashes({name for wanted in some for name in asking[wanted]}))
            answered = self._files.among(providers[inode], sought)
            for wanted in some:
                asking[wanted] -= answered.of(wanted.version)
                if asking[wanted]:
                    failed[wanted] = asking[wanted]
        for one in askers if failed else ():
            if not failed.keys().isdisjoint(one.versions):
                self._add_failed(one, failed)
        for names in failed.values():
            for name in names:
                self._asked.pop(name, None)

    def _add_failed(self, asker: _Asker, failed: Mapping[_Wanted, set[bytes]]) -> None:
        """Of the names of a file those that it asked for in vain."""
        columns = asker.table.columns()
        asked = asker.table.undefined(columns)
        wanted = self._wanted_versions(columns, asked, asker.direct)
        pending: dict[_Wanted, set[bytes]] = {}
        for name, number in zip(asked.names, asked.numbers, strict=True):
            if name in failed.get(wanted[number], ()):
                pending.setdefault(wanted[number], set()).add(name)
        asker.pending |= pending

    def _wanted_versions(
        self, columns: SymbolColumns, asked: UndefinedSymbols, direct: Sequence[Linked]
    ) -> dict[int, _Wanted]:
        """What the version numbers of references stand for; empty where none has a version."""
        numbers = {*asked.numbers}
        if self._files.is_musl or not columns.version_names or max(numbers, default=0) < FIRST_NAMED_VERSION:
            return {}
        # The version need says where a symbol was when the file was linked: it is asked first.
        files = {one.elf.soname or one.path.rpartition("/")[2]: one.inode for one in direct}
        wanted = dict.fromkeys(numbers, _ANYTHING)
        for number, name, file, hidden in version_rows(columns, numbers):
            if number >= FIRST_NAMED_VERSION and name:
                key = name, hidden, files.get(file)
                known = self._wanted.get(key)
                if known is None:
                    known = self._wanted[key] = _Wanted((name, hidden), files.get(file))
                wanted[number] = known
        return wanted

    def _ask_all(self, askers: Sequence[_Asker]) -> None:
        """Ask each of the files that are needed, for all at once."""
        asking: dict[Inode, tuple[Linked, list[_Asker]]] = {}
        for asker in askers:
            for provider in asker.direct if asker.pending else ():
                asking.setdefault(provider.inode, (provider, []))[1].append(asker)
        pending = {name for one in askers for names in one.pending.values() for name in names}
        names = Names(gnu_hashes(pending))
        for provider, some in asking.values():
            waiting = [one for one in some if one.pending]
            if waiting:
                self._ask_one(provider, names, waiting)

    def _ask_one(self, provider: Linked, names: Names, askers: Sequence[_Asker]) -> None:
        answered = self._files.among(provider, names)
        for one in askers:
            for wanted in [*one.pending]:
                found = answered.of(wanted.version)
                if found:
                    one.drop(wanted, found)

    def _left(self, asker: _Asker) -> Iterator[_Row]:
        """What is left of a file's references, of those that a relocation uses."""
        columns = asker.table.columns()
        asked = asker.table.undefined(columns)
        wanted = self._wanted_versions(columns, asked, asker.direct)
        pending = asker.pending
        for row in _rows(asker.table, columns, asked):
            if row[1] in pending.get(wanted.get(row[2], _ANYTHING), ()):
                yield row

    def _references(self, table: SymbolTable, rows: Iterable[_Row]) -> tuple[SymbolReference, ...]:
        labels = table.version_labels(table.columns())
        once = self._once
        return tuple(once[symbol_reference(name, labels.get(number), word)] for _, name, number, word in rows)


def _rows(table: SymbolTable, columns: SymbolColumns, asked: UndefinedSymbols) -> Iterator[_Row]:
    used = relocated_symbols(columns)
    for name, number, index in zip(*asked, strict=True):
        if index in used:
            yield index, name, number, used[index]
