"""Findings and the report that holds them: all that reports, the gate and the store ever see.

Plain frozen values with text in them, no handle on the image. Vocabulary: ``product.md``
(tiers, certainty, severity). Text may come from a hostile image: it is escaped where it is
shown (``reports``), never here.
"""

from __future__ import annotations

from enum import StrEnum

from imagescan.dataclasses import dataclass


class Severity(StrEnum):
    """How bad a finding is for the gate."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    @property
    def rank(self) -> int:
        """3 for error, 2 for warning, 1 for note."""
        return {"error": 3, "warning": 2, "note": 1}[self.value]


class Tier(StrEnum):
    """How an object comes to be started or loaded (``product.md``, Grading)."""

    STARTUP = "startup"
    COMMAND = "command"
    PLUGIN = "plugin"
    DORMANT = "dormant"


class Certainty(StrEnum):
    """Whether what a finding says must happen."""

    CERTAIN = "certain"
    CONDITIONAL = "conditional"
    LATENT = "latent"


@dataclass(frozen=True, slots=True)
class TrailLine:
    """One place that the loader (or the kernel, or PATH lookup) looked at, and what it found."""

    source: str
    candidate: str
    outcome: str
    detail: str = ""


SET = "set"  # the action of an instruction that makes no layer (``Blame``)


@dataclass(frozen=True, slots=True)
class Blame:
    """The layer that caused it: ``action`` is added, replaced, removed or hid; ``path`` what it
    did that to. ``layer_digest`` is the diff ID, ``created_by`` the history line ("" if unknown).

    An ENV instruction makes no layer: its action is ``set``, ``path`` the variable, ``layer_index`` the
    layer below it, and there is no digest.
    """

    layer_index: int
    layer_digest: str
    created_by: str
    action: str
    path: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One cause, judged by one rule.

    ``object`` is the path concerned; ``requesters`` all objects that suffer from the same
    cause, the most important first; ``items`` what is missing (sonames, versions, symbols).
    ``runtime_message`` is verbatim what the user would meet. ``condition`` says when, if the
    certainty is conditional. ``fingerprint`` is stable across rebuilds (32 hex digits).
    """

    rule: str
    title: str
    severity: Severity
    tier: Tier
    certainty: Certainty
    object: str
    message: str
    runtime_message: str = ""
    items: tuple[str, ...] = ()
    requesters: tuple[str, ...] = ()
    trail: tuple[TrailLine, ...] = ()
    blame: tuple[Blame, ...] = ()
    owner: str = ""
    condition: str = ""
    why: str = ""
    fix: str = ""
    references: tuple[str, ...] = ()
    fingerprint: str = ""


class RemarkKind(StrEnum):
    """What a remark is about."""

    WAIVER_EXPIRED = "waiver-expired"
    WAIVER_PARTIAL = "waiver-partial"
    WAIVER_UNUSED = "waiver-unused"
    BASELINE_WITHOUT_PLATFORM = "baseline-without-platform"
    ADDED_PROGRAM = "added-program"


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about how the image was judged that the user should look at; never decides the
    gate. ``where`` is ``file:line:column`` or a file of the user's."""

    kind: RemarkKind
    message: str
    where: str


@dataclass(frozen=True, slots=True)
class WaivedFinding:
    """A finding that a waiver of the user's keeps from the gate. ``expires`` is the last day on
    which that holds (YYYY-MM-DD), "" for ever; ``where`` the waiver's ``file:line:column``."""

    finding: Finding
    reason: str
    expires: str
    where: str


@dataclass(frozen=True, slots=True)
class Incomplete:
    """Something that could not be looked at, and why. ``layer_index`` is None for the whole image."""

    path: str
    reason: str
    layer_index: int | None = None


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """One layer, for the report. Sizes in bytes, None where unknown."""

    index: int
    digest: str
    diff_id: str
    size: int | None
    created_by: str


@dataclass(frozen=True, slots=True)
class ImageSummary:
    """Which image was judged. Empty strings where the source does not know.

    ``history_note`` says why layers have no instruction, or only some, ``builder`` which tool built it.
    """

    reference: str
    digest: str
    config_digest: str
    platform: str
    distribution: str  # os-release PRETTY_NAME
    libc: tuple[str, ...]  # "glibc 2.36", "musl 1.2.5": what loaders the image has
    layers: tuple[LayerSummary, ...]
    history_aligned: bool = True
    history_note: str = ""
    builder: str = ""


@dataclass(frozen=True, slots=True)
class Override:
    """Something that the caller sets otherwise than the image's config: an option's name, its value."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Counts:
    """What was looked at. ``objects`` counts per tier, in the order of ``Tier``."""

    entries: int
    elf_files: int
    programs: int
    scripts: int
    needed: int
    objects: tuple[tuple[Tier, int], ...]


@dataclass(frozen=True, slots=True)
class ScanReport:
    """The whole answer for one image of one platform, findings worst first.

    Only ``findings`` count for the gate: ``waived`` are kept from it by the user's waivers, and
    ``known_before`` were in the user's baseline already. ``overrides`` is what the caller set in
    place of the image's own. ``startup_open_ends`` say where the startup command goes on and could not be
    followed.
    """

    image: ImageSummary
    findings: tuple[Finding, ...]
    incomplete: tuple[Incomplete, ...]
    counts: Counts
    startup_command: tuple[str, ...]
    tool_version: str
    waived: tuple[WaivedFinding, ...] = ()
    known_before: tuple[Finding, ...] = ()
    remarks: tuple[Remark, ...] = ()
    overrides: tuple[Override, ...] = ()
    startup_open_ends: tuple[str, ...] = ()
