"""Compare the model with real loaders on generated trees.

``python -m tests.fuzz --trees 10000 --seed 1 --loader bookworm`` prints counts; each disagreement is
minimised and written as a tree that ``--replay FILE`` asks again. ``--loader`` may be given several
times; all loaders at hand share the trees otherwise.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from tests.fuzz.compare import disagreements
from tests.fuzz.generate import generate
from tests.fuzz.minimise import minimise
from tests.fuzz.real import RealLoader
from tests.fuzz.tree import Tree, from_json, to_json

LOADERS = {
    f"{prefix}{suite}": (suite, bool(prefix))
    for prefix in ("", "musl-")
    for suite in ("bullseye", "bookworm", "trixie")
}


def check(loader: str, seeds: Iterable[int]) -> list[tuple[int, list[str]]]:
    """The seeds of one loader on which the model and the loader disagree, and how."""
    suite, musl = LOADERS[loader]
    found = []
    with RealLoader(suite) as real:
        for seed in seeds:
            said = disagreements(generate(seed, suite, musl=musl), real)
            if said:
                found.append((seed, said))
    return found


def smallest(tree: Tree) -> tuple[Tree, list[str]]:
    """A tree minimised while it disagrees in the same respect, and what it then disagrees in."""
    with RealLoader(tree.suite) as real:
        kind = disagreements(tree, real)[0].partition(":")[0]

        def still(smaller: Tree) -> bool:
            try:
                return any(said.startswith(kind) for said in disagreements(smaller, real))
            except (RuntimeError, KeyError, AssertionError):
                return False  # no tree that can be laid down, or that the model can be asked of

        made = minimise(tree, still)
        return made, disagreements(made, real)


def _part(work: tuple[str, range]) -> tuple[str, list[tuple[int, list[str]]]]:
    return work[0], check(*work)


def main() -> int:
    """Run as a program; the exit code is 1 when there is a disagreement."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--trees", type=int, default=10_000, help="how many, over all loaders")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--loader", action="append", choices=LOADERS, help="default: all")
    parser.add_argument("--finds", type=Path, default=Path("build/fuzz"), help="where finds are written")
    parser.add_argument("--replay", type=Path, help="ask one written tree again")
    options = parser.parse_args()
    if options.replay:
        return _replay(options.replay)
    return _run(options.loader or list(LOADERS), options.trees, options.seed, options.finds)


def _replay(path: Path) -> int:
    tree = from_json(path.read_text())
    with RealLoader(tree.suite) as real:
        said = disagreements(tree, real)
    print("\n".join(said) or "no disagreement")
    return 1 if said else 0


def _run(loaders: list[str], trees: int, seed: int, finds: Path) -> int:
    each, chunk = -(-trees // len(loaders)), 250
    work = [
        (loader, range(first, min(first + chunk, seed + each)))
        for first in range(seed, seed + each, chunk)
        for loader in loaders
    ]
    disagreeing: dict[str, list[int]] = {loader: [] for loader in loaders}
    started = time.monotonic()
    with multiprocessing.get_context("fork").Pool() as pool:
        for loader, found in pool.imap_unordered(_part, work):
            for number, said in found:
                disagreeing[loader].append(number)
                _write(finds, loader, number, said)
    seconds = time.monotonic() - started
    for loader, numbers in disagreeing.items():
        print(f"{loader:15} {each:6} trees, {len(numbers)} disagreements {sorted(numbers)[:20] or ''}")
    print(f"{each * len(loaders)} trees in {seconds:.0f} s, {each * len(loaders) / seconds:.0f} a second")
    return 1 if any(disagreeing.values()) else 0


def _write(finds: Path, loader: str, seed: int, said: list[str]) -> None:
    suite, musl = LOADERS[loader]
    finds.mkdir(parents=True, exist_ok=True)
    path = finds / f"{loader}-{seed}.json"
    tree, remaining = smallest(generate(seed, suite, musl=musl))
    path.write_text(to_json(tree) + "\n")
    print(f"{path}: {(remaining or said)[0]}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
