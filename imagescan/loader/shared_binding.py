"""Symbol references of many closures at once.

Nodes of ``SharedLinks`` and their closures enter; for each closure the references that nothing in it
answers leave. Only whether a definition exists is asked (``binding``), so what an object's own closure
answers is answered wherever the object is loaded, and few references are left to be asked for each
program. Those are looked up once in every file, by hash first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from imagescan.elf.symbols import HashKind, SymbolReference
from imagescan.loader.binding import Binder, version_of
from imagescan.loader.shared_links import Node, SharedLinks, Walk
from imagescan.loader.symbol_lookup import Version, gnu_hash, hashes_of
from imagescan.loader.values import MissingSymbol

_Wanted = tuple[bytes, Version | None]


class SharedBinding:
    """The unanswered references of one loader's closures."""

    def __init__(self, links: SharedLinks, binder: Binder, walks: Iterable[Walk]) -> None:
        self._links = links
        self._binder = binder
        used = sorted({number for walk in walks for number in walk.nodes}, key=self._largest_needs)
        left = {number: self._left_by_needs(links.nodes[number]) for number in used}
        left = {number: references for number, references in left.items() if references}
        wanted = {_wanted(reference) for references in left.values() for reference in references}
        self._definers = self._find_definers(wanted, used)
        self._left = {
            number: self._without(references, number, links.closure(number))
            for number, references in left.items()
        }
        self._left = {number: references for number, references in self._left.items() if references}

    def missing(self, walk: Walk, *, bind_now: bool) -> tuple[MissingSymbol, ...]:
        """Every strong reference of the objects of a closure that none of them answers, in load order."""
        asking = [number for number in walk.nodes if number in self._left]
        if not asking:
            return ()
        nodes = frozenset(walk.nodes)
        return tuple(
            self._binder.missing_symbol(
                self._links.nodes[number],
                reference,
                bind_now=bind_now,
                path=self._links.opened(walk, number),
            )
            for number in asking
            for reference in self._without(self._left[number], number, nodes)
        )

    def _largest_needs(self, number: int) -> list[tuple[int, int]]:
        """The sizes of what a node needs, largest first: in this order large files are opened seldom."""
        nodes = self._links.nodes
        tables = ((needed, nodes[needed].elf.symbols) for needed in nodes[number].needs)
        return sorted((-table.length if table else 0, needed) for needed, table in tables)

    def _left_by_needs(self, one: Node) -> tuple[SymbolReference, ...]:
        nodes = self._links.nodes
        return self._binder.residual(one, [nodes[number] for number in one.needs])

    def _without(
        self, references: Sequence[SymbolReference], number: int, nodes: frozenset[int] | None
    ) -> tuple[SymbolReference, ...]:
        """Those references of a node that no node of a closure answers; all of them without a closure."""
        if nodes is None:
            return tuple(references)
        others = nodes - {number}
        return tuple(
            one
            for one in references
            if (others if one.copied else nodes).isdisjoint(self._definers.get(_wanted(one), ()))
        )

    def _find_definers(self, wanted: set[_Wanted], among: Sequence[int]) -> dict[_Wanted, set[int]]:
        """Which nodes answer each of these."""
        by_hash: dict[int, list[_Wanted]] = {}
        for one in wanted:
            by_hash.setdefault(gnu_hash(one[0]) | 1, []).append(one)
        hashes = frozenset(by_hash)
        found: dict[_Wanted, set[int]] = {}
        for number in among:
            node = self._links.nodes[number]
            table = node.elf.symbols
            if table is None:
                continue
            hits = hashes.intersection(hashes_of(table)) if table.hash_kind is HashKind.GNU else hashes
            for value in hits:
                for one in by_hash[value]:
                    if self._binder.answers_name(node, *one):
                        found.setdefault(one, set()).add(number)
        return found


def _wanted(reference: SymbolReference) -> _Wanted:
    return reference.name, version_of(reference)
