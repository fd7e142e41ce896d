"""Read back a JSON report, ``imagescan.report/1`` (``docs/report.schema.json``).

The bytes of a file enter, ``ScanReport`` values leave. The file may be anything: every member that
is used is checked for its type; members that are not known are passed over, so that a report of a
later version with more in it can be read. Remarks were about that scan and are left behind.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from imagescan.errors import ImageFormatError, UsageError
from imagescan.findings import (
    Blame,
    Certainty,
    Counts,
    Finding,
    ImageSummary,
    Incomplete,
    LayerSummary,
    Override,
    ScanReport,
    Severity,
    Tier,
    TrailLine,
    WaivedFinding,
)
from imagescan.reports.json_report import SCHEMA
from imagescan.sources.json_reader import JsonObject, parse_json

MAXIMUM_REPORT = 256 << 20  # bytes
_Choice = TypeVar("_Choice", bound=StrEnum)


def read_reports(data: bytes, name: str) -> tuple[ScanReport, ...]:
    """The report of one image, or the reports of a list.

    Args:
        data: the whole file, at most ``MAXIMUM_REPORT`` bytes.
        name: the file's name, for errors.

    Raises:
        UsageError: it is no such document.
    """
    try:
        value = parse_json(data, "the report")
        documents = JsonObject({"reports": value if isinstance(value, list) else [value]}, "the file")
        return tuple(_report(document) for document in documents.children("reports"))
    except ImageFormatError as error:
        raise UsageError(
            error.message, where=name, advice="give a report that imagescan -o json wrote"
        ) from None


def _report(document: JsonObject) -> ScanReport:
    schema = document.text("schema", "")
    if schema != SCHEMA:
        named = f"says {schema[:60]!r}" if schema else "has no schema"
        raise ImageFormatError(f"{document.what} is not {SCHEMA}: it {named}")
    return ScanReport(
        image=_image(_child(document, "image")),
        findings=tuple(_finding(one) for one in document.children("findings")),
        incomplete=tuple(
            Incomplete(one.text("path"), one.text("reason"), _index(one))
            for one in document.children("incomplete")
        ),
        counts=_counts(_child(document, "counts")),
        startup_command=document.texts("startup_command") or (),
        tool_version=_child(document, "tool").text("version"),
        waived=tuple(_waived(one) for one in document.children("waived")),
        known_before=tuple(_finding(one) for one in document.children("known_before")),
        startup_open_ends=document.texts("startup_open_ends") or (),
        overrides=tuple(
            Override(one.text("name"), one.text("value")) for one in document.children("overrides")
        ),
    )


def _child(document: JsonObject, name: str) -> JsonObject:
    return document.child(name) or document.fail(name, "an object")


def _choice(document: JsonObject, name: str, choices: type[_Choice]) -> _Choice:
    text = document.text(name)
    return choices(text) if text in set(choices) else document.fail(name, f"one of {', '.join(choices)}")


def _index(document: JsonObject) -> int | None:
    return document.integer("layer_index") if document.has("layer_index") else None


def _image(document: JsonObject) -> ImageSummary:
    return ImageSummary(
        reference=document.text("reference"),
        digest=document.text("digest"),
        config_digest=document.text("config_digest"),
        platform=document.text("platform"),
        distribution=document.text("distribution"),
        libc=document.texts("libc") or (),
        layers=tuple(
            LayerSummary(
                layer.integer("index"),
                layer.text("digest"),
                layer.text("diff_id"),
                layer.integer("size") if layer.has("size") else None,
                layer.text("created_by"),
            )
            for layer in document.children("layers")
        ),
        history_aligned=document.flag("history_aligned"),
        history_note=document.text("history_note", ""),
        builder=document.text("builder", ""),
    )


def _counts(document: JsonObject) -> Counts:
    objects = _child(document, "objects")
    return Counts(
        entries=document.integer("entries"),
        elf_files=document.integer("elf_files"),
        programs=document.integer("programs"),
        scripts=document.integer("scripts"),
        needed=document.integer("needed"),
        objects=tuple((tier, objects.integer(tier.value)) for tier in Tier if objects.has(tier.value)),
    )


def _waived(document: JsonObject) -> WaivedFinding:
    return WaivedFinding(
        _finding(_child(document, "finding")),
        document.text("reason"),
        document.text("expires"),
        document.text("where"),
    )


def _finding(document: JsonObject) -> Finding:
    return Finding(
        rule=document.text("rule"),
        title=document.text("title"),
        severity=_choice(document, "severity", Severity),
        tier=_choice(document, "tier", Tier),
        certainty=_choice(document, "certainty", Certainty),
        object=document.text("object"),
        message=document.text("message"),
        runtime_message=document.text("runtime_message", ""),
        items=document.texts("items") or (),
        requesters=document.texts("requesters") or (),
        trail=tuple(
            TrailLine(one.text("source"), one.text("candidate"), one.text("outcome"), one.text("detail", ""))
            for one in document.children("trail")
        ),
        blame=tuple(
            Blame(
                one.integer("layer_index"),
                one.text("layer_digest"),
                one.text("created_by"),
                one.text("action"),
                one.text("path"),
            )
            for one in document.children("blame")
        ),
        owner=document.text("owner", ""),
        condition=document.text("condition", ""),
        why=document.text("why", ""),
        fix=document.text("fix", ""),
        references=document.texts("references") or (),
        fingerprint=document.text("fingerprint"),
    )
