"""Symbol references of many closures at once.

Nodes of ``SharedLinks`` and their closures enter; for each closure the references that nothing in it
answers leave. Only whether a definition exists is asked (``binding``), so what an object's own closure
answers is answered wherever the object is loaded, and few references are left to be asked for each
program. Those are looked up once in each file that may answer them (``survey``).
"""

from __future__ import annotations

from collections.abc import Sequence

from imagescan.elf.symbols import SymbolReference
from imagescan.loader.binding import Binder
from imagescan.loader.missing_symbols import MissedReferences, MissingSymbols
from imagescan.loader.shared_links import SharedLinks, Walk
from imagescan.loader.survey import version_of


class SharedBinding:
    """The unanswered references of one loader's closures."""

    def __init__(self, links: SharedLinks, binder: Binder) -> None:
        self._links = links
        self._binder = binder
        nodes = links.nodes
        self._missed: dict[tuple[int, str, bool], MissedReferences] = {}
        self._inodes = [one.inode for one in nodes]
        # Of the others it is not known what they need; where that can be guessed, simulations will ask.
        answered = {one.number for one in nodes if len(one.needs) == len(one.elf.needed)}
        direct = {one.number: one.needs if one.number in answered else one.guesses for one in nodes}
        numbers = [number for number in direct if number in answered or direct[number]]
        numbers.sort(key=lambda number: self._largest(direct[number]))
        objects = [(nodes[number], [nodes[one] for one in direct[number]]) for number in numbers]
        left = dict(zip(numbers, binder.residuals(objects), strict=True))
        wanted = {(one.name, version_of(one)) for references in left.values() for one in references}
        self._survey = binder.look_for(wanted)
        self._left = {
            number: self._without(references, number, links.closure(number))
            for number, references in left.items()
            if references and number in answered
        }
        self._left = {number: references for number, references in self._left.items() if references}

    def missing(self, walk: Walk, running: frozenset[int] = frozenset(), *, bind_now: bool) -> MissingSymbols:
        """Every strong reference of the objects of a closure that none of them answers, in load order. What
        is ``running`` before answers too, and is not asked."""
        asking = [number for number in walk.nodes if number in self._left and number not in running]
        if not asking:
            return MissingSymbols()
        numbers = running.union(walk.nodes)
        missed = []
        for number in asking:
            references = self._without(self._left[number], number, numbers)
            if references:
                path = self._links.opened(walk, number)
                missed.append(self._missed_by(number, references, bind_now=bind_now, path=path))
        return MissingSymbols(tuple(missed))

    def _missed_by(
        self, number: int, references: tuple[SymbolReference, ...], *, bind_now: bool, path: str
    ) -> MissedReferences:
        """``Binder.missed``; the same value for closures that miss the same."""
        key = number, path, bind_now
        known = self._missed.get(key)
        if known is None or known.references is not references:
            one = self._links.nodes[number]
            known = self._missed[key] = self._binder.missed(one, references, bind_now=bind_now, path=path)
        return known

    def _largest(self, needs: Sequence[int]) -> list[tuple[int, int]]:
        """The sizes of what a node needs, largest first: in this order large files are opened seldom."""
        tables = ((needed, self._links.nodes[needed].elf.symbols) for needed in needs)
        return sorted((-table.length if table else 0, needed) for needed, table in tables)

    def _without(
        self, references: tuple[SymbolReference, ...], number: int, numbers: frozenset[int] | None
    ) -> tuple[SymbolReference, ...]:
        """Those references of a node that no node of a closure answers; all of them without a closure."""
        if numbers is None:
            return references
        nodes, own = self._links.nodes, self._inodes[number]
        others = (nodes[one] for one in numbers if self._inodes[one] != own)
        wanted = {(one.name, version_of(one)) for one in references}
        by_others = self._survey.answered_by_none(wanted, others)
        by_all = self._survey.answered_by_none(by_others, (nodes[number],))
        left = tuple(
            one for one in references if (one.name, version_of(one)) in (by_others if one.copied else by_all)
        )
        return references if len(left) == len(references) else self._binder.kept(left)
