"""Which layer caused it: what each layer did at a path, as text for a finding.

Paths and ``ImageFacts`` enter, ``Blame`` values leave. OCI image specification: layer.md for what
a layer can do, config.md for ``created_by``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from imagescan.facts import ImageFacts
from imagescan.filesystem.values import PathEvent
from imagescan.findings import Blame
from imagescan.layers.values import EntryKind, ImagePath

MAXIMUM_CANDIDATES = 400  # paths whose history is asked for one cause


def blame_absent(facts: ImageFacts, candidates: Iterable[str]) -> tuple[Blame, ...]:
    """Who brought and who removed the first of these paths that ever existed; () if none did."""
    asked: dict[str, None] = {}
    for candidate in candidates:
        for path in _spellings(facts, candidate):
            asked.setdefault(path)
        if len(asked) >= MAXIMUM_CANDIDATES:
            break
    for path in asked:
        events = facts.filesystem.events(path)
        if events and events[-1].entry is None:
            removal = events[-1]
            before = [event for event in events[:-1] if event.entry is not None]
            return tuple(_blame(facts, path, event) for event in (*before[-1:], removal))
    return ()


def blame_lost_link(facts: ImageFacts, path: str) -> tuple[Blame, ...]:
    """The layer that put a directory where a symlink above a path led elsewhere; () if none did."""
    for parent in _parents(path):
        was_link = False
        for event in facts.filesystem.events(parent):
            kind = event.entry.kind if event.entry else None
            if was_link and kind is EntryKind.DIRECTORY:
                return (_blame(facts, parent, event),)
            was_link = kind is EntryKind.SYMLINK
    return ()


def _parents(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


def blame_present(facts: ImageFacts, path: str) -> tuple[Blame, ...]:
    """The layer that a file is from: added, or replaced what a lower layer had."""
    events = [event for event in facts.filesystem.events(path) if event.entry is not None]
    return (_blame(facts, path, events[-1]),) if events else ()


def _spellings(facts: ImageFacts, candidate: str) -> tuple[str, ...]:
    """The path as asked, where its directory leads to, and where a dangling link in it points."""
    if not candidate.startswith("/"):
        return ()
    directory, _, name = candidate.rpartition("/")
    resolution = facts.filesystem.resolve(candidate)
    parent = facts.filesystem.resolve(directory or "/").entry
    canonical = f"{parent.path.rstrip('/')}/{name}" if parent else ""
    return tuple(path for path in (canonical, candidate, resolution.stopped_at) if path.startswith("/"))


def _blame(facts: ImageFacts, path: str, event: PathEvent) -> Blame:
    layers = facts.manifest.layers
    layer = layers[event.layer] if event.layer < len(layers) else None
    return Blame(
        layer_index=event.layer,
        layer_digest=str(layer.diff_id) if layer and layer.diff_id else "",
        created_by=layer.created_by if layer else "",
        action=event.action.value,
        path=path,
    )


def layer_of(facts: ImageFacts, path: str) -> int:
    """The layer that brought a file (-1 when there is none at this path)."""
    found = facts.by_path.get(ImagePath(path))
    return found.entry.layer if found else -1
