"""The store of the facts of a layer that is to be kept, which remembers whether anything found no room."""

from __future__ import annotations

from imagescan.errors import LimitExceeded
from imagescan.layers.column_store import TemporaryColumnStore
from imagescan.layers.values import Place


class WatchedStore(TemporaryColumnStore):
    """Remembers that something found no room."""

    is_full = False

    def append(self, data: bytes | memoryview) -> Place:
        """See ``TemporaryColumnStore.append``."""
        try:
            return super().append(data)
        except LimitExceeded:
            self.is_full = True
            raise
