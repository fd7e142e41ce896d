"""Make rules/data/debian/*.libraries: which package of a Debian release has which shared library.

In: the Contents indexes of Debian's archive, as apt fetches and verifies them (apt, and Debian's
archive keyring). Out: one file a release, a line for each package: its name, then the library names
that it puts in a default directory of the loader. Only what all ARCHITECTURES agree on is written.

    python -m scripts.debian_libraries [--into rules/data/debian]
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

RELEASES = {"12": "bookworm", "13": "trixie"}
ARCHITECTURES = ("amd64", "arm64")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
HEADER = """\
# Shared libraries of Debian {number} ({suite}), main, and the packages that have them.
# Made by scripts/debian_libraries.py from the archive's Contents indexes. One package a line, then its
# libraries in the loader's default directories.
architectures {architectures}
"""

_LINE = re.compile(
    r"(?:usr/)?lib/(?:[a-z0-9_]+-linux-gnu/)?(lib[^/ ]+\.so(?:\.[^/ ]+)?|ld[^/ ]*\.so\.[0-9]) +(\S+)"
)
_NOT_FOR_RUNNING = ("libdevel/", "debug/")
_MORE_NUMBERS = re.compile(r"(?:\.[0-9]+){2,}")

Libraries = dict[str, frozenset[str]]  # library name to the packages that have it


def main() -> None:
    """Write the file of each release."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--into", type=Path, default=Path("rules/data/debian"))
    parser.add_argument("--archive", default="", help="default: the one that this machine's apt uses")
    arguments = parser.parse_args()
    archive = arguments.archive or configured_archive()
    for number, suite in RELEASES.items():
        found = [read_contents(contents(archive, suite, architecture)) for architecture in ARCHITECTURES]
        (arguments.into / f"{number}.libraries").write_text(write(agreed(found), number, suite))


def configured_archive() -> str:
    """The address of Debian's archive in the configuration of apt."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Origin: Debian", "Label: Debian"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return listed[0]


def contents(archive: str, suite: str, architecture: str) -> Iterator[str]:
    """The lines of one Contents index, fetched into a directory of its own."""
    with tempfile.TemporaryDirectory() as name:
        lists = Path(name, "lists")
        Path(name, "archives", "partial").mkdir(parents=True)
        Path(lists, "partial").mkdir(parents=True)
        Path(name).chmod(0o755)
        sources = Path(name, "sources.list")
        sources.write_text(f"deb [arch={architecture} signed-by={KEYRING}] {archive} {suite} main\n")
        options = {
            "Dir::Etc::SourceList": sources,
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State::Lists": lists,
            "Dir::Cache": name,
            "APT::Architectures": architecture,
            "Acquire::IndexTargets::deb::Contents-deb::MetaKey": "$(COMPONENT)/Contents-$(ARCHITECTURE)",
            "Acquire::IndexTargets::deb::Contents-deb::ShortDescription": "Contents",
            "Acquire::IndexTargets::deb::Contents-deb::Description": "$(RELEASE) Contents",
            "Acquire::IndexTargets::deb::Contents-deb::KeepCompressed": "true",
            "Acquire::Languages": "none",
        }
        given = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
        subprocess.run(["apt-get", *given, "-qq", "update"], check=True)
        (index,) = lists.glob(f"*_Contents-{architecture}*")
        with subprocess.Popen(
            ["/usr/lib/apt/apt-helper", "cat-file", index], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            yield from process.stdout


def read_contents(lines: Iterable[str]) -> Libraries:
    """The libraries that programs may need, by name, from the lines of one index."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for line in lines:
        match = _LINE.match(line)
        for place in match[2].split(",") if match else ():
            package = place.rpartition("/")[2]
            if not place.startswith(_NOT_FOR_RUNNING) and not package.endswith(("-dev", "-dbg", "-dbgsym")):
                found[package].add(match[1] if match else "")
    by_name: defaultdict[str, set[str]] = defaultdict(set)
    for package, names in found.items():
        for name in names:
            if not any(_is_longer(name, other) for other in names):
                by_name[name].add(package)
    return {name: frozenset(packages) for name, packages in by_name.items()}


def _is_longer(name: str, other: str) -> bool:
    """Whether a name is the file behind ``other`` (libz.so.1.2.13, libz.so.1), or the bare name of a
    versioned library, which only compilers ask for. With one number more it may be the soname."""
    if name.endswith(".so"):
        return other.startswith(f"{name}.")
    more = name.removeprefix(other) if ".so." in other else name
    return bool(_MORE_NUMBERS.fullmatch(more))


def agreed(found: list[Libraries]) -> Libraries:
    """What every index says alike."""
    first, *others = found
    return {
        name: packages for name, packages in first.items() if all(o.get(name) == packages for o in others)
    }


def write(libraries: Libraries, number: str, suite: str) -> str:
    """The text of one file; a library that several packages have is on the line of each."""
    by_package: defaultdict[str, list[str]] = defaultdict(list)
    for name, packages in sorted(libraries.items()):
        for package in packages:
            by_package[package].append(name)
    lines = [" ".join((package, *names)) for package, names in sorted(by_package.items())]
    return (
        HEADER.format(number=number, suite=suite, architectures=" ".join(ARCHITECTURES))
        + "\n".join(lines)
        + "\n"
    )


if __name__ == "__main__":
    main()
