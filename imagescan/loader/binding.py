"""Symbol binding: which strong references nothing in scope answers.

Objects of a link map enter, ``MissingSymbols`` leave. Mirrors glibc ``check_match`` and
``do_lookup_x`` (elf/dl-lookup.c) and musl ``find_sym`` (ldso/dynlink.c); ``loader.md`` sections
6 and 7.5. Only whether a definition exists is asked, never which one wins, so the scope's order
does not matter and answers can be shared between link maps.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence, Set

from imagescan.elf.facts import ElfFacts
from imagescan.elf.symbols import SymbolReference
from imagescan.errors import LimitExceeded
from imagescan.loader.gnu_hash import gnu_hashes
from imagescan.loader.missing_symbols import MissedReferences, MissingSymbols
from imagescan.loader.opened_files import Inode, Linked, OpenedFiles
from imagescan.loader.second_process import SecondProcess, may_share
from imagescan.loader.survey import Survey, Wanted, version_of
from imagescan.loader.symbol_lookup import Names, Version
from imagescan.loader.unanswered import OnlyOnce, Unanswered

PORTION = 25_000  # references that are asked at once; it takes longer than starting another process
MAXIMUM_FOUND = 50_000  # names remembered because they were found, and as many that were not
MAXIMUM_UNANSWERED = 4_000_000  # references of one loader's files that others do not answer; seen: 120,000

Asking = tuple[Linked, Sequence[Linked]]


class Binder:
    """Finds unanswered references in link maps of one image.

    ``aliases`` is the file that answers ``X64`` with its ``X`` (musl from 1.2.4), or None. What takes a
    look-up in a file is remembered for as long as there is room, what came of it for all names that
    were found, so that one file's references cost little once another's have been answered.
    """

    def __init__(self, *, is_musl: bool, aliases: ElfFacts | None = None) -> None:
        self._is_musl = is_musl
        self._files = OpenedFiles(is_musl=is_musl, aliases=aliases)
        self._references = OnlyOnce()
        self._unanswered = Unanswered(self._files, self._references)
        self._survey = Survey(self._files, frozenset())
        self._found: dict[tuple[Inode, Version | None], set[bytes]] = {}
        self._found_names = 0
        self._absent: dict[tuple[Inode, Version | None], set[bytes]] = {}
        self._absent_names = 0
        self._residuals: dict[tuple[Inode, ...], tuple[SymbolReference, ...]] = {}
        self._kept = 0

    def missing(
        self,
        objects: Sequence[Linked],
        needed: Sequence[Iterable[int]],
        first: int = 0,
        *,
        bind_now: bool,
    ) -> MissingSymbols:
        """Every strong reference of the objects from ``first`` on that no object of the list answers.

        ``needed`` gives, for each object, the positions of those that it needs directly: nearly
        every reference is answered there, and that part of the answer is shared between maps.
        """
        pending = [
            (one, self.residual(one, [objects[position] for position in direct]))
            for one, direct in zip(objects[first:], needed[first:], strict=True)
        ]
        asked: dict[Version | None, set[bytes]] = {}
        for _, references in pending:
            for reference in references:
                asked.setdefault(version_of(reference), set()).add(reference.name)
        if not asked:
            return MissingSymbols()
        left = {version: self._answered_by_none(names, version, objects) for version, names in asked.items()}
        missed = []
        for one, references in pending:
            found = tuple(
                reference
                for reference in references
                if reference.name in left[version_of(reference)]
                or (reference.copied and not self._answers_copy(one, reference, objects))
            )
            if found:
                found = references if len(found) == len(references) else found
                missed.append(self.missed(one, found, bind_now=bind_now, path=one.path))
        return MissingSymbols(tuple(missed))

    def _answers_copy(self, one: Linked, reference: SymbolReference, objects: Sequence[Linked]) -> bool:
        """Whether another object than the one that refers to it has a symbol that is copied."""
        return any(other is not one and self.answers(other, reference) for other in objects)

    def _answered_by_none(
        self, names: set[bytes], version: Version | None, objects: Sequence[Linked]
    ) -> set[bytes]:
        """Those of some names, all of one version, that no object answers. What is remembered counts first;
        then each file is opened once, for all that is asked."""
        surveyed = self._survey.names(version) & names
        if not surveyed:
            return self._asked_in_vain(names, version, objects)
        left = self._survey.answered_by_none({(name, version) for name in surveyed}, objects)
        names = names - surveyed
        found = {name for name, _ in left}
        return found | self._asked_in_vain(names, version, objects) if names else found

    def _asked_in_vain(
        self, names: set[bytes], version: Version | None, objects: Sequence[Linked]
    ) -> set[bytes]:
        """The same for names that nobody looks for in all files."""
        for by in objects:
            names = names - self._known(by, version)
            if not names:
                return names
        hashed = Names(gnu_hashes(names))
        for by in objects:
            absent = self._known_absent(by, version)
            asked = names - absent
            if asked:
                answered = asked & self._files.among(by, hashed).of(version)
                self._remember_found(by, version, answered)
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
            (found,) = self._unanswered.references([(one, direct)])
            self._residuals[key] = self.kept(found)
        return found

    def kept(self, references: tuple[SymbolReference, ...]) -> tuple[SymbolReference, ...]:
        """The same references, counted because they stay in memory.

        Raises:
            LimitExceeded: they are more than ``MAXIMUM_UNANSWERED`` in all.
        """
        self._kept += len(references)
        if self._kept > MAXIMUM_UNANSWERED:
            raise LimitExceeded(
                f"the image's files do not find more than {MAXIMUM_UNANSWERED} symbols",
                advice="check where the image comes from",
            )
        return references

    def residuals(self, some: Sequence[Asking]) -> list[tuple[SymbolReference, ...]]:
        """The same of several objects: each of the others is opened once for all of them. Where that takes
        long, and there is another processor, a second process does some of it.

        Raises:
            LimitExceeded: see ``kept``.
        """
        portions = [*_portions(some)]
        unanswered = Unanswered(self._files.anew(), self._references)
        is_wanted = len(portions) > 1 and may_share()
        found: list[tuple[SymbolReference, ...]] = []
        done = 0
        with SecondProcess(len(portions), self._symbols(portions), is_wanted=is_wanted) as second:
            while done < len(portions) and second.may_do_next():
                found += map(self.kept, unanswered.references(portions[done]))
                done += 1
            theirs = some[len(found) :]
            symbols = second.result(len(theirs))
        if symbols is not None:
            rest = zip(theirs, symbols, strict=True)
            found += [self.kept(unanswered.references_of(one, left)) for (one, _), left in rest]
        else:
            for portion in portions[done:]:
                found += map(self.kept, unanswered.references(portion))
        for (one, direct), left in zip(some, found, strict=True):
            self._residuals[one.inode, *(other.inode for other in direct)] = left
        return found

    def _symbols(self, portions: Sequence[Sequence[Asking]]) -> Callable[[int], Iterable[array[int]]]:
        """What a second process does: the ``residuals`` of one portion, as indices of symbols."""
        unanswered = Unanswered(self._files.anew(), self._references)
        return lambda portion: unanswered.symbols(portions[portion])

    def answers(self, provider: Linked, reference: SymbolReference) -> bool:
        """Whether a definition of an object answers a reference."""
        return self.answers_name(provider, reference.name, version_of(reference))

    def defines(self, provider: Linked, name: bytes) -> bool:
        """Whether an object has a definition of that name, whoever may use it."""
        return self._files.defines(provider, name)

    def look_for(self, wanted: Set[Wanted]) -> Survey:
        """Which files answer each of some references; remembered instead of what was looked for before."""
        self._survey = Survey(self._files, wanted)
        return self._survey

    def close_files(self) -> None:
        """Give back the memory that look-ups take; what is asked later opens its files again."""
        self._files.close()
        self._references.clear()
        self._survey.close_files()
        self._unanswered = Unanswered(self._files, self._references)
        self._found.clear()
        self._found_names = 0
        self._absent.clear()
        self._absent_names = 0

    def missed(
        self, one: Linked, references: tuple[SymbolReference, ...], *, bind_now: bool, path: str
    ) -> MissedReferences:
        """What is said of references of an object, opened by ``path``, that nothing answers."""
        if self._is_musl:  # which looks at no version
            references = tuple(self._references[one._replace(version=None)] for one in references)
        return MissedReferences(path, references, bind_now or one.elf.bind_now)

    def answers_name(self, provider: Linked, name: bytes, version: Version | None) -> bool:
        """Whether a definition of an object answers a reference of that name and version."""
        return name in self._known(provider, version) or bool(self._answered(provider, {name}, version))

    def _answered(self, provider: Linked, names: set[bytes], version: Version | None) -> Set[bytes]:
        """Those of some names that an object answers; remembered."""
        found = self._files.answered(provider, names, version) & names
        self._remember_found(provider, version, found)
        return found

    def _remember_found(self, provider: Linked, version: Version | None, found: Set[bytes]) -> None:
        known = self._known(provider, version)
        before = len(known)
        known |= found
        self._found_names += len(known) - before

    def _known(self, provider: Linked, version: Version | None) -> set[bytes]:
        if self._found_names > MAXIMUM_FOUND:
            self._found.clear()
            self._found_names = 0
        return self._found.setdefault((provider.inode, self._files.normal(provider, version)), set())

    def _known_absent(self, provider: Linked, version: Version | None) -> set[bytes]:
        """The names that an object is known not to answer."""
        if self._absent_names > MAXIMUM_FOUND:
            self._absent.clear()
            self._absent_names = 0
        return self._absent.setdefault((provider.inode, self._files.normal(provider, version)), set())


def _portions(some: Sequence[Asking]) -> Iterator[Sequence[Asking]]:
    """Objects in the same order, so many at a time as have about ``PORTION`` references."""
    start = references = 0
    for end, (one, _) in enumerate(some, 1):
        references += one.elf.symbols.first_hashed if one.elf.symbols else 0
        if references >= PORTION or end == len(some):
            yield some[start:end]
            start, references = end, 0
