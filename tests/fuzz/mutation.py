"""Switch every rule of the loader room off, one at a time: each time something must notice.

The answers of the real loaders do not change with the model, so they are asked once; every mutant is
then laid beside them in a copy of the package. What no tree notices goes through the trap tests.
``python -m tests.fuzz.mutation`` prints the table; the exit code is 1 when a mutant lives.
"""

from __future__ import annotations

import pickle
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from tests.fuzz.__main__ import LOADERS
from tests.fuzz.compare import judge
from tests.fuzz.generate import generate
from tests.fuzz.mutants import MUTANTS, Mutant
from tests.fuzz.real import Answer, RealLoader
from tests.fuzz.tree import Tree, from_json

TREES = 500  # for each loader
REPOSITORY = Path(__file__).parents[2]
SURVIVED = "SURVIVED"
ENDLESS = "it does not end"
_CASES_TIMEOUT = 120  # seconds
_TIMEOUT = 300  # seconds; the trap tests need most of them

Case = tuple[str, Tree, Answer]


def record(loader: str) -> list[Case]:
    """What one loader says about the finds that are its own, then about generated trees."""
    suite, musl = LOADERS[loader]
    finds = [
        (path.stem, from_json(path.read_text()))
        for path in sorted(Path(__file__).with_name("finds").glob("*.json"))
    ]
    trees = [(name, tree) for name, tree in finds if (tree.suite, tree.musl) == (suite, musl)]
    trees += [(f"{loader} {seed}", generate(seed, suite, musl=musl)) for seed in range(TREES)]
    with RealLoader(suite) as real:
        return [(name, tree, real.ask(tree)) for name, tree in trees]


def noticed(cases: Path) -> str:
    """The first case on which the package at hand disagrees, or "" when there is none."""
    signal.alarm(_CASES_TIMEOUT)  # a mutant may go on for ever
    recorded: list[Case] = pickle.loads(cases.read_bytes())
    for name, tree, answer in recorded:
        try:
            said = judge(tree, answer)
        except Exception as error:  # a mutant may break anything
            return f"{name} ({type(error).__name__})"
        if said:
            return name
    return ""


def killer(mutant: Mutant | None, cases: Path) -> str:
    """What notices a mutant (None: the package as it is)."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        shutil.copytree(REPOSITORY / "imagescan", place / "imagescan", symlinks=False)
        (place / "tests").symlink_to(REPOSITORY / "tests")
        (place / "pyproject.toml").symlink_to(REPOSITORY / "pyproject.toml")
        if mutant is not None:
            source = place / "imagescan" / "loader" / mutant.file
            text = source.read_text()
            if text.count(mutant.old) != 1:
                return f"{SURVIVED}: the source has changed, {text.count(mutant.old)} places match"
            source.write_text(text.replace(mutant.old, mutant.new))
        answered = _run(place, "tests.fuzz.mutation", "--cases", str(cases))
        found = ENDLESS if answered.returncode == -signal.SIGALRM else answered.stdout.strip()
        if answered.returncode and not found:
            found = "it does not start: " + answered.stderr.strip().rpartition("\n")[2]
        if found:
            return found
        trap = _run(place, "pytest", "-q", "-x", "-p", "no:cacheprovider", "tests/loader")
        if trap.returncode == 0:
            return SURVIVED
        return "the trap tests: " + (re.findall(r"^FAILED \S+::(\S+)", trap.stdout, re.M) or ["?"])[0]


def _run(place: Path, *module: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-B", "-m", *module]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=_TIMEOUT, check=False)


def main() -> int:
    """Run as a program."""
    with tempfile.TemporaryDirectory() as directory:
        cases = Path(directory, "cases.pickle")
        with get_context("fork").Pool() as pool:
            recorded = [case for part in pool.map(record, LOADERS, chunksize=1) for case in part]
        cases.write_bytes(pickle.dumps(recorded))
        sound = killer(None, cases)
        if sound != SURVIVED:
            print(f"the package disagrees as it is: {sound}")
            return 1
        lives = 0
        with ThreadPoolExecutor(max_workers=2) as threads:
            for mutant, name in zip(MUTANTS, threads.map(partial(killer, cases=cases), MUTANTS), strict=True):
                print(f"{mutant.file:15} {mutant.rule:55} {name}", flush=True)
                lives += name.startswith(SURVIVED)
    print(f"{len(MUTANTS)} mutants on {len(recorded)} trees, {lives} live")
    return 1 if lives else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--cases"]:
        print(noticed(Path(sys.argv[2])))
        sys.exit(0)
    sys.exit(main())
