"""``python -m tests.oracle.tools [ROOT...]``: how often the well-known tools agree with the real loader.

In: every ELF file of a root, and every start of the traps. Out: a table for ``docs/exactness.md``.
Compared is the closure of one file: the files loaded (symlinks resolved) and the names missing. A
start that fails for real counts as told when the tool reports anything wrong at all.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.loader import scene as scenes
from tests.loader.loaders import GLIBC_241, MUSL_125, Loader
from tests.loader.outcome import Outcome
from tests.oracle.chroot import execute
from tests.oracle.roots import ROOTS, root
from tests.oracle.truth import AMD64, ask, canonical, describe, elf_files, inside, is_asked
from tests.requirements import require_tool


@dataclass(frozen=True, slots=True)
class Closure:
    """What one tool says of one file: canonical paths, names missing, and whether it complained."""

    found: frozenset[str]
    missing: frozenset[str]
    complained: bool


Tool = Callable[[Path, str, Mapping[str, str], str], Closure]


def ldd(directory: Path, file: str, variables: Mapping[str, str], working: str) -> Closure:
    """The root's own ldd, inside it."""
    path = {"PATH": "/usr/bin:/bin", **variables}
    ended = execute(directory, "/usr/bin/ldd", [file], environment=path, directory=working)
    found = re.findall(r"^\t(?:.+ => )?(/.+) \(0x", ended.out, re.M)
    missing = re.findall(r"^\t(.+) => not found", ended.out, re.M)
    return _closure(directory, found, missing, ended.code != 0 or bool(missing))


def libtree(directory: Path, file: str, variables: Mapping[str, str], working: str) -> Closure:
    """Debian's libtree, copied into the root and run there with everything shown."""
    program = inside(directory, "/libtree")
    for path in ("/libtree", "/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6"):
        if path == "/libtree" and not program.exists():
            shutil.copy(require_tool("libtree"), program)
    ended = execute(directory, "/libtree", ["-vvp", file], environment=variables, directory=working)
    lines = [re.sub(r"^[│├└─ ]+", "", line) for line in ended.out.splitlines()[1:] if "┊" not in line]
    missing = [line.removesuffix(" not found") for line in lines if line.endswith(" not found")]
    found = [re.sub(r" \[[^]]*\]$", "", line).strip() for line in lines if " not found" not in line]
    return _closure(directory, found, missing, ended.code != 0, working)


def lddtree(directory: Path, file: str, variables: Mapping[str, str], working: str) -> Closure:
    """pax-utils' lddtree with the root as its root; -R makes it ignore LD_LIBRARY_PATH."""
    command = [
        "/usr/bin/python3",
        str(require_tool("lddtree", "pax-utils")),
        "-R",
        str(directory),
        "-a",
        file,
    ]
    done = subprocess.run(command, capture_output=True, text=True, env={}, check=False)
    pairs = re.findall(r"^ +(.+) => (.+)$", done.stdout, re.M)
    found = [path.removeprefix(str(directory)) for _, path in pairs if path != "None"]
    missing = [name for name, path in pairs if path == "None"]
    return _closure(directory, found, missing, done.returncode != 0 or bool(missing), working)


def _closure(
    directory: Path, found: list[str], missing: list[str], complained: bool, working: str = "/"
) -> Closure:
    absolute = [path if path.startswith("/") else f"{working}/{path}" for path in found]
    paths = {canonical(directory, path) for path in absolute}
    return Closure(frozenset(path for path in paths if not _is_loader(path)), frozenset(missing), complained)


def _is_loader(path: str) -> bool:
    return path.rsplit("/", 1)[-1].startswith(("ld-", "ld6", "libc.so", "linux-vdso"))


ROOT_TOOLS: dict[str, Tool] = {"ldd inside the root": ldd, "libtree": libtree, "lddtree": lddtree}
TRAP_TOOLS: dict[str, Tool] = {"libtree": libtree, "lddtree": lddtree}


def of_root(name: str) -> Counter[str]:
    """Files of one root, and for how many each tool has the closure right."""
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(dir=root(name).parent) as copy:
        directory = Path(copy, "root")
        shutil.copytree(root(name), directory, symlinks=True, copy_function=scenes.hard_link)
        for file in elf_files(root(name)):
            described = describe(inside(root(name), file))
            if described is None or not is_asked(described, AMD64):
                continue
            truth = ask(root(name), file, described)
            real = _closure(
                directory,
                [path for _, path in truth.objects if path],
                [name for name, path in truth.objects if not path],
                False,
            )
            counts["files"] += 1
            for tool, run in ROOT_TOOLS.items():
                said = run(directory, file, {}, "/")
                counts[tool] += (said.found, said.missing - {"libc.so"}) == (real.found, real.missing)
    return counts


def of_traps() -> dict[str, Counter[str]]:
    """Starts of the traps under one glibc and one musl, and how many each tool tells rightly."""
    counts: dict[str, Counter[str]] = {"glibc": Counter(), "musl": Counter()}

    def observe(
        loader: Loader,
        directory: Path,
        program: str,
        real: Outcome,
        variables: Mapping[str, str],
        working: str,
        agrees: bool,
    ) -> None:
        if loader not in (GLIBC_241, MUSL_125):
            return
        counter = counts[loader.family]
        counter["starts"] += 1
        counter["imagescan"] += agrees
        expected = {
            canonical(directory, path if path.startswith("/") else f"{working}/{path}")
            for path in real.objects
        }
        expected = {path for path in expected if not _is_loader(path)}
        for tool, run in TRAP_TOOLS.items():
            try:
                said = run(directory, program, variables, working)
            except (RuntimeError, OSError, subprocess.SubprocessError):
                continue
            right = said.complained if real.reason else said.found == expected and not said.missing
            counter[tool] += right

    scenes.OBSERVERS.append(observe)
    pytest.main(["-q", "--no-header", "--no-summary", "tests/loader"])
    return counts


def main(names: list[str]) -> int:
    """Print one line per root and one per family of traps."""
    for name in names or ["bookworm"]:
        assert name in ROOTS
        print(name, dict(of_root(name)), flush=True)
    for family, counter in of_traps().items():
        print(f"traps under {family}", dict(counter), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
