"""Which files answer each of a number of references that most files do not answer.

References enter at first, then files, one by one; which of the references a file answers leaves. A file is
looked into when it is first met, for all references at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from itertools import chain

from imagescan.elf.symbols import SymbolReference
from imagescan.loader.gnu_hash import gnu_hashes
from imagescan.loader.opened_files import Inode, Linked, OpenedFiles
from imagescan.loader.symbol_lookup import UNVERSIONED, Names, Version

Wanted = tuple[bytes, Version | None]
_NO_NAMES: frozenset[bytes] = frozenset()
_NOTHING: frozenset[Wanted] = frozenset()


def version_of(reference: SymbolReference) -> Version | None:
    """The version that a reference asks for."""
    return UNVERSIONED if reference.version is None else (reference.version, reference.version_hidden)


class Survey:
    """What came of looking for references in files. ``files`` are those that were opened for it."""

    def __init__(self, files: OpenedFiles, wanted: Set[Wanted]) -> None:
        self._files = files
        self._versions: dict[Version | None, set[bytes]] = {}
        for name, version in wanted:
            self._versions.setdefault(version, set()).add(name)
        self._sought: Names | None = None
        self._answered: dict[Inode, frozenset[Wanted]] = {}

    def names(self, version: Version | None) -> Set[bytes]:
        """The names that are looked for in this version."""
        return self._versions.get(version, _NO_NAMES)

    def answered(self, file: Linked) -> frozenset[Wanted]:
        """Those of the references that a file answers."""
        found = self._answered.get(file.inode)
        if found is None:
            found = self._answered[file.inode] = self._look_into(file)
        return found

    def answered_by_none(self, wanted: Set[Wanted], files: Iterable[Linked]) -> Set[Wanted]:
        """Those of some references that none of some files answers."""
        for file in files:
            found = self.answered(file)
            if found:
                wanted = wanted - found
                if not wanted:
                    break
        return wanted

    def close_files(self) -> None:
        """Give back the memory that look-ups take."""
        self._files.close()
        self._sought = None

    def _look_into(self, file: Linked) -> frozenset[Wanted]:
        if not self._versions:
            return _NOTHING
        if self._sought is None:
            self._sought = Names(gnu_hashes({*chain(*self._versions.values())}))
        answers = self._files.among(file, self._sought)
        if answers.are_none:
            return _NOTHING
        anyhow = answers.names
        return frozenset(
            [
                (name, version)
                for version, names in self._versions.items()
                if not names.isdisjoint(anyhow)  # of most versions there is nothing to make a set of
                for name in answers.of(version) & names
            ]
        )
