"""The difference of two images as JSON, ``imagescan.diff/1`` (``docs/diff.schema.json``).

Comparisons and the verdict enter, one JSON document as text leaves: an object with an entry for
each platform.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from imagescan import __version__
from imagescan.comparison import Comparison
from imagescan.gate import Verdict
from imagescan.reports.json_report import dump, plain, verdict_document

SCHEMA = "imagescan.diff/1"


def render(comparisons: Sequence[Comparison], verdict: Verdict) -> str:
    """All platforms as one document with a newline at its end."""
    return dump(
        {
            "schema": SCHEMA,
            "tool": {"name": "imagescan", "version": __version__},
            "verdict": verdict_document(verdict),
            "platforms": [_document(comparison) for comparison in comparisons],
        }
    )


def _document(comparison: Comparison) -> dict[str, Any]:
    old, new = comparison.old, comparison.new
    return {
        "platform": comparison.platform,
        "old": plain(old.image) if old else None,
        "new": plain(new.image) if new else None,
        "new_findings": plain(comparison.new_findings),
        "worse": plain(comparison.worse),
        "mended": plain(comparison.mended),
        "unchanged": comparison.unchanged,
        "layers": {
            "shared": comparison.shared_layers,
            "added": plain(comparison.added_layers),
            "removed": plain(comparison.removed_layers),
        },
        "changes": plain(comparison.changes),
        "remarks": plain(new.remarks) if new else [],
    }
