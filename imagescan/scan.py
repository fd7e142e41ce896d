"""The only composer: an image's name and a caller's wishes enter, judged images leave.

reference -> sources -> layers -> filesystem -> loader -> startup -> rules -> report, one after
the other; every room hands on frozen values and none knows the next.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import Literal

from imagescan import __version__
from imagescan.bundles.bundle import BundleKnowledge
from imagescan.cache.session import CacheSession, DamagedCache
from imagescan.content import FileInspector
from imagescan.cpu_answers import both_answers, levels_in_use
from imagescan.dataclasses import dataclass, field, replace
from imagescan.elf.facts import ElfFacts, ElfKind
from imagescan.facts import Extraction, ImageFacts, gather_facts
from imagescan.filesystem.added import WithFiles
from imagescan.filesystem.merge import merge
from imagescan.filesystem.values import RootFilesystem
from imagescan.findings import (
    Blame,
    Counts,
    Finding,
    ImageSummary,
    Incomplete,
    LayerSummary,
    Remark,
    RemarkKind,
    ScanReport,
    Tier,
)
from imagescan.layers.values import LayerIndex
from imagescan.linking import link_report
from imagescan.links import LinkReport
from imagescan.loader.environment import ProcessEnvironment
from imagescan.loader.simulate import Simulation
from imagescan.machine import stated_machine
from imagescan.options import ProgressEvent, ScanOptions, Stage
from imagescan.overrides import described, overridden
from imagescan.reference import Platform
from imagescan.rules.catalogue import load_knowledge, load_rules
from imagescan.rules.document import RuleDocument
from imagescan.rules.judge import judge
from imagescan.rules.knowledge import Knowledge
from imagescan.sources.history import builder_of, history_note
from imagescan.sources.select import SourceOptions, evidence_of, open_source
from imagescan.sources.siblings import with_siblings
from imagescan.sources.values import ImageManifest, ImageSource, LayerDescriptor
from imagescan.startup.chain import environment
from imagescan.startup.credentials import configured_user
from imagescan.startup.processes import in_process


@dataclass(frozen=True)
class ImageScan:
    """One image of one platform, judged. ``links`` is worked out when first asked for.

    ``evidence`` are the files of the host that name the image (``evidence_of``): while they are the same,
    so is the report. None where that cannot be told, or the report could not be kept.
    """

    report: ScanReport
    _facts: ImageFacts = field(repr=False)
    _simulation: Simulation = field(repr=False)
    evidence: tuple[tuple[str, str], ...] | None = None

    @cached_property
    def links(self) -> LinkReport:
        """The link map of every ELF file."""
        entries = (one.entry for one in self._facts.objects)
        return link_report(self.report.image, entries, self._simulation)

    def history(self, path: str) -> tuple[Blame, ...]:
        """What each layer did to a path, lowest layer first; empty if none ever had it."""
        layers = self._facts.manifest.layers
        return tuple(
            Blame(
                event.layer,
                str(layers[event.layer].diff_id or ""),
                layers[event.layer].created_by,
                event.action.value,
                path,
            )
            for event in self._facts.filesystem.events(path)
        )


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
    stated_machine(options)
    if options.rules_directories:
        load_rules(options.rules_directories)  # a mistake in them is told before anything is asked for
    progress = _Progress(text, options.on_progress)
    with (
        _open(text, options) as source,
        CacheSession(options.cache, options.on_message) as cache,
    ):
        progress.tell(Stage.FETCHING)
        scans: list[ImageScan | KnownImage] = []
        for number, manifest in enumerate(with_siblings(source.images(_wanted(options.platform)))):
            manifest = replace(manifest, config=overridden(manifest.config, options))
            report = cache.known_report(manifest, options)
            if report is not None:
                again = partial(_scan_again, text, options, number)
                scans.append(KnownImage(report, again, evidence_of(source, text)))
                continue
            try:
                found = _scan_image(source, manifest, options, progress, cache)
            except DamagedCache as error:  # found by somebody who asked for symbols only now
                cache.distrust(error.message)
                found = _scan_image(source, manifest, options, progress, cache)
            if cache.keep_report(manifest, options, found.report):
                found = replace(found, evidence=evidence_of(source, text))
            scans.append(found)
        return tuple(scans)


def _scan_again(text: str, options: ScanOptions, number: int) -> ImageScan:
    """Judge the image at this position among those of the platforms asked for, its report known or not."""
    progress = _Progress(text, options.on_progress)
    with (
        _open(text, options) as source,
        CacheSession(options.cache, options.on_message) as cache,
    ):
        manifest = with_siblings(source.images(_wanted(options.platform)))[number]
        manifest = replace(manifest, config=overridden(manifest.config, options))
        return _scan_image(source, manifest, options, progress, cache)


def _scan_image(
    source: ImageSource,
    manifest: ImageManifest,
    options: ScanOptions,
    progress: _Progress,
    cache: CacheSession,
) -> ImageScan:
    rules = load_rules(options.rules_directories, with_examples=False)
    knowledge = load_knowledge(options.rules_directories)
    layers = _read_layers(source, manifest, progress, cache)
    progress.tell(Stage.JUDGING)
    return _judge(manifest, layers, (rules, knowledge), options, cache)


def _judge(
    manifest: ImageManifest,
    layers: tuple[LayerIndex, ...],
    rulebook: tuple[tuple[RuleDocument, ...], Knowledge],
    options: ScanOptions,
    cache: CacheSession,
) -> ImageScan:
    """Judge one image on the CPU that the caller states; without one, on the least that its platform
    has, and where the image has libraries for better ones on these too."""
    filesystem = merge(layers)
    machine = stated_machine(options)
    bundles = rulebook[1].bundles
    facts, simulation = _gather(manifest, layers, filesystem, machine, bundles, cache)
    findings = judge(facts, *rulebook)
    levels = () if machine.cpu_stated else levels_in_use(filesystem)
    if levels:
        better = replace(machine, cpu=levels)
        best, _ = _gather(manifest, layers, filesystem, better, bundles, cache, simulation)
        findings = both_answers(findings, judge(best, *rulebook), levels)
    report = replace(
        _report(facts, layers, findings),
        overrides=described(options),
        remarks=tuple(_remarks(facts, options)),
    )
    return ImageScan(report, facts, simulation)


def _open(text: str, options: ScanOptions) -> ImageSource:
    """The source of the image, with what the caller wants to be different."""
    settings = SourceOptions(insecure=options.insecure)
    if not options.added and options.rebase is None and options.base is None:
        return open_source(text, settings)
    from imagescan.sources.additions import parse_addition
    from imagescan.sources.what_if import WhatIf, WhatIfSource

    wishes = WhatIf(tuple(map(parse_addition, options.added)), options.rebase, options.base)
    return WhatIfSource(open_source(text, settings), wishes, lambda name: open_source(name, settings))


def _remarks(facts: ImageFacts, options: ScanOptions) -> Iterator[Remark]:
    """An added program is one command of many, unless the caller says that it starts the container."""
    for text in options.added:
        from imagescan.sources.additions import parse_addition

        addition = parse_addition(text)
        path = f"/{addition.place}"
        chain = facts.startup.paths
        if addition.is_executable and not addition.is_directory and path not in chain:
            message = f"{path} is judged as one command of many; to judge it as what starts the container, "
            message += f"say --entrypoint {path}"
            yield Remark(RemarkKind.ADDED_PROGRAM, message, f"--add {addition.text}")


def _wanted(platform: str | None) -> Platform | Literal["all"] | None:
    if platform is None or platform == "all":
        return "all" if platform else None
    return Platform.wished(platform)


def _read_layers(
    source: ImageSource, manifest: ImageManifest, progress: _Progress, cache: CacheSession
) -> tuple[LayerIndex, ...]:
    """The layers of an image; the source is asked for those only that the cache does not know."""
    known = cache.known_layers(manifest)
    unknown = tuple(layer for layer in manifest.layers if layer.index not in known)
    progress.start_layers(manifest, unknown)

    def keep(layer: LayerIndex) -> None:
        cache.keep_layer(manifest, layer)
        progress.add_layer()

    read: tuple[LayerIndex, ...] = ()
    if unknown:
        from imagescan.layers.parallel import index_image

        image = replace(manifest, layers=unknown)
        store = cache.new_store if cache.is_open else None
        read = index_image(
            source, image, FileInspector(), on_bytes=progress.add_bytes, on_layer=keep, new_store=store
        )
    found = {**known, **{layer.index: index for layer, index in zip(unknown, read, strict=True)}}
    return tuple(found[layer.index] for layer in manifest.layers)


def _gather(
    manifest: ImageManifest,
    layers: tuple[LayerIndex, ...],
    filesystem: RootFilesystem,
    machine: ProcessEnvironment,
    bundles: BundleKnowledge,
    cache: CacheSession,
    other: Simulation | None = None,
) -> tuple[ImageFacts, Simulation]:
    """What is so on one machine: ``machine`` says its CPU, the image the rest of the environment; ``other``
    is the same image on another machine."""
    config = manifest.config
    process = replace(
        machine,
        variables=environment(config),
        working_directory="/" + config.working_dir.lstrip("/"),
        credentials=configured_user(config.user, filesystem).credentials,
    )
    simulation = other.on(process) if other else Simulation(filesystem, process)
    closures, maps = cache.link_maps(layers, filesystem, process, simulation)
    unread = tuple(
        Incomplete(f"/{file.path}", file.reason, index)
        for index, layer in enumerate(layers)
        for file in layer.unread
    )
    incomplete = (*unread, *_damaged(filesystem))
    extraction = Extraction(
        bundles, lambda files: Simulation(WithFiles(filesystem, files), process).plugin_map
    )
    facts = gather_facts(
        manifest,
        filesystem,
        closures,
        maps,
        incomplete,
        extraction,
        lambda one: Simulation(filesystem, in_process(process, one)),
    )
    facts = replace(facts, page_size=process.page_size, kernel=process.stated_kernel)
    return facts, simulation


def _damaged(filesystem: RootFilesystem) -> tuple[Incomplete, ...]:
    """ELF files with a whole header and damage further in: judged as far as they could be read."""
    return tuple(
        Incomplete(entry.path, f"damaged ELF file: {entry.content.damage}", entry.layer)
        for entry in filesystem.contents()
        if isinstance(entry.content, ElfFacts) and entry.content.damage
    )


def _report(facts: ImageFacts, layers: tuple[LayerIndex, ...], findings: tuple[Finding, ...]) -> ScanReport:
    programs = sum(one.elf.kind in (ElfKind.PROGRAM, ElfKind.STATIC) for one in facts.objects)
    tiers = [one.tier for one in facts.objects] + [one.tier for one in facts.scripts]
    return ScanReport(
        image=_summary(facts, layers),
        findings=findings,
        incomplete=facts.incomplete,
        counts=Counts(
            entries=sum(len(layer) for layer in layers),
            elf_files=len(facts.objects),
            programs=programs,
            scripts=len(facts.scripts),
            needed=sum(len(one.elf.needed) for one in facts.objects),
            objects=tuple((tier, tiers.count(tier)) for tier in Tier),
        ),
        startup_command=facts.startup.arguments,
        startup_open_ends=facts.startup.open_ends,
        tool_version=__version__,
    )


def _summary(facts: ImageFacts, layers: tuple[LayerIndex, ...]) -> ImageSummary:
    manifest = facts.manifest
    return ImageSummary(
        reference=manifest.reference,
        digest=str(manifest.digest or ""),
        config_digest=str(manifest.config_digest or ""),
        platform=str(manifest.platform),
        distribution=facts.distribution_name,
        libc=tuple(
            dict.fromkeys(
                " ".join((one.kind.value, ".".join(map(str, one.version)))).strip() for one in facts.loaders
            )
        ),
        layers=tuple(
            LayerSummary(
                index=promised.index,
                digest=str(promised.digest or ""),
                diff_id=str(read.diff_id),
                size=promised.size,
                created_by=promised.created_by,
            )
            for promised, read in zip(manifest.layers, layers, strict=True)
        ),
        history_aligned=manifest.history_aligned,
        history_note=history_note(manifest),
        builder=builder_of(manifest.config),
    )


class _Progress:
    """Turns what the layers room reports, from several threads, into events for the caller."""

    def __init__(self, image: str, listener: Callable[[ProgressEvent], None] | None) -> None:
        self._listener = listener
        self._lock = threading.Lock()
        self._event = ProgressEvent(image, Stage.FETCHING)

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
