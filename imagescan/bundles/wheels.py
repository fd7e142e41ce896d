"""Installed wheels that are for another interpreter than the image has.

The WHEEL files of installed distributions and the image's Python interpreters enter, bundles of those
that fit none leave. Follows the binary distribution format (PEP 427), compatibility tags (PEP 425),
manylinux (PEP 600) and musllinux (PEP 656).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from imagescan.bundles.bundle import Bundle, HostProgram, listed
from imagescan.dataclasses import dataclass
from imagescan.elf.facts import ElfFacts
from imagescan.layers.values import ImagePath
from imagescan.loader.values import LoaderKind
from imagescan.patterns import pattern
from imagescan.plugins.dormant import sleeps_by_path
from imagescan.plugins.platforms import architecture_of

MAXIMUM_TAGS = 200  # of one wheel; the largest sets seen have 30

_METADATA = pattern(r"(.*)/([^/]+)-([^/-]+)\.dist-info/WHEEL")
_TAG = pattern(r"^Tag:[ \t]*(\S+)[ \t]*$", re.MULTILINE)
_PYTHON = pattern(r"(cp|py)(\d)(\d*)")
_DIRECTORY = pattern(r"/python(\d)\.(\d+)/")
_WHEEL_NAME = pattern(r"(.*/)([^/-]+)-([^/-]+)(?:-\d[^/-]*)?-([^/-]+-[^/-]+-[^/-]+)\.whl")
_FILE_TAG = pattern(r"\.cpython-(\d)(\d+)[a-z]*-[^/]*\.so$")
_NAMED = pattern(r"(?:lib)?python(\d)\.(\d+)")
_SITE = pattern(r"(.*/(?:site|dist)-packages)/([^/]+)")
_PLATFORMS = (
    (pattern(r"(?:manylinux\d+|manylinux_\d+_\d+)_(\w+)"), LoaderKind.GLIBC),
    (pattern(r"musllinux_\d+_\d+_(\w+)"), LoaderKind.MUSL),
    (pattern(r"linux_(\w+)"), None),
)
_ARCHITECTURES = {
    "x86_64": "amd64", "i686": "386", "aarch64": "arm64", "armv8l": "arm", "armv7l": "arm", "armv6l": "arm",
    "ppc64le": "ppc64le", "s390x": "s390x", "riscv64": "riscv64", "loongarch64": "loong64",
}  # fmt: skip
_Version = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A CPython of the image."""

    program: HostProgram
    version: _Version

    def __str__(self) -> str:
        return f"Python {self.version[0]}.{self.version[1]} on {self.program.platform}"


@dataclass(frozen=True, slots=True)
class _Wheel:
    path: ImagePath  # its WHEEL file
    directory: str  # where it is installed
    name: str
    tags: tuple[str, ...]


def interpreters(
    programs: Sequence[HostProgram], elves: Mapping[ImagePath, ElfFacts]
) -> tuple[Interpreter, ...]:
    """Which Python each program is, by its own name or its library's; none at all where one does not
    say, because it could be the one that a package is for."""
    found = []
    for program in programs:
        names = (program.path.rpartition("/")[2], *elves[program.path].needed)
        match = next(filter(None, map(_NAMED.match, names)), None)
        if match is None:
            return ()
        found.append(Interpreter(program, (int(match[1]), int(match[2]))))
    return tuple(found)


def judge_wheels(
    texts: Mapping[ImagePath, str],
    elves: Mapping[ImagePath, ElfFacts],
    pythons: Sequence[Interpreter],
) -> Iterator[Bundle]:
    """Installed wheels with native code that no Python of the image can use, by directory.

    Args:
        texts: WHEEL files by path.
        elves: the image's ELF files; what they say of machine and C library is told of themselves,
            so that a wheel is not told for it again.
        pythons: the image's interpreters; without one nothing is judged.
    """
    failing: dict[str, list[_Wheel]] = defaultdict(list)
    for path, text in texts.items() if pythons else ():
        wheel = _read(path, text)
        if wheel is not None and not _fits(wheel, pythons):
            failing[wheel.directory].append(wheel)
    for directory, wheels in failing.items():
        asked = _asked(directory, pythons)
        foreign = any(
            _is_foreign(elf, asked) for path, elf in elves.items() if path.startswith(f"{directory}/")
        )
        told = [one for one in wheels if not (foreign and _fits_version(one, asked))]
        if told:
            yield _bundle(directory, told, asked)
    yield from _modules(elves, pythons, frozenset(failing))


def _read(path: ImagePath, text: str) -> _Wheel | None:
    """What a wheel says that it is for; None for pure Python."""
    match = _METADATA.fullmatch(path)
    tags = tuple(_TAG.findall(text)[:MAXIMUM_TAGS])
    if match is None or not tags or sleeps_by_path(path) or any(tag.endswith("-any") for tag in tags):
        return None
    return _Wheel(path, match[1], f"{match[2]} {match[3]}", tags)


