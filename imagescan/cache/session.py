"""What one scan does with the cache: it is opened when first needed, and tidied when something was added.

A caller's wishes enter; layers that are known leave. A cache that cannot be used is one warning, and the
scan goes on as if there were none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from imagescan.cache.answers import AnswerCache, answer_key
from imagescan.cache.columns import Damaged as DamagedCache
from imagescan.cache.directory import CacheDirectory, Unusable
from imagescan.findings import ScanReport
from imagescan.options import CacheOptions, Message, ScanOptions

if TYPE_CHECKING:  # what is needed beyond a known answer is imported where it is used
    from pathlib import Path

    from imagescan.cache.layers import LayerCache
    from imagescan.cache.link_tables import LinkTableCache, RememberedMaps
    from imagescan.cache.watched_store import WatchedStore
    from imagescan.filesystem.values import RootFilesystem
    from imagescan.layers.values import ColumnStore, LayerIndex
    from imagescan.loader.closure_table import ClosureTable
    from imagescan.loader.environment import ProcessEnvironment
    from imagescan.loader.simulate import Simulation
    from imagescan.loader.values import LinkMaps
    from imagescan.sources.values import ImageManifest, LayerDescriptor

__all__ = ["CacheSession", "DamagedCache"]


class CacheSession:
    """The cache during one scan; used as a context.

    Args:
        wishes: None is a session that knows nothing and keeps nothing.
        on_message: told what was found, dropped, or could not be kept.
    """

    def __init__(self, wishes: CacheOptions | None, on_message: Callable[[Message], None] | None) -> None:
        self._wishes = wishes
        self._on_message = on_message
        self._directory: CacheDirectory | None = None
        self._layers: LayerCache | None = None
        self._answers: AnswerCache | None = None
        self._tables: LinkTableCache | None = None
        self._remembered: dict[str, RememberedMaps] = {}
        self._stores: list[WatchedStore] = []
        self._has_kept = False
        self._has_warned = False
        if wishes is not None:
            self._directory = self._open(wishes.directory)

    def __enter__(self) -> CacheSession:
        return self

    def __exit__(self, *_: object) -> None:
        if self._directory is None or self._wishes is None:
            return
        self._keep_link_maps()
        if self._has_kept:
            from imagescan.cache.pruning import prune

            prune(self._directory, self._wishes.maximum_bytes, self._wishes.maximum_days)
        self._directory.close()

    @property
    def is_open(self) -> bool:
        """Whether there is a cache to use."""
        return self._directory is not None

    def known_layers(self, image: ImageManifest) -> Mapping[int, LayerIndex]:
        """The layers of an image that were read before, by their position."""
        if self._directory is None:
            return {}
        from imagescan.cache.layers import LayerCache
        from imagescan.content import MAXIMUM_DATABASES, FileInspector

        self._layers = self._layers or LayerCache(self._directory, FileInspector(), self._say, self._warn)
        read: dict[tuple[object, object], LayerIndex | None] = {}
        known = {}
        for layer in image.layers:
            identity = layer.digest, layer.diff_id
            if identity not in read:
                read[identity] = self._layers.find(layer)
            found = read[identity]
            if found is not None:
                known[layer.index] = found
        if _database_bytes(known) > MAXIMUM_DATABASES:  # reading them together would have stopped there
            return {}
        for layer in image.layers:
            if layer.index in known:
                self._say(f"{_name(layer)} is known")
        return known

    def keep_layer(self, image: ImageManifest, index: LayerIndex) -> None:
        """Keep a layer that was read for an image."""
        if self._layers is None or self._met_a_limit(index):
            return
        for layer in image.layers:
            by_blob = layer.digest is not None and layer.digest == index.blob_digest
            if by_blob or (layer.digest is None and layer.diff_id == index.diff_id):
                self._has_kept |= self._layers.keep(index, layer.media_type if by_blob else "")
                return

    def new_store(self) -> ColumnStore:
        """A store for the facts of one layer that is to be kept."""
        from imagescan.cache.watched_store import WatchedStore

        self._stores.append(WatchedStore())
        return self._stores[-1]

    def known_report(self, image: ImageManifest, options: ScanOptions) -> ScanReport | None:
        """The report of this very image, if it was judged before under the same wishes and rules."""
        key = self._answer_key(image, options)
        if key is None or self._answers is None:
            return None
        report = self._answers.find(key, image.reference)
        if report is not None:
            self._say(f"the answer for {image.digest or image.config_digest} is known")
        return report

    def keep_report(self, image: ImageManifest, options: ScanOptions, report: ScanReport) -> bool:
        """Keep what an image was judged to be; says whether it could be."""
        key = self._answer_key(image, options)
        if key is None or self._answers is None or any(store.is_full for store in self._stores):
            return False
        kept = self._answers.keep(key, report)
        self._has_kept |= kept
        return kept

    def link_maps(
        self,
        layers: Sequence[LayerIndex],
        filesystem: RootFilesystem,
        process: ProcessEnvironment,
        simulation: Simulation,
    ) -> tuple[ClosureTable, LinkMaps]:
        """The link maps of the tree that these layers make, known or worked out; all files' problems, and
        single ones."""
        if self._directory is None or any(store.is_full for store in self._stores):
            return simulation.closures(), simulation
        from imagescan.cache.link_tables import LinkTableCache, table_key

        tables = self._tables = self._tables or LinkTableCache(self._directory, self._say, self._warn)
        key = table_key(layers, process)
        maps = tables.remembered(key, simulation, filesystem, process)
        self._remembered[key] = maps
        found = tables.find(key, filesystem, process)
        if found is None:
            found = simulation.closures()
            self._has_kept |= tables.keep(key, found)
        else:
            self._say("the link maps are known")
        return found, maps

    def _keep_link_maps(self) -> None:
        if self._tables is not None:
            for key, maps in self._remembered.items():
                self._has_kept |= self._tables.keep_remembered(key, maps)
        self._remembered.clear()

    def distrust(self, reason: str) -> None:
        """Forget what was found for this scan: some of it is damaged."""
        if self._layers is not None:
            self._layers.drop_found(reason)

    def _answer_key(self, image: ImageManifest, options: ScanOptions) -> str | None:
        if self._directory is None:
            return None
        self._answers = self._answers or AnswerCache(self._directory, self._say, self._warn)
        return answer_key(image, options)

    def _met_a_limit(self, index: LayerIndex) -> bool:
        """Whether what could be looked at of a layer depended on this machine or on other layers."""
        from imagescan.content import TOO_MANY_DATABASES

        return any(store.is_full for store in self._stores) or any(
            file.reason == TOO_MANY_DATABASES for file in index.unread
        )

    def _open(self, directory: Path) -> CacheDirectory | None:
        try:
            return CacheDirectory(directory)
        except Unusable as error:
            self._warn(str(error))
            return None

    def _say(self, text: str) -> None:
        self._tell(Message(f"cache: {text}", detail=True))

    def _warn(self, text: str) -> None:
        if self._has_warned:
            return
        self._has_warned = True
        self._tell(Message(f"the cache cannot be used: {text}", detail=False))

    def _tell(self, message: Message) -> None:
        if self._on_message is not None:
            self._on_message(message)


def _database_bytes(known: Mapping[int, LayerIndex]) -> int:
    """Compressed bytes of the package databases of these layers."""
    from imagescan.layers.columns import ColumnarLayerIndex
    from imagescan.packages.values import DatabaseFile

    layers = (index for index in set(known.values()) if isinstance(index, ColumnarLayerIndex))
    contents = (content for index in layers for content in index.rows.contents.values())
    return sum(len(one.packed) for one in contents if isinstance(one, DatabaseFile))


def _name(layer: LayerDescriptor) -> str:
    return f"layer {layer.index} ({layer.digest or layer.diff_id})"
