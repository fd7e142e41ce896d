"""Which references of some files none of the files answers that they need directly.

Files enter, each with those that it needs; for each the references leave that are left. Mirrors what
``symbol_lookup`` mirrors, many files at a time: references are asked by name alone until one is left, and
each file that answers is opened once for all that ask it.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from itertools import chain, compress, repeat
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
from imagescan.loader.symbol_lookup import UNVERSIONED, AnsweredNames, Names, Version

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
    """One file: the names that nobody is known to answer, by what is wanted of them. ``versions`` is all that
    it wants."""

    __slots__ = ("direct", "pending", "table", "versions")

    def __init__(self, table: SymbolTable, direct: Sequence[Linked]) -> None:
        self.table, self.direct = table, direct
        self.pending: dict[_Wanted, Collection[bytes]] = {}
        self.versions: Collection[_Wanted] = (_ANYTHING,)


class _Portion:
    """What is asked at once: names by what is wanted of them, where somebody is likely to answer, and all
    ``names``, each once."""

    def __init__(self) -> None:
        self.asking: dict[_Wanted, set[bytes]] = {}
        self.names: dict[bytes, bytes] = {}

    def add(self, names: Sequence[bytes]) -> tuple[bytes, ...]:
        """The same names, where they are kept once."""
        return tuple(map(self.names.setdefault, names, names))


class _Answers:
    """What files answer of the names of one portion; each is opened when it is first asked."""

    def __init__(self, files: OpenedFiles, names: Names) -> None:
        self._files, self._names = files, names
        self._known: dict[Inode, AnsweredNames] = {}

    def of(self, provider: Linked, version: Version | None) -> frozenset[bytes]:
        """The names of references of a version that a file answers."""
        found = self._known.get(provider.inode)
        if found is None:
            found = self._known[provider.inode] = self._files.among(provider, self._names)
        return found.of(version)


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
            self._references(one.table, *self._left(one)) if one is not None and one.pending else ()
            for one in self._ask(some)
        ]

    def symbols(self, some: Iterable[tuple[Linked, Sequence[Linked]]]) -> list[array[int]]:
        """``references`` as indices of symbols, which are few bytes."""
        return [
            array("I", [index for index, *_ in self._left(one)[1]] if one is not None and one.pending else ())
            for one in self._ask(some)
        ]

    def references_of(self, one: Linked, symbols: array[int]) -> tuple[SymbolReference, ...]:
        """The references of a file that are these ``symbols``."""
        table = one.elf.symbols
        if table is None or not symbols:
            return ()
        columns, wanted = table.columns(), {*symbols}
        rows = _rows(columns, table.undefined(columns))
        return self._references(table, columns, [row for row in rows if row[0] in wanted])

    def _ask(self, some: Iterable[tuple[Linked, Sequence[Linked]]]) -> list[_Asker | None]:
        """Some files with the names that are left."""
        if len(self._asked) > MAXIMUM_ASKED:
            self._asked.clear()
            self._wanted.clear()
        portion = _Portion()
        askers = [self._asker(one, direct, portion) for one, direct in some]
        answers = _Answers(self._files, Names(gnu_hashes(portion.names)))
        waiting = [one for one in askers if one is not None]
        self._ask_likely(waiting, portion, answers)
        for one in waiting:
            if one.pending:
                _ask_all(one, answers)
        return askers

    def _asker(self, one: Linked, direct: Sequence[Linked], portion: _Portion) -> _Asker | None:
        table = one.elf.symbols
        if table is None:
            return None
        asker = _Asker(table, direct)
        columns = table.columns()
        asked = table.undefined(columns)
        wanted = self._wanted_versions(columns, asked, direct)
        if not wanted:
            if asked.names:
                asker.pending[_ANYTHING] = portion.add(asked.names)
            return asker
        asker.versions = {*wanted.values()}
        likely = {number for number, version in wanted.items() if version.provider is not None}
        if likely:
            self._ask_first(_of_versions(asked, likely), wanted, portion)
        for version in asker.versions:
            if version.provider is None:
                numbers = {number for number in wanted if wanted[number] is version}
                names, _ = _of_versions(asked, numbers)
                asker.pending[version] = portion.add(names)
        return asker

    def _ask_first(
        self, asked: tuple[Sequence[bytes], Sequence[int]], wanted: Mapping[int, _Wanted], portion: _Portion
    ) -> None:
        """Ask for what nobody has asked for before, of names whose version needs name a file."""
        names, numbers = asked
        versions = list(map(wanted.__getitem__, numbers))
        known = map(self._asked.get, names, repeat(_NOT_KNOWN))
        for name, version in compress(zip(names, versions, strict=True), map(is_not, known, versions)):
            self._asked[name] = version
            portion.asking.setdefault(version, set()).add(name)
            portion.names[name] = name

    def _ask_likely(self, askers: Sequence[_Asker], portion: _Portion, answers: _Answers) -> None:
        """Ask the files that version needs name."""
        providers = {provider.inode: provider for one in askers for provider in one.direct}
        failed: dict[_Wanted, Set[bytes]] = {}
        for wanted, names in portion.asking.items():
            assert wanted.provider is not None, "others are not likely to answer"
            left = names - answers.of(providers[wanted.provider], wanted.version)
            if left:
                failed[wanted] = left
        for one in askers if failed else ():
            if not failed.keys().isdisjoint(one.versions):
                self._add_failed(one, failed)
        for name in chain(*failed.values()):
            self._asked.pop(name, None)

    def _add_failed(self, asker: _Asker, failed: Mapping[_Wanted, Set[bytes]]) -> None:
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

    def _left(self, asker: _Asker) -> tuple[SymbolColumns, list[_Row]]:
        """What is left of a file's references, of those that a relocation uses, and the file's columns."""
        columns = asker.table.columns()
        asked = asker.table.undefined(columns)
        wanted = self._wanted_versions(columns, asked, asker.direct)
        pending = asker.pending
        return columns, [
            row for row in _rows(columns, asked) if row[1] in pending.get(wanted.get(row[2], _ANYTHING), ())
        ]

    def _references(
        self, table: SymbolTable, columns: SymbolColumns, rows: Iterable[_Row]
    ) -> tuple[SymbolReference, ...]:
        labels = table.version_labels(columns)
        once = self._once
        return tuple(once[symbol_reference(name, labels.get(number), word)] for _, name, number, word in rows)


def _rows(columns: SymbolColumns, asked: UndefinedSymbols) -> Iterator[_Row]:
    used = relocated_symbols(columns)
    for name, number, index in zip(*asked, strict=True):
        if index in used:
            yield index, name, number, used[index]


def _of_versions(asked: UndefinedSymbols, numbers: Set[int]) -> tuple[Sequence[bytes], Sequence[int]]:
    """The names and version numbers of those references that have one of some numbers."""
    some = [*map(numbers.__contains__, asked.numbers)]
    return [*compress(asked.names, some)], [*compress(asked.numbers, some)]


def _ask_all(asker: _Asker, answers: _Answers) -> None:
    """Ask the files that are needed, one after the other, until nothing is left."""
    for wanted, names in [*asker.pending.items()]:
        left = frozenset(names)
        for provider in asker.direct:
            left = left - answers.of(provider, wanted.version)
            if not left:
                del asker.pending[wanted]
                break
        else:
            asker.pending[wanted] = left
