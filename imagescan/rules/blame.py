"""Which layer caused it: what each layer did at a path, as text for a finding.

Paths, names of variables and ``ImageFacts`` enter, ``Blame`` values leave. OCI image specification:
layer.md for what a layer can do, config.md for ``created_by``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from imagescan.archives.values import outer_path
from imagescan.elf.facts import ElfFacts
from imagescan.facts import ImageFacts
from imagescan.filesystem.values import FileEntry, PathEvent
from imagescan.findings import SET, Blame
from imagescan.layers.values import EntryKind, ImagePath
from imagescan.patterns import pattern

MAXIMUM_CANDIDATES = 400  # paths whose history is asked for one cause

# The classic builder writes "/bin/sh -c #(nop)  ENV A=b", BuildKit, Buildah and Kaniko "ENV A=b".
_ENV = pattern(r"(?:/bin/sh -c )?(?:#\(nop\)\s+)?ENV\s+(.*)", re.DOTALL)


def blame_absent(facts: ImageFacts, candidates: Iterable[str]) -> tuple[Blame, ...]:
    """Who brought and who removed the first of these paths that ever existed; else a file of the same
    name anywhere in the image; () if no layer ever had one, or the image still has it."""
    for path in _once_there(facts, candidates):
        events = facts.filesystem.events(path)
        if events and events[-1].entry is None:
            before = [event for event in events[:-1] if event.entry is not None]
            return tuple(_blame(facts, path, event) for event in (*before[-1:], events[-1]))
    return ()


def _once_there(facts: ImageFacts, candidates: Iterable[str]) -> Iterator[str]:
    """The candidates that some layer has, then every other path of their names that one has."""
    asked: dict[str, None] = {}
    names: dict[str, None] = {}
    for candidate in islice(candidates, MAXIMUM_CANDIDATES):
        names.setdefault(candidate.rpartition("/")[2])
        for path in _spellings(facts, candidate):
            if path in facts.filesystem.paths_ever(path.rpartition("/")[2]):
                asked.setdefault(path)
    for name in names:
        for path in facts.filesystem.paths_ever(name)[:MAXIMUM_CANDIDATES]:
            asked.setdefault(path)
    return iter(asked)


def blame_lost_link(facts: ImageFacts, path: str) -> tuple[Blame, ...]:
    """The layer that put a directory where a symlink above a path led elsewhere (a merged /usr that was
    broken up); () if none did."""
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
    """The layer that a file, or the archive that it lies in, is from: added, or replaced what a lower
    layer had."""
    path = outer_path(path)
    entry = facts.filesystem.resolve(path).entry if path.startswith("/") else None
    found = entry.path if entry else path
    events = [event for event in facts.filesystem.events(found) if event.entry is not None]
    return (_blame(facts, found, events[-1]),) if events else ()


def blame_older(facts: ImageFacts, opened: str, was_enough: Callable[[ElfFacts], bool]) -> tuple[Blame, ...]:
    """Who brought a library that lacks something, and who had brought one that did not.

    ``opened`` is the path as the loader opened it. Where a layer put the library in the place of one
    that ``was_enough``, or turned the link to it round, that one comes first.
    """
    entry = facts.filesystem.resolve(opened).entry
    if entry is None:
        return ()
    now = blame_present(facts, entry.path)
    for path in dict.fromkeys((*_spellings(facts, opened)[:1], entry.path)):
        events = facts.filesystem.events(path)
        enough = [event for event in events[:-1] if _was(facts, event.entry, was_enough)]
        if enough:
            later = next(event for event in events if event.layer > enough[-1].layer)
            return (_blame(facts, path, enough[-1]), _blame(facts, path, later))
    return now


def _was(facts: ImageFacts, entry: FileEntry | None, was_enough: Callable[[ElfFacts], bool]) -> bool:
    """Whether a file, or the one that a link led to, would have done; a target is asked for as it was
    last, because it is gone in most cases."""
    if entry is not None and entry.kind is EntryKind.SYMLINK:
        target = entry.target
        if not target.startswith("/"):
            target = f"{entry.path.rpartition('/')[0]}/{target}"
        ever = [event.entry for event in facts.filesystem.events(target) if event.entry is not None]
        entry = ever[-1] if ever else None
    return entry is not None and isinstance(entry.content, ElfFacts) and was_enough(entry.content)


def blame_environment(facts: ImageFacts, variable: str) -> tuple[Blame, ...]:
    """The ENV instruction that gave a variable its value; () where the history does not say.

    It makes no layer: ``layer_index`` is the layer below it (0 where there is none), and there is no
    ``layer_digest``.
    """
    if not facts.manifest.history_aligned:
        return ()
    named = re.compile(rf"(?:^|\s){re.escape(variable)}[=\s]")
    layer = -1
    found: tuple[Blame, ...] = ()
    for line in facts.manifest.config.history:
        layer += not line.empty_layer
        instruction = _ENV.match(line.created_by)
        if instruction and named.search(instruction[1]):
            found = (Blame(max(layer, 0), "", line.created_by, SET, variable),)
    return found


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
