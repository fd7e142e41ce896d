"""imagescan's link maps against the truth of a whole root file system, edge for edge.

In: a root directory. Out: a ``Comparison`` with counts and every disagreement. Per file it compares
the objects in load order (path as opened), the answer to every needed entry of every object, who
asked first and which part of the search answered (glibc), missing versions, and undefined symbols,
immediate and lazy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagescan.layers.values import ImagePath
from imagescan.loader.missing_symbols import Binding
from imagescan.loader.values import How, LinkMap, LoadedObject
from tests.oracle.model import environment, filesystem, host_cpu, link_map_under
from tests.oracle.roots import root as make_root
from tests.oracle.truth import (
    AMD64,
    EARLIER,
    Platform,
    Symbol,
    Truth,
    ask,
    canonical,
    describe,
    elf_files,
    inside,
    is_asked,
    other_loader,
)

OWN = (How.LOADER, How.VDSO, How.RESERVED)
SEARCHED = (How.RPATH, How.RUNPATH, How.LIBRARY_PATH, How.CACHE, How.DEFAULT)


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One fact where imagescan and the real loader differ."""

    file: str
    fact: str
    truth: object
    model: object

    def __str__(self) -> str:
        return f"{self.file}: {self.fact}: the loader says {self.truth}, imagescan says {self.model}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The outcome for one root."""

    counts: Counter[str]
    disagreements: tuple[Disagreement, ...]


def compare_root(root: Path, platform: Platform = AMD64) -> Comparison:
    """Compare every ELF file that a loader of that machine can be asked about."""
    from imagescan.loader.simulate import Simulation

    view = filesystem(root)
    process = environment(cpu=host_cpu(make_root("trixie")) if platform is AMD64 else ())
    simulation = Simulation(view, process)
    counts: Counter[str] = Counter()
    disagreements: list[Disagreement] = []
    for file in elf_files(root):
        described = describe(inside(root, file))
        if not is_asked(described, platform) or described is None:
            counts["ELF files that no loader of this machine takes"] += 1
            continue
        counts["files"] += 1
        truth = ask(root, file, described, platform)
        disagreements.extend(compare(root, truth, simulation.link_map(ImagePath(file))))
        _count(counts, truth)
        if other := other_loader(file, described):
            truth = ask(root, file, described, platform, other)
            interpreter = platform.musl if other == "musl" else platform.glibc
            disagreements.extend(compare(root, truth, link_map_under(interpreter, view, process, file)))
            _count(counts, truth)
            counts["files asked of the other libc's loader too"] += 1
    return Comparison(counts, tuple(disagreements))


def _count(counts: Counter[str], truth: Truth) -> None:
    counts[f"files asked of {truth.loader}"] += 1
    counts["objects"] += len(truth.objects)
    counts["edges"] += len(truth.edges)
    counts["edges unanswered"] += sum(edge.path is None for edge in truth.edges)
    counts["searches"] += len(truth.requests)
    counts["missing versions"] += len(truth.missing_versions)
    counts["undefined symbols"] += len(truth.all_symbols)
    counts["refused"] += bool(truth.refusal)


def compare(root: Path, truth: Truth, model: LinkMap) -> Iterator[Disagreement]:
    """Every difference between the truth and imagescan's link map of one file."""

    def differ(fact: str, expected: object, claimed: object) -> Iterator[Disagreement]:
        if expected != claimed:
            yield Disagreement(truth.file, fact, expected, claimed)

    loader = str(model.loader.kind) if model.loader else "none"
    yield from differ("loader", truth.loader, loader)
    refused = model.interpreter_fault is not None or any(
        gone.missing.stopped_by for gone in model.missing if gone.missing
    )
    yield from differ("refused", truth.refusal, (refused and "refused") or "")
    if truth.refusal:
        return
    found = [path for _, path in truth.objects if path]
    claimed = [one.path for one in model.objects[1:] if one.how not in OWN]
    yield from differ("objects in load order", found, claimed)
    yield from _edges(root, truth, model)
    if truth.requests:
        asked = {request.path: (request.requester, request.how) for request in truth.requests}
        paths = [one.path for one in model.objects]
        said = {
            one.path: (paths[one.requester], _how(one, asked)) for one in model.objects if one.how in SEARCHED
        }
        yield from _mappings(truth.file, "search that found", asked, said)
        yield from _trails(root, truth, model)
    absent = {name for name, path in truth.objects if not path}
    # LD_VERBOSE also says "not found" where the whole library is, which ends a real start before.
    told = sorted(miss for miss in truth.missing_versions if miss[1] not in absent)
    versions = sorted({(miss.needed_by, miss.library, miss.version) for miss in model.missing_versions})
    yield from differ("missing versions", told, versions)
    yield from _symbols(truth, model)


