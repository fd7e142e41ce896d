"""The report as JSON, ``imagescan.report/1`` (``docs/report.schema.json``).

Reports and verdicts enter, one JSON document as text leaves: an object for one image, a list for
several. The text is ASCII, so it is safe on any terminal; lone surrogates are escaped as text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from imagescan.dataclasses import fields, is_dataclass
from imagescan.findings import Counts, ScanReport
from imagescan.gate import Verdict
from imagescan.reports.visible import without_surrogates

SCHEMA = "imagescan.report/1"


def render(judged: Sequence[tuple[ScanReport, Verdict]], *, as_list: bool) -> str:
    """All reports as one document with a newline at its end; ``as_list`` also for a single one."""
    documents = [document(report, verdict) for report, verdict in judged]
    return dump(documents if as_list or len(documents) != 1 else documents[0])


def document(report: ScanReport, verdict: Verdict) -> dict[str, Any]:
    """One report as plain dictionaries and lists."""
    return {
        "schema": SCHEMA,
        "tool": {"name": "imagescan", "version": report.tool_version},
        "image": plain(report.image),
        "startup_command": list(report.startup_command),
        "startup_open_ends": list(report.startup_open_ends),
        "overrides": [plain(override) for override in report.overrides],
        "verdict": verdict_document(verdict),
        "findings": [plain(finding) for finding in report.findings],
        "waived": [plain(waived) for waived in report.waived],
        "known_before": [plain(finding) for finding in report.known_before],
        "remarks": [plain(remark) for remark in report.remarks],
        "incomplete": [plain(entry) for entry in report.incomplete],
        "counts": _counts(report.counts),
    }


def verdict_document(verdict: Verdict) -> dict[str, Any]:
    """A verdict as a plain dictionary."""
    return {
        "passed": verdict.passed,
        "exit_code": int(verdict.exit_code),
        "reasons": list(verdict.reasons),
    }


def _counts(counts: Counts) -> dict[str, Any]:
    return {**plain(counts), "objects": {tier.value: number for tier, number in counts.objects}}


def plain(value: Any) -> Any:  # noqa: ANN401 - any frozen value
    """Frozen values as JSON has them: dataclasses as objects, tuples as lists."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


def dump(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """JSON text in ASCII, indented, with a newline at its end."""
    return json.dumps(_encodable(value), indent=2, ensure_ascii=True) + "\n"


def _encodable(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, str):
        return without_surrogates(value)
    if isinstance(value, Mapping):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    return value
