"""Symbol references of many closures at once.

Nodes of ``SharedLinks`` and their closures enter; for each closure the references that nothing in it
answers leave. Only whether a definition exists is asked (``binding``), so what an object's own closure
answers is answered wherever the object is loaded, and few references are left to be asked for each
program. Those are looked up once in every file, by hash first.
"""

from __future__ import annotations

from collections.abc import Sequence

from imagescan.elf.symbols import SymbolReference
from imagescan.loader.binding import Binder, version_of
from imagescan.loader.shared_links import SharedLinks, Walk
from imagescan.loader.values import MissingSymbol


class SharedBinding:
    """The unanswered references of one loader's closures."""

    def __init__(self, links: SharedLinks, binder: Binder) -> None:
        self._links = links
        self._binder = binder
        nodes = links.nodes
        self._symbols: dict[tuple[int, str, bool], MissingSymbol] = {}
        self._inodes = [one.inode for one in nodes]
        # Of the others it is not known what they need.
        answered = [one.number for one in nodes if len(one.needs) == len(one.elf.needed)]
        numbers = sorted(answered, key=self._largest_needs)
        objects = [(nodes[number], [nodes[needed] for needed in nodes[number].needs]) for number in numbers]
        left = dict(zip(numbers, binder.residuals(objects), strict=True))
        left = {number: references for number, references in left.items() if references}
        wanted = {(one.name, version_of(one)) for references in left.values() for one in references}
        self._survey = binder.look_for(wanted, nodes)
        self._left = {
            number: self._without(references, number, links.closure(number))
            for number, references in left.items()
        }
        self._left = {number: references for number, references in self._left.items() if references}

    def missing(
        self, walk: Walk, running: frozenset[int] = frozenset(), *, bind_now: bool
    ) -> tuple[MissingSymbol, ...]:
        """Every strong reference of the objects of a closure that none of them answers, in load order. What
        is ``running`` before answers too, and is not asked."""
        asking = [number for number in walk.nodes if number in self._left and number not in running]
        if not asking:
            return ()
        numbers = running.union(walk.nodes)
        return tuple(
            self._missing_symbol(number, reference, bind_now=bind_now, path=path)
            for number, path in [(number, self._links.opened(walk, number)) for number in asking]
            for reference in self._without(self._left[number], number, numbers)
        )

    def forget(self) -> None:
        """Give back the memory that shared values take; the same are made anew for who asks later."""
        self._symbols.clear()

    def _missing_symbol(
        self, number: int, reference: SymbolReference, *, bind_now: bool, path: str
    ) -> MissingSymbol:
        """``Binder.missing_symbol``; the same value for all closures."""
        key = id(reference), path, bind_now  # it lives as long as ``_left``
        found = self._symbols.get(key)
        if found is None:
            one = self._links.nodes[number]
            found = self._binder.missing_symbol(one, reference, bind_now=bind_now, path=path)
            self._symbols[key] = found
        return found

    def _largest_needs(self, number: int) -> list[tuple[int, int]]:
        """The sizes of what a node needs, largest first: in this order large files are opened seldom."""
        nodes = self._links.nodes
        tables = ((needed, nodes[needed].elf.symbols) for needed in nodes[number].needs)
        return sorted((-table.length if table else 0, needed) for needed, table in tables)

    def _without(
        self, references: Sequence[SymbolReference], number: int, numbers: frozenset[int] | None
    ) -> tuple[SymbolReference, ...]:
        """Those references of a node that no node of a closure answers; all of them without a closure."""
        if numbers is None:
            return tuple(references)
        inodes = {self._inodes[one] for one in numbers}
        others = inodes - {self._inodes[number]}
        definers = self._survey.definers
        return tuple(
            one
            for one in references
            if (others if one.copied else inodes).isdisjoint(definers.get((one.name, version_of(one)), ()))
        )