def _trails(root: Path, truth: Truth, model: LinkMap) -> Iterator[Disagreement]:
    """Every candidate that glibc tries in a directory that exists is on the trail that imagescan
    tells, in the same order."""
    paths = [one.path for one in model.objects]
    trails = {
        (paths[one.requester], one.needed): [step.candidate for step in one.trail]
        for one in reversed(model.resolutions)
    }
    for request in truth.requests:
        told = iter(trails.get((request.requester, request.name), []))
        tried = [path for path in request.tried if inside(root, path).parent.is_dir()]
        if not all(path in told for path in tried):
            yield Disagreement(truth.file, f"candidates for {request.name}", tried, "others")


def _how(one: LoadedObject, asked: dict[str, tuple[str, str]]) -> str:
    vague = asked.get(one.path, ("", ""))[1] == EARLIER
    return EARLIER if vague and one.how in (How.RPATH, How.RUNPATH, How.LIBRARY_PATH) else str(one.how)


def _edges(root: Path, truth: Truth, model: LinkMap) -> Iterator[Disagreement]:
    paths = [one.path for one in model.objects]
    own = model.loader.path if model.loader else None
    claimed: dict[object, object] = {}
    for resolution in model.resolutions:
        answer = paths[resolution.found] if resolution.found is not None else None
        if resolution.how in OWN:
            answer = own
        claimed[paths[resolution.requester], resolution.needed] = answer
    expected: dict[object, object] = {}
    for edge in truth.edges:
        path = edge.path
        if path and own and canonical(root, path) == own:
            path = own
        expected[edge.requester, edge.needed] = path
    yield from _mappings(truth.file, "answer to", expected, claimed)


def _mappings(
    file: str, fact: str, expected: Mapping[Any, object], claimed: Mapping[Any, object]
) -> Iterator[Disagreement]:
    for key in expected.keys() | claimed.keys():
        if expected.get(key, "nothing asked") != claimed.get(key, "nothing asked"):
            yield Disagreement(
                file, f"{fact} {key}", expected.get(key, "nothing asked"), claimed.get(key, "nothing asked")
            )


def _symbols(truth: Truth, model: LinkMap) -> Iterator[Disagreement]:
    absent = {name for name, path in truth.objects if not path}
    said = {}
    vague = set()  # the trace forgets the versions of a library that is missing, but not always
    for miss in model.missing_symbols:
        version = "" if truth.loader == "musl" else miss.version or ""
        if miss.library in absent:
            version = ""
            vague.add((miss.symbol, miss.needed_by))
        said[miss.symbol, version, miss.needed_by] = miss.binding

    def keys(symbols: frozenset[Symbol]) -> set[tuple[str, str, str]]:
        return {
            (one.name, "" if (one.name, one.needed_by) in vague else one.version, one.needed_by)
            for one in symbols
        }

    now = {key for key, binding in said.items() if binding is Binding.IMMEDIATE}
    for fact, expected, claimed in (
        ("undefined symbols", keys(truth.all_symbols), set(said)),
        ("symbols bound at once", keys(truth.immediate), now),
    ):
        if gone := sorted(expected - claimed):
            yield Disagreement(truth.file, fact, gone, "defined")
        if more := sorted(claimed - expected):
            yield Disagreement(truth.file, fact, "defined", more)
