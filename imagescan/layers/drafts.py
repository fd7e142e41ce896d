"""A layer's index enters and waits on the heap, in the process that reads the layer."""

from __future__ import annotations

from imagescan.layers.column_store import TemporaryColumnStore
from imagescan.layers.values import ColumnStore, LayerDraft, LayerIndex
from imagescan.sources.values import LayerDescriptor


class HeapDraft:
    """A ``LayerDraft`` that needs no disk but its store's, by default a ``TemporaryColumnStore``."""

    is_shared = False

    def __init__(self, store: ColumnStore | None = None) -> None:
        self.store: ColumnStore = store or TemporaryColumnStore()
        self._index: LayerIndex | None = None

    def write(self, index: LayerIndex) -> bytes:
        """See ``LayerDraft.write``; never refuses."""
        self._index = index
        return b""

    def keep(self, note: bytes, layer: LayerDescriptor | None) -> None:
        """See ``LayerDraft.keep``."""

    def load(self) -> LayerIndex:
        """See ``LayerDraft.load``."""
        assert self._index is not None
        return self._index

    def give_up(self, reason: str) -> None:
        """See ``LayerDraft.give_up``; never asked for."""
        raise NotImplementedError(reason)

    def on_heap(self) -> LayerDraft:
        """See ``LayerDraft.on_heap``."""
        return self
