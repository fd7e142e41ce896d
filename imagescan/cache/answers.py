"""Whole answers: the report of an image that has not changed, for the same wishes and the same rules.

A manifest and the caller's options enter, a key leaves that covers all that can change the report; a
report enters or leaves under it. What the user allows (waivers, baseline, threshold) is applied after,
and names, digests, labels and the instructions of layers are those of the image that is asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from imagescan.cache.directory import CacheDirectory
from imagescan.cache.identity import folder_digest, program_identity
from imagescan.cache.value_files import Say, ValueFiles
from imagescan.dataclasses import fields, is_dataclass
from imagescan.findings import ScanReport
from imagescan.options import ScanOptions
from imagescan.sources.values import ImageManifest
from imagescan.subject import named, subject_of

ANSWERS = "answers"

# These cannot change the report of an image that is already found; ``rules_directories`` count by content.
OPTIONS_WITHOUT_EFFECT = frozenset({"platform", "insecure", "cache", "on_progress", "on_message"})
_RULES = "rules_directories"


def answer_key(manifest: ImageManifest, options: ScanOptions) -> str | None:
    """The name under which an image's report is kept; None where it cannot be known to be the same.

    An option whose value names a path of the host, and whose content therefore may change, allows none.
    """
    return key_of(subject_of(manifest), options)


def key_of(subject: ImageManifest, options: ScanOptions, without: frozenset[str] = frozenset()) -> str | None:
    """See ``answer_key``; ``without`` are more options that do not count."""
    if not subject.layers or any(layer.digest is None and layer.diff_id is None for layer in subject.layers):
        return None
    wishes = {field.name: getattr(options, field.name) for field in fields(options)}
    rules = [folder_digest(str(folder)) for folder in wishes.pop(_RULES)]
    for name in OPTIONS_WITHOUT_EFFECT | without:
        wishes.pop(name)
    if None in rules or _names_a_path(wishes.values()):
        return None
    parts = (program_identity(), rules, sorted(wishes.items()), subject)
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _names_a_path(values: Iterable[object]) -> bool:
    return any(
        isinstance(one, Path)
        or (isinstance(one, tuple | list) and _names_a_path(one))
        or (is_dataclass(one) and _names_a_path(getattr(one, field.name) for field in fields(one)))
        for one in values
    )


class AnswerCache:
    """Finds and keeps reports.

    Args:
        directory: where.
        say: told, in one line each, what was dropped.
        warn: told that an answer cannot be kept, and why.
    """

    def __init__(self, directory: CacheDirectory, say: Say, warn: Say) -> None:
        self._files = ValueFiles(directory, ANSWERS, ScanReport, say, warn)

    def find(self, key: str, manifest: ImageManifest) -> ScanReport | None:
        """The report that was kept under a key, as one on this image."""
        for report in self._files.read(key):
            assert isinstance(report, ScanReport)
            return named(report, manifest)
        return None

    def keep(self, key: str, report: ScanReport) -> bool:
        """Keep a report; says whether it could be."""
        return self._files.write(key, [report])
