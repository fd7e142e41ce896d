"""What of an image is judged, and how the image is named in what is said of it.

A manifest enters; what is left of it without its names, makers and dates is its subject (``subject_of``).
Judging sees nothing else, so images of the same layers that start the same way share one answer. A report
on a subject enters with an image's manifest, and leaves with the names of that image (``named``).
"""

from __future__ import annotations

import re

from imagescan.dataclasses import replace
from imagescan.findings import SET, Blame, Finding, ScanReport
from imagescan.patterns import pattern
from imagescan.reference import Digest
from imagescan.sources.history import builder_of, history_note
from imagescan.sources.values import HistoryEntry, ImageManifest

# Lines of the history that findings name. The classic builder writes "/bin/sh -c #(nop)  ENV A=b".
_INSTRUCTION = pattern(
    r"(?:/bin/sh -c )?(?:#\(nop\)\s+)?(?:ENV|ENTRYPOINT|CMD|USER|WORKDIR|HEALTHCHECK)\s", re.ASCII
)

# Where several sizes of pages exist: all files that one instruction brought are one cause (page_sizes.py).
CAUSES_NAME_LAYERS = frozenset({"arm64", "ppc64le", "loong64", "mips64le"})

_SOME = Digest("sha256", "0" * 64)  # that there is a document counts, not which


def subject_of(manifest: ImageManifest) -> ImageManifest:
    """The image without everything that cannot change what is found in it."""
    names_layers = manifest.platform.architecture in CAUSES_NAME_LAYERS
    config = replace(
        manifest.config,
        history=tuple(map(_instruction, manifest.config.history)),
        labels=(),
        created="",
    )
    layers = tuple(
        replace(layer, created_by=layer.created_by if names_layers else "") for layer in manifest.layers
    )
    return replace(
        manifest,
        reference="",
        digest=manifest.digest and _SOME,
        config=config,
        layers=layers,
        config_digest=manifest.config_digest and _SOME,
        index_digest=None,
        annotations=(),
    )


def named(report: ScanReport, manifest: ImageManifest) -> ScanReport:
    """The report on the image's subject, as the report on the image."""
    image = replace(
        report.image,
        reference=manifest.reference,
        digest=str(manifest.digest or ""),
        config_digest=str(manifest.config_digest or ""),
        layers=tuple(
            replace(layer, created_by=promised.created_by)
            for layer, promised in zip(report.image.layers, manifest.layers, strict=True)
        ),
        history_note=history_note(manifest),
        builder=builder_of(manifest.config),
    )
    return replace(
        report, image=image, findings=tuple(_with_instructions(one, manifest) for one in report.findings)
    )


def _instruction(line: HistoryEntry) -> HistoryEntry:
    is_named = _INSTRUCTION.match(line.created_by)
    return HistoryEntry(line.created_by if is_named else "", line.empty_layer)


def _with_instructions(finding: Finding, manifest: ImageManifest) -> Finding:
    return replace(finding, blame=tuple(_made_by(one, manifest) for one in finding.blame))


def _made_by(blame: Blame, manifest: ImageManifest) -> Blame:
    if blame.action == SET or blame.layer_index >= len(manifest.layers):
        return blame
    return replace(blame, created_by=manifest.layers[blame.layer_index].created_by)
