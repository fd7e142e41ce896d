"""The only composer: an image's name and a caller's wishes enter, judged images leave.

reference -> sources -> layers -> filesystem -> loader -> startup -> rules -> report, one after
the other; every room hands on frozen values and none knows the next.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Literal

from imagescan.cache.session import CacheSession, DamagedCache
from imagescan.dataclasses import dataclass, field, replace
from imagescan.findings import Blame, ScanReport
from imagescan.options import ProgressEvent, ScanOptions, Stage
from imagescan.overrides import overridden
from imagescan.reference import Platform
from imagescan.restarting import judged_as, judged_plainly
from imagescan.sources.select import SourceOptions, evidence_of, open_source
from imagescan.sources.siblings import with_siblings
from imagescan.sources.values import ImageManifest, ImageSource, LayerDescriptor
from imagescan.subject import named

if TYPE_CHECKING:
    from imagescan.judging import ImageScan
    from imagescan.layers.values import LayerIndex
    from imagescan.links import LinkReport
    from imagescan.rules.document import RuleDocument
    from imagescan.rules.knowledge import Knowledge


@dataclass(frozen=True)
class KnownImage:
    """An image whose report is known from an earlier scan. It is judged again when somebody asks for
    more than the report."""

    report: ScanReport
    _judge: Callable[[], ImageScan] = field(repr=False)
    evidence: tuple[tuple[str, str], ...] | None = None  # see ``ImageScan``

    @cached_property
    def _judged(self) -> ImageScan:
        return self._judge()

    @property
    def links(self) -> LinkReport:
        """See ``ImageScan.links``."""
        return self._judged.links

    def history(self, path: str) -> tuple[Blame, ...]:
        """See ``ImageScan.history``."""
        return self._judged.history(path)


def scan(text: str, options: ScanOptions) -> tuple[ImageScan | KnownImage, ...]:
    """Judge an image: one result for each platform asked for.

    Args:
        text: the image as the user names it (``product.md``, Command line).
        options: what else the user wishes.

    Raises:
        ImageScanError: the image cannot be found, read or trusted; a rule or an option is wrong.
    """
    _check(options)
    progress = _Progress(text, options.on_progress)
    with (
        _open(text, options) as source,
        CacheSession(options.cache, options.on_message) as cache,
    ):
        progress.tell(Stage.FETCHING)
        scans: list[ImageScan | KnownImage] = []
        for number, manifest in enumerate(with_siblings(source.images(_wanted(options.platform)))):
            manifest = replace(manifest, config=overridden(manifest.config, options))
            again = partial(_scan_again, text, options, number)
            report = cache.known_report(manifest, options)
            if report is not None:
                scans.append(KnownImage(report, again, evidence_of(source, text)))
                continue
            try:
                found = _scan_image(source, manifest, options, progress, cache, again)
            except DamagedCache as error:  # found by somebody who asked for symbols only now
                cache.distrust(error.message)
                found = _scan_image(source, manifest, options, progress, cache, again)
            if cache.keep_report(manifest, options, found.report):
                found = replace(found, evidence=evidence_of(source, text))
            scans.append(found)
        return tuple(scans)


def _check(options: ScanOptions) -> None:
    """A mistake in the wishes or in rules of the caller's is told before anything is asked for."""
    if (options.cpu, options.kernel, options.page_size) != (None, None, None):
        from imagescan.machine import stated_machine

        stated_machine(options)
    if options.rules_directories:
        from imagescan.rules.catalogue import load_rules

        load_rules(options.rules_directories)


def _scan_again(text: str, options: ScanOptions, number: int) -> ImageScan:
    """Judge the image at this position among those of the platforms asked for, its report known or not."""
    progress = _Progress(text, options.on_progress)
    with (
        _open(text, options) as source,
        CacheSession(options.cache, options.on_message) as cache,
    ):
        manifest = with_siblings(source.images(_wanted(options.platform)))[number]
        manifest = replace(manifest, config=overridden(manifest.config, options))
        rulebook = lru_cache(partial(_rulebook, options))
        layers = _read_layers(source, manifest, progress, cache, rulebook)
        progress.tell(Stage.JUDGING)
        from imagescan.judging import judge_image

        return judge_image(manifest, layers, rulebook(), options, cache)


