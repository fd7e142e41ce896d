"""One image whose layers are known, judged: manifest, layers and rules enter, an ``ImageScan`` leaves.

filesystem -> loader -> startup -> rules -> report: the part of a scan that an answer from the cache spares.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from imagescan import __version__
from imagescan.allocator import give_back_freed_memory
from imagescan.bundles.bundle import BundleKnowledge
from imagescan.cache.session import CacheSession
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
from imagescan.loader.closure_table import ClosureTable
from imagescan.loader.environment import ProcessEnvironment
from imagescan.loader.simulate import Simulation
from imagescan.machine import stated_machine
from imagescan.options import ScanOptions
from imagescan.overrides import described
from imagescan.remembering import kept_judgement
from imagescan.rules.document import RuleDocument
from imagescan.rules.judge import judge
from imagescan.rules.knowledge import Knowledge
from imagescan.sources.values import ImageManifest
from imagescan.startup.chain import environment
from imagescan.startup.credentials import configured_user
from imagescan.startup.processes import in_process
from imagescan.subject import named, subject_of


@dataclass(frozen=True)
class ImageScan:
    """One image of one platform, judged. ``links`` is worked out when first asked for.

    ``evidence`` are the files of the host that name the image (``evidence_of``): while they are the same,
    so is the report. None where that cannot be told, or the report could not be kept.
    """

    report: ScanReport
    _manifest: ImageManifest = field(repr=False)
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
        layers = self._manifest.layers
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


def judge_image(
    manifest: ImageManifest,
    layers: tuple[LayerIndex, ...],
    rulebook: tuple[tuple[RuleDocument, ...], Knowledge],
    options: ScanOptions,
    cache: CacheSession,
) -> ImageScan:
    """Judge one image on the CPU that the caller states; without one, on the least that its platform
    has, and where the image has libraries for better ones on these too."""
    subject, filesystem = subject_of(manifest), merge(layers)
    machine = stated_machine(options)
    bundles = rulebook[1].bundles
    facts, simulation, closures = _gather(subject, layers, filesystem, machine, bundles, cache)
    observed: set[str] = set()
    findings = judge(facts, *rulebook, observed)
    simulation.forget()
    levels = () if machine.cpu_stated else levels_in_use(filesystem)
    if levels:
        better = replace(machine, cpu=levels)
        best, _, _ = _gather(subject, layers, filesystem, better, bundles, cache, simulation)
        findings = both_answers(findings, judge(best, *rulebook), levels)
    report = replace(
        _report(facts, layers, findings),
        overrides=described(options),
        remarks=tuple(_remarks(facts, options)),
    )
    if not levels and not options.added:
        kept = kept_judgement(facts, closures, report, frozenset(observed), rulebook[0])
        if kept is not None:
            cache.keep_judgement(manifest, options, kept)
    return ImageScan(named(report, manifest), manifest, facts, simulation)


def _gather(
    manifest: ImageManifest,
    layers: tuple[LayerIndex, ...],
    filesystem: RootFilesystem,
    machine: ProcessEnvironment,
    bundles: BundleKnowledge,
    cache: CacheSession,
    other: Simulation | None = None,
) -> tuple[ImageFacts, Simulation, ClosureTable]:
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
    give_back_freed_memory()
    return facts, simulation, closures


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
    """Which subject was judged; ``named`` says which image."""
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
    )


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
