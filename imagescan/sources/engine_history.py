"""What an engine tells of an image without handing it over: its config and history.

The answers of ``GET /images/{name}/json`` and ``/history`` enter; an ``ImageConfig`` leaves. Follows
the Docker Engine API, v1.24 and later.
"""

from __future__ import annotations

from imagescan.errors import ImageFormatError, InvalidReference
from imagescan.patterns import pattern
from imagescan.reference import Digest, Platform
from imagescan.sources.documents import LAYER_LIMIT, read_start
from imagescan.sources.json_reader import JsonObject
from imagescan.sources.values import HistoryEntry, ImageConfig

# Instructions of a Dockerfile that never make a layer, as the classic builder ("#(nop)  ENV")
# and BuildKit ("ENV ... # buildkit") write them into created_by.
_NO_LAYER = pattern(
    r"(?:/bin/sh -c )?(?:#\(nop\)\s+)?"
    r"(?:ARG|CMD|ENTRYPOINT|ENV|EXPOSE|HEALTHCHECK|LABEL|MAINTAINER|ONBUILD|SHELL|STOPSIGNAL|USER|VOLUME)\b"
)


def config_of(inspected: JsonObject, lines: tuple[JsonObject, ...]) -> ImageConfig:
    """The config as far as the engine shows it.

    The history comes newest first and does not say which lines made no layer: a line made none
    when it is of size 0 and its instruction never makes one.

    Raises:
        ImageFormatError: an answer is not what the API describes.
    """
    rootfs = inspected.child("RootFS")
    try:
        parts = (
            inspected.text("Os", "") or "linux",
            inspected.text("Architecture"),
            inspected.text("Variant", ""),
        )
        platform = Platform.parse("/".join(part for part in parts if part))
        diff_ids = tuple(Digest.parse(text) for text in (rootfs.texts("Layers") if rootfs else None) or ())
    except InvalidReference as error:
        raise ImageFormatError(f"the engine's answer: {error.message}") from None
    if len(diff_ids) > LAYER_LIMIT:
        raise ImageFormatError(f"the image has {len(diff_ids)} layers; {LAYER_LIMIT} are allowed")
    start = inspected.child("Config") or JsonObject({}, "Config")
    history = _history(tuple(reversed(lines)), len(diff_ids))
    return read_start(start, platform, history, diff_ids, inspected.text("Created", ""))


def _history(lines: tuple[JsonObject, ...], layer_count: int) -> tuple[HistoryEntry, ...]:
    entries = [
        (line.text("CreatedBy", ""), line.integer("Size", 0), line.text("Comment", "")) for line in lines
    ]
    sized = sum(1 for _, size, _ in entries if size)
    by_size = sized == layer_count
    return tuple(
        HistoryEntry(text, size == 0 and (by_size or _NO_LAYER.match(text) is not None), comment)
        for text, size, comment in entries
    )