def _asked(directory: str, pythons: Sequence[Interpreter]) -> tuple[Interpreter, ...]:
    """The interpreters that look into a directory: those of its version where it names one."""
    named = _DIRECTORY.search(f"{directory}/")
    version = (int(named[1]), int(named[2])) if named else None
    return tuple(one for one in pythons if one.version == version) or tuple(pythons)


def _fits(wheel: _Wheel, pythons: Sequence[Interpreter]) -> bool:
    asked = _asked(wheel.directory, pythons)
    return any(tag_fits(tag, one) for tag in wheel.tags for one in asked)


def _fits_version(wheel: _Wheel, asked: Sequence[Interpreter]) -> bool:
    parts = (tag.split("-") for tag in wheel.tags)
    return any(_python_fits(one[0], one[1], by.version) for one in parts if len(one) == 3 for by in asked)


def tag_fits(tag: str, interpreter: Interpreter) -> bool:
    """Whether a wheel with this tag is one for an interpreter; which release of a C library it asks for
    is left to the versions that its files need."""
    parts = tag.split("-")
    if len(parts) != 3:
        return True
    python, abi, platforms = parts
    return _python_fits(python, abi, interpreter.version) and any(
        _platform_fits(one, interpreter.program) for one in platforms.split(".")
    )


def _python_fits(python: str, abi: str, version: _Version) -> bool:
    for one in python.split("."):
        match = _PYTHON.fullmatch(one)
        if match is None:  # PyPy and others: no opinion
            return True
        wanted = (int(match[2]), int(match[3] or 0))
        generic = match[1] == "py" or "abi3" in abi.split(".")
        if wanted == version or (generic and wanted[0] == version[0] and wanted <= version):
            return True
    return False


def _platform_fits(platform: str, program: HostProgram) -> bool:
    for form, libc in _PLATFORMS:
        match = form.fullmatch(platform)
        if match is not None:
            return libc in (None, program.libc) and _ARCHITECTURES.get(match[1]) == program.architecture
    return False


def _is_foreign(elf: ElfFacts, asked: Sequence[Interpreter]) -> bool:
    """Whether a file itself shows that it is for another machine or C library."""
    return not any(one.program.could_load(elf) for one in asked)


def _bundle(directory: str, wheels: Sequence[_Wheel], asked: Sequence[Interpreter]) -> Bundle:
    return Bundle(
        kind="python",
        name=", ".join(one.name for one in wheels[:3]) + (" and more" if len(wheels) > 3 else ""),
        path=wheels[0].path,
        host=asked[0].program.path,
        wanted=str(asked[0]),
        variants=listed(f"{one.name}: {', '.join(one.tags[:3])}" for one in wheels),
        members=tuple(sorted(one.path for one in wheels)),
    )


def judge_wheel_files(paths: Iterable[ImagePath], pythons: Sequence[Interpreter]) -> Iterator[Bundle]:
    """Wheels with native code that lie in the image, to be installed later, where none of a release is
    for a Python of the image.

    Args:
        paths: the wheels that have native code.
        pythons: the image's interpreters; without one nothing is judged.
    """
    releases: dict[tuple[str, str, str], list[tuple[ImagePath, str]]] = defaultdict(list)
    for path in paths if pythons else ():
        match = _WHEEL_NAME.fullmatch(path)
        if match is not None and not sleeps_by_path(path):
            releases[match[1], match[2], match[3]].append((path, match[4]))
    for (_, name, version), found in releases.items():
        if any(tag_fits(tag, one) for _, tag in found for one in pythons):
            continue
        yield Bundle(
            kind="wheel",
            name=f"{name} {version}",
            path=found[0][0],
            host=pythons[0].program.path,
            wanted=str(pythons[0]),
            variants=listed(tag for _, tag in found),
            members=tuple(path for path, _ in found),
            optional=True,
        )


def _modules(
    elves: Mapping[ImagePath, ElfFacts], pythons: Sequence[Interpreter], told: frozenset[str]
) -> Iterator[Bundle]:
    """Packages whose extension modules are all named for other Pythons: the import system passes them
    over (importlib.machinery.EXTENSION_SUFFIXES)."""
    packages: dict[tuple[str, str], list[ImagePath]] = defaultdict(list)
    usable: set[tuple[str, str]] = set()
    for path, elf in elves.items() if pythons else ():
        place, tag = _SITE.match(path), _FILE_TAG.search(path)
        if place is None or tag is None or place[1] in told or sleeps_by_path(path):
            continue
        key = place[1], re.split(r"[.-]", place[2])[0]
        asked = _asked(place[1], pythons)
        packages[key].append(path)
        versions = {one.version for one in asked}
        if (int(tag[1]), int(tag[2])) in versions or architecture_of(elf) is None:
            usable.add(key)
    for key, paths in packages.items():
        if key in usable:
            continue
        asked = _asked(key[0], pythons)
        tags = (_FILE_TAG.search(path) for path in paths)
        yield Bundle(
            kind="python",
            name=key[1],
            path=paths[0],
            host=asked[0].program.path,
            wanted=str(asked[0]),
            variants=listed(f"Python {tag[1]}.{tag[2]}" for tag in tags if tag),
            members=tuple(paths),
        )
