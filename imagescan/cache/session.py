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

    from imagescan.cache.drafts import LayerDrafts
    from imagescan.cache.judgements import KeptJudgement
    from imagescan.cache.layers import LayerCache
    from imagescan.cache.link_tables import LinkTableCache, RememberedMaps
    from imagescan.filesystem.values import RootFilesystem
    from imagescan.layers.values import LayerIndex
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
        self._drafts: list[LayerDrafts] = []
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
        if self._has_kept or any(drafts.has_kept for drafts in self._drafts):
            from imagescan.cache.pruning import prune

            prune(self._directory, self._wishes.maximum_bytes, self._wishes.maximum_days)
        self._directory.close()

    def known_layers(self, image: ImageManifest) -> Mapping[int, LayerIndex]:
        """The layers of an image that were read before, by their position."""
        if self._directory is None:
            return {}
        from imagescan.cache.layers import LayerCache
        from imagescan.content import FileInspector
        from imagescan.database_budget import DatabaseBudget

        self._layers = self._layers or LayerCache(self._directory, FileInspector(), self._say, self._warn)
        read: dict[tuple[object, object], LayerIndex | None] = {}
        known = {}
        budget = DatabaseBudget()
        for layer in image.layers:
            identity = layer.digest, layer.diff_id
            if identity not in read:
                found = self._layers.find(layer)
                read[identity] = budget.admit(found) if found is not None else None
            found = read[identity]
            if found is not None:
                known[layer.index] = found
        for layer in image.layers:
            if layer.index in known:
                self._say(f"{_name(layer)} is known")
        return known

    def new_drafts(self) -> LayerDrafts:
        """For the layers of an image that are about to be read; they are kept as soon as they are whole."""
        from imagescan.cache.drafts import LayerDrafts

        self._drafts.append(LayerDrafts(self._layers, self._say))
        return self._drafts[-1]

    def known_report(self, image: ImageManifest, options: ScanOptions) -> ScanReport | None:
        """The report of this very image, if it was judged before under the same wishes and rules."""
        key = self._answer_key(image, options)
        if key is None or self._answers is None:
            return None
        report = self._answers.find(key, image)
        if report is not None:
            self._say(f"the answer for {image.digest or image.config_digest} is known")
        return report

    def keep_report(self, image: ImageManifest, options: ScanOptions, report: ScanReport) -> bool:
        """Keep what an image was judged to be; says whether it could be."""
        key = self._answer_key(image, options)
        if key is None or self._answers is None or self._met_a_limit:
            return False
        kept = self._answers.keep(key, report)
        self._has_kept |= kept
        return kept

    def known_judgement(self, image: ImageManifest, options: ScanOptions) -> KeptJudgement | None:
        """What this image's files were judged to be when an image of the same files was started."""
        if self._directory is None:
            return None
        from imagescan.cache.judgements import JudgementCache, judgement_key

        key = judgement_key(image, options)
        judgements = JudgementCache(self._directory, self._say, self._warn)
        found = None if key is None else judgements.find(key)
        if found is not None:
            self._say("the judgement of the same files is known")
        return found

    def keep_judgement(self, image: ImageManifest, options: ScanOptions, judgement: KeptJudgement) -> None:
        """Keep what an image's files were judged to be."""
        if self._directory is None or self._met_a_limit:
            return
        from imagescan.cache.judgements import JudgementCache, judgement_key

        key = judgement_key(image, options)
        judgements = JudgementCache(self._directory, self._say, self._warn)
        self._has_kept |= key is not None and judgements.keep(key, judgement)

    def link_maps(
        self,
        layers: Sequence[LayerIndex],
        filesystem: RootFilesystem,
        process: ProcessEnvironment,
        simulation: Simulation,
    ) -> tuple[ClosureTable, LinkMaps]:
        """The link maps of the tree that these layers make, known or worked out; all files' problems, and
        single ones."""
        if self._directory is None or self._met_a_limit:
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

    @property
    def _met_a_limit(self) -> bool:
        """Whether facts are missing that another machine would have."""
        return any(drafts.met_a_limit for drafts in self._drafts)

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


def _name(layer: LayerDescriptor) -> str:
    return f"layer {layer.index} ({layer.digest or layer.diff_id})"
