"""The link map of an image as JSON, ``imagescan.links/1`` (``docs/links.schema.json``).

Link reports enter, one JSON document as text leaves: an object for one image of one platform, a
list for several.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from imagescan.links import LinkReport, NeededLink, ObjectLinks
from imagescan.reports.json_report import dump, plain

SCHEMA = "imagescan.links/1"


def render(reports: Sequence[LinkReport], *, closure: bool, trail: bool, as_list: bool) -> str:
    """All link reports as one document. ``closure`` adds each object's ``link_map``, ``trail``
    adds each needed entry's search steps; ``as_list`` makes a list also of a single report."""
    documents = [document(report, closure=closure, trail=trail) for report in reports]
    return dump(documents if as_list or len(documents) != 1 else documents[0])


def document(report: LinkReport, *, closure: bool, trail: bool) -> dict[str, Any]:
    """One link report as plain dictionaries and lists."""
    return {
        "schema": SCHEMA,
        "image": plain(report.image),
        "objects": [_object(links, closure=closure, trail=trail) for links in report.objects],
    }


def _object(links: ObjectLinks, *, closure: bool, trail: bool) -> dict[str, Any]:
    value: dict[str, Any] = {
        "path": links.path,
        "kind": links.kind,
        "libc": links.libc,
        "loader": links.loader,
        "needed": [_needed(needed, trail=trail) for needed in links.needed],
        "versions_missing": plain(links.versions_missing),
        "symbols_missing": plain(links.symbols_missing),
    }
    if closure:
        value["link_map"] = [
            {"path": entry.path, "real": entry.real, "how": entry.how, "requester": entry.requester}
            for entry in links.closure
        ]
    return value


def _needed(needed: NeededLink, *, trail: bool) -> dict[str, Any]:
    value = {"soname": needed.soname, "path": needed.path, "real": needed.real, "how": needed.how}
    if trail:
        value["trail"] = plain(needed.trail)
    return value