def _scan_image(
    source: ImageSource,
    manifest: ImageManifest,
    options: ScanOptions,
    progress: _Progress,
    cache: CacheSession,
    again: Callable[[], ImageScan],
) -> ImageScan | KnownImage:
    """Judge an image whose report is not known; ``again`` does it when more than a report is asked for."""
    kept = None if options.added else cache.known_judgement(manifest, options)
    report = None if kept is None else judged_plainly(kept, manifest.config, options)
    if report is not None:
        return KnownImage(named(report, manifest), again)
    rulebook = lru_cache(partial(_rulebook, options))
    layers = _read_layers(source, manifest, progress, cache, rulebook)
    progress.tell(Stage.JUDGING)
    if kept is not None:
        from imagescan.filesystem.merge import merge

        report = judged_as(kept, manifest.config, options, merge(layers))
        if report is not None:
            return KnownImage(named(report, manifest), again)
    from imagescan.judging import judge_image

    return judge_image(manifest, layers, rulebook(), options, cache)


def _rulebook(options: ScanOptions) -> tuple[tuple[RuleDocument, ...], Knowledge]:
    """What images are judged by; it imports all that judging needs, too."""
    from imagescan import judging  # noqa: F401 - so that ``meanwhile`` is the time for it
    from imagescan.rules.catalogue import load_knowledge, load_rules

    rules = load_rules(options.rules_directories, with_examples=False)
    return rules, load_knowledge(options.rules_directories)


def _open(text: str, options: ScanOptions) -> ImageSource:
    """The source of the image, with what the caller wants to be different."""
    settings = SourceOptions(insecure=options.insecure)
    if not options.added and options.rebase is None and options.base is None:
        return open_source(text, settings)
    from imagescan.sources.additions import parse_addition
    from imagescan.sources.what_if import WhatIf, WhatIfSource

    wishes = WhatIf(tuple(map(parse_addition, options.added)), options.rebase, options.base)
    return WhatIfSource(open_source(text, settings), wishes, lambda name: open_source(name, settings))


def _wanted(platform: str | None) -> Platform | Literal["all"] | None:
    if platform is None or platform == "all":
        return "all" if platform else None
    return Platform.wished(platform)


def _read_layers(
    source: ImageSource,
    manifest: ImageManifest,
    progress: _Progress,
    cache: CacheSession,
    meanwhile: Callable[[], object],
) -> tuple[LayerIndex, ...]:
    """The layers of an image; the source is asked for those only that the cache does not know. ``meanwhile``
    may be called when there is nothing to do here."""
    known = cache.known_layers(manifest)
    unknown = tuple(layer for layer in manifest.layers if layer.index not in known)
    progress.start_layers(manifest, unknown)

    read: tuple[LayerIndex, ...] = ()
    if unknown:
        from imagescan.content import FileInspector
        from imagescan.layers.parallel import index_image

        image = replace(manifest, layers=unknown)
        with cache.new_drafts() as drafts:
            read = index_image(
                source,
                image,
                FileInspector,
                on_bytes=progress.add_bytes,
                on_layer=progress.add_layer,
                new_draft=drafts.new,
                meanwhile=meanwhile,
            )
    from imagescan.database_budget import DatabaseBudget

    found = {**known, **{layer.index: index for layer, index in zip(unknown, read, strict=True)}}
    budget = DatabaseBudget()
    return tuple(budget.admit(found[layer.index]) for layer in manifest.layers)


class _Progress:
    """Turns what the layers room reports, from several threads, into events for the caller."""

    def __init__(self, image: str, listener: Callable[[ProgressEvent], None] | None) -> None:
        self._listener = listener
        self._event = ProgressEvent(image, Stage.FETCHING)
        if listener is not None:
            from threading import Lock

            self._lock = Lock()

    def tell(self, stage: Stage) -> None:
        """Another stage begins."""
        self._change(lambda event: replace(event, stage=stage))

    def start_layers(self, manifest: ImageManifest, unknown: tuple[LayerDescriptor, ...]) -> None:
        """The unknown layers are about to be read."""
        sizes = [layer.size for layer in unknown]
        total = sum(size or 0 for size in sizes) if None not in sizes else 0
        done = len(manifest.layers) - len(unknown)
        self._change(
            lambda event: ProgressEvent(event.image, Stage.LAYERS, done, len(manifest.layers), 0, total)
        )

    def add_bytes(self, count: int) -> None:
        """So many more bytes were read."""
        self._change(lambda event: replace(event, bytes_done=event.bytes_done + count))

    def add_layer(self) -> None:
        """One more layer is done."""
        self._change(lambda event: replace(event, layers_done=event.layers_done + 1))

    def _change(self, change: Callable[[ProgressEvent], ProgressEvent]) -> None:
        if self._listener is None:
            return
        with self._lock:
            self._event = event = change(self._event)
        self._listener(event)
