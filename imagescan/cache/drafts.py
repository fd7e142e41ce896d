"""Layers while they are read: each goes to a file at once, in the form of the cache, whoever reads it.

What reading a layer finds enters, in this process or a copy of it; the layer's index leaves, made from the
file. With a cache the file is one of the cache's, unfinished until the layer is whole; without one it has no
name and is gone with the process. Names, warnings and messages are the business of the process that made the
draft.
"""

from __future__ import annotations

import os
from functools import cached_property

from imagescan.cache.columns import Unstorable
from imagescan.cache.directory import UnfinishedFile
from imagescan.cache.layers import LayerCache, LayerForm, LayerName, Say
from imagescan.cache.pieces import PieceWriter
from imagescan.cache.watched_store import WatchedStore
from imagescan.content import FileInspector
from imagescan.database_budget import DatabaseBudget
from imagescan.layers.column_store import open_unnamed
from imagescan.layers.columns import ColumnarLayerIndex
from imagescan.layers.drafts import HeapDraft
from imagescan.layers.values import ColumnStore, LayerDraft, LayerIndex, NotWritten
from imagescan.reference import Digest
from imagescan.sources.values import LayerDescriptor

_UNSTORABLE = "a layer cannot be kept: "


class LayerDrafts:
    """Makes the drafts of the layers of one image; used as a context, at whose end nothing unfinished stays.

    Args:
        cache: where layers are kept; None keeps nothing.
        say: told what cannot be kept.
    """

    def __init__(self, cache: LayerCache | None, say: Say) -> None:
        self._cache = cache
        self._say = say
        self._open: list[FileDraft] = []
        self._stores: list[WatchedStore] = []
        self._budget = DatabaseBudget()
        self.has_kept = False

    def new(self, layer: LayerDescriptor | None) -> LayerDraft:
        """The draft of one layer; None is one that is told by its content when it was read."""
        is_named = layer is None or layer.digest is not None or layer.diff_id is not None
        unfinished = self._cache.begin() if self._cache and is_named else None
        try:
            file = unfinished.file if unfinished else open_unnamed()
        except OSError:
            return self.on_heap()
        self._open.append(FileDraft(self, file, unfinished))
        return self._open[-1]

    def on_heap(self) -> LayerDraft:
        """A draft that needs no file."""
        self._stores.append(WatchedStore())
        return HeapDraft(self._stores[-1])

    @cached_property
    def form(self) -> LayerForm:
        """How layers are written."""
        return self._cache.form if self._cache else LayerForm.of(FileInspector())

    def __enter__(self) -> LayerDrafts:
        return self

    def __exit__(self, *_: object) -> None:
        for draft in self._open:
            draft.close()
        self._open.clear()

    @property
    def met_a_limit(self) -> bool:
        """Whether something found no room on this machine, so that facts are missing."""
        return any(store.is_full for store in self._stores)

    def keep(self, file: UnfinishedFile, known_as: LayerName, layer: LayerDescriptor) -> None:
        """Give a whole file its name in the cache, if it is the layer that was asked for."""
        by_blob = layer.digest is not None and layer.digest == known_as.blob
        by_tar = layer.digest is None and layer.diff_id == known_as.diff_id
        if self._cache is not None and (by_blob or by_tar) and not self.met_a_limit:
            self.has_kept |= self._cache.keep(file, known_as, layer.media_type if by_blob else "")

    def give_up(self, file: UnfinishedFile | None, reason: str) -> None:
        """A file takes no more, or never could."""
        if self._cache is None or file is None:
            return
        if reason.startswith(_UNSTORABLE):
            self._say(reason)
        else:
            self._cache.stop(reason)

    def take_away(self, file: UnfinishedFile | None) -> None:
        """Nothing may be left of a file that has no name in the cache."""
        if self._cache is not None and file is not None:
            self._cache.give_up(file)

    def admit(self, index: LayerIndex) -> LayerIndex:
        """The index, without databases that are too much for one image."""
        return self._budget.admit(index)


class FileDraft:
    """A ``LayerDraft`` in a file that copies of this process share."""

    is_shared = True

    def __init__(self, drafts: LayerDrafts, file: int, unfinished: UnfinishedFile | None) -> None:
        self._drafts, self._file, self._unfinished = drafts, file, unfinished
        self._writer = PieceWriter(file)

    @property
    def store(self) -> ColumnStore:
        """See ``LayerDraft.store``."""
        return self._writer

    def write(self, index: LayerIndex) -> bytes:
        """See ``LayerDraft.write``."""
        if not isinstance(index, ColumnarLayerIndex):
            raise NotWritten(f"{_UNSTORABLE}it has no columns")
        try:
            self._drafts.form.write(index, self._writer)
        except Unstorable as error:
            raise NotWritten(f"{_UNSTORABLE}{error.message}") from error
        summary = index.summary
        blob = summary.blob_digest or summary.diff_id
        return f"{summary.diff_id} {blob} {summary.compressed_size}".encode()

    def keep(self, note: bytes, layer: LayerDescriptor | None) -> None:
        """See ``LayerDraft.keep``."""
        diff_id, blob, size = note.decode().split()
        if layer is not None and self._unfinished is not None:
            known_as = LayerName(Digest.parse(diff_id), Digest.parse(blob), int(size))
            self._drafts.keep(self._unfinished, known_as, layer)

    def load(self) -> LayerIndex:
        """See ``LayerDraft.load``."""
        file, self._file = self._file, -1
        return self._drafts.admit(self._drafts.form.read(file, checked=False))

    def give_up(self, reason: str) -> None:
        """See ``LayerDraft.give_up``."""
        self._drafts.give_up(self._unfinished, reason)
        self.close()

    def on_heap(self) -> LayerDraft:
        """See ``LayerDraft.on_heap``."""
        return self._drafts.on_heap()

    def close(self) -> None:
        """Leave nothing behind but what has a name in the cache."""
        self._drafts.take_away(self._unfinished)
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
