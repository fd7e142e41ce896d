"""Layers of one image enter, base first; the same layers leave, with no more of package databases than one
image may have.

Each layer is read by itself, with a limit of its own (``content``). What is too much together does not depend
on which layer was read first, by whom, or long ago: databases are left out from the first one on that comes
when ``MAXIMUM_DATABASES`` are exceeded.
"""

from __future__ import annotations

from imagescan import content
from imagescan.dataclasses import replace
from imagescan.layers.columns import ColumnarLayerIndex
from imagescan.layers.values import LayerIndex, UnreadFile
from imagescan.packages.values import DatabaseFile
from imagescan.reference import Digest


class DatabaseBudget:
    """What the layers of one image have of package databases, so far."""

    def __init__(self) -> None:
        self._used = 0
        self._admitted: dict[Digest, LayerIndex] = {}

    def admit(self, index: LayerIndex) -> LayerIndex:
        """The next layer, as it is or with databases marked as not read; one that the image has twice counts
        once."""
        if index.diff_id not in self._admitted:
            bounded = self._bounded(index) if isinstance(index, ColumnarLayerIndex) else index
            self._admitted[index.diff_id] = bounded
        return self._admitted[index.diff_id]

    def _bounded(self, index: ColumnarLayerIndex) -> LayerIndex:
        sizes = [len(one.packed) for one in index.rows.contents.values() if isinstance(one, DatabaseFile)]
        if self._used + sum(sizes) <= content.MAXIMUM_DATABASES:
            self._used += sum(sizes)
            return index
        return self._without_excess(index)

    def _without_excess(self, index: ColumnarLayerIndex) -> LayerIndex:
        excess = []
        for path, found in index.contents():
            if not isinstance(found, DatabaseFile):
                continue
            if self._used > content.MAXIMUM_DATABASES:
                excess.append(path)
            else:
                self._used += len(found.packed)
        if not excess:
            return index
        left_out = {id(entry.content) for path in excess if (entry := index.entry(path)) is not None}
        contents = {row: found for row, found in index.rows.contents.items() if id(found) not in left_out}
        unread = (UnreadFile(path, content.TOO_MANY_DATABASES) for path in excess)
        in_order = tuple(sorted((*index.summary.unread, *unread), key=lambda file: file.path))
        return ColumnarLayerIndex(
            replace(index.summary, unread=in_order),
            index.directories,
            replace(index.rows, contents=contents),
        )
