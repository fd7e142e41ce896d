"""Which objects are never meant to run in this image.

Paths, ``ElfFacts`` and the platform enter, the paths that sleep leave. ``product.md``, Grading:
variants for another architecture or libc beside a usable one, nested root file systems, debug
files, test data, code for firmware and boot loaders.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from imagescan.elf.facts import ElfFacts, ElfKind, Machine
from imagescan.filesystem.values import RootFilesystem
from imagescan.layers.values import ImagePath
from imagescan.loader.values import LinkMap, LoaderKind
from imagescan.patterns import pattern
from imagescan.plugins.platforms import architecture_of, runs_on
from imagescan.reference import Platform

_SLEEPING_PREFIXES = (
    "/usr/lib/debug/", "/boot/", "/lib/firmware/", "/usr/lib/firmware/", "/lib/modules/", "/usr/lib/modules/",
    "/usr/lib/grub/", "/usr/lib/syslinux/", "/usr/share/syslinux/", "/usr/share/qemu/", "/usr/share/doc/",
    "/usr/src/", "/snap/", "/var/lib/docker/", "/var/lib/containerd/", "/var/lib/containers/",
)  # fmt: skip
_SLEEPING_SUFFIXES = (".debug", ".bare")  # addons of the JavaScript runtime Bare lie beside those of Node.js
_SLEEPING_NAMES = frozenset(
    {"test", "tests", "testdata", "test-data", "test_data", "testing", "examples", "rootfs", ".build-id"}
)
_NESTED_ROOT_MARKS = (
    "/etc/os-release",
    "/usr/lib/os-release",
    "/lib/apk/db/installed",
    "/var/lib/dpkg/status",
)

_ARCHITECTURE_WORDS = {
    "amd64": r"x86[_-]64|amd64|x64|linux64",
    "386": r"i[3-6]86|ia32|x86|linux32",
    "arm64": r"aarch64|arm64(?:v8)?|armv8",
    "arm": r"armv[5-7]l?|armhf|armel|arm(?:v[67])?",
    "ppc64le": r"ppc64le|powerpc64le|ppc64el|ppc64",
    "s390x": r"s390x",
    "riscv64": r"riscv64",
    "loong64": r"loong(?:arch)?64",
    "mips64le": r"mips64(?:el|le)|mips",
}
_BOUNDARY = r"(?<![A-Za-z0-9])(?:{})(?![A-Za-z0-9])"
_WORDS = {name: pattern(_BOUNDARY.format(words), re.I) for name, words in _ARCHITECTURE_WORDS.items()}
_ANY_ARCHITECTURE = pattern(_BOUNDARY.format("|".join(_ARCHITECTURE_WORDS.values())), re.I)
_LIBC_WORD = pattern(r"[-_.]?(?:linux)?(?:musl|gnu|glibc)(?:eabi(?:hf)?)?(?![A-Za-z])", re.I)
_SYSTEM_WORD = pattern(_BOUNDARY.format(r"linux|darwin|macos|osx|win32|windows|win|freebsd|android"), re.I)
_OTHER_SYSTEM_WORD = pattern(_BOUNDARY.format(r"android|freebsd|openbsd|netbsd|sunos"), re.I)
# Node.js addons come once for each binary interface too: abi115, node-v115, node/115, glibc-115-Release.
_INTERFACE_WORD = pattern(
    r"(?:(?<=[-_./])(?:abi|node-v|napi-v)|(?<=[/*])-?)\d{1,3}(?:-Release)?(?=[./*])|(?<=[-_.])napi(?=[.*])",
    re.I,
)
_MARK = pattern(r"(?<![-_.])[-_.]*\*")
_JOINTS = "-_."
_CPU_MACHINES = frozenset(Machine)
MAXIMUM_REMEMBERED = 4096  # directories, and lists of needed entries, about which the answer is remembered


def dormant_objects(
    objects: Mapping[ImagePath, ElfFacts],
    filesystem: RootFilesystem,
    platform: Platform,
    libcs: frozenset[LoaderKind],
) -> frozenset[ImagePath]:
    """The ELF files that nobody starts or loads here, whatever their mode.

    Args:
        objects: every ELF file by canonical path.
        filesystem: to find nested root file systems.
        platform: the image's.
        libcs: which dynamic loaders the image has.
    """
    roots = nested_roots(objects, filesystem)
    sleeping = {
        path
        for path, elf in objects.items()
        if elf.kind is ElfKind.OTHER
        or elf.machine not in _CPU_MACHINES
        or sleeps_by_path(path)
        or path.startswith(roots)
        or _is_foreign_variant(path, elf, platform)
    }
    rest = {path: elf for path, elf in objects.items() if path not in sleeping}
    return frozenset(sleeping) | _unusable_variants(rest, platform, libcs)


def sleeps_by_path(path: str) -> bool:
    """Whether a path alone says that a file is debug information, test data or another system's."""
    return path.endswith(_SLEEPING_SUFFIXES) or _is_sleeping(path.rpartition("/")[0])


@lru_cache(MAXIMUM_REMEMBERED)
def _is_sleeping(directory: str) -> bool:
    """Whether everything in a directory sleeps."""
    return f"{directory}/".startswith(_SLEEPING_PREFIXES) or not _SLEEPING_NAMES.isdisjoint(
        directory.split("/")[1:]
    )


def nested_roots(paths: Iterable[ImagePath], filesystem: RootFilesystem) -> tuple[str, ...]:
    """Directories (with a slash at the end) that hold a whole root file system of their own."""
    candidates = set()
    for directory in {f"{path.rpartition('/')[0]}/" for path in paths}:
        head, found, _ = directory.partition("/usr/lib/")
        inside = (directory.partition(mark)[0] for mark in ("/lib/", "/bin/"))
        for prefix in (head if found else "", *inside):
            if prefix and prefix != directory and not prefix.endswith("/usr"):
                candidates.add(prefix)
    marked = {
        prefix
        for mark in (_NESTED_ROOT_MARKS if candidates else ())
        for prefix in _maybe_marked(candidates, mark, filesystem)
        if filesystem.resolve(prefix + mark, follow=False).entry
    }
    return tuple(sorted(f"{prefix}/" for prefix in marked))


def _maybe_marked(candidates: set[str], mark: str, filesystem: RootFilesystem) -> Iterable[str]:
    """The directories that may hold a mark, some without it among them: what is there now was brought by
    some layer. A canonical path's directories are no links, but what lies in them may be some."""
    top, name = mark.split("/")[1], mark.rpartition("/")[2]
    if not filesystem.paths_ever(name):
        return ()
    if top == "lib":  # nearly all candidates have one
        return candidates
    return candidates.intersection(path.rpartition("/")[0] for path in filesystem.paths_ever(top))


def names_architecture(path: str, architecture: str) -> bool:
    """Whether a path says that its file is for this architecture."""
    words = _WORDS.get(architecture)
    return bool(words and words.search(path))


def _is_foreign_variant(path: ImagePath, elf: ElfFacts, platform: Platform) -> bool:
    """Built for another machine, and its path says so: a variant, a cross toolchain, an emulator's root."""
    if runs_on(elf, platform):
        return False
    architecture = architecture_of(elf)
    return architecture is not None and names_architecture(path, architecture)


def _unusable_variants(
    objects: Mapping[ImagePath, ElfFacts], platform: Platform, libcs: frozenset[LoaderKind]
) -> frozenset[ImagePath]:
    """Variants that this image cannot use, beside one that it can."""

    def fails(path: ImagePath) -> bool:
        return not usable(objects[path], platform, libcs) or bool(_OTHER_SYSTEM_WORD.search(path))

    return _failing_beside_usable(objects, fails)


def failing_variants(
    objects: Mapping[ImagePath, ElfFacts], in_use: Mapping[ImagePath, LinkMap]
) -> frozenset[ImagePath]:
    """Variants that lack libraries or versions here, beside one for the same machine that does not.

    What loads them tries one after the other, or takes the one for its own binary interface.

    Args:
        objects: every ELF file by canonical path.
        in_use: plugins with what happens when they are opened.
    """
    by_machine: dict[tuple[int, int], list[ImagePath]] = defaultdict(list)
    for path in in_use:
        by_machine[objects[path].machine, objects[path].elf_class].append(path)

    def fails(path: ImagePath) -> bool:
        return bool(in_use[path].missing or in_use[path].missing_versions)

    found = (_failing_beside_usable(paths, fails) for paths in by_machine.values())
    return frozenset[ImagePath]().union(*found)


def _failing_beside_usable(
    paths: Iterable[ImagePath], fails: Callable[[ImagePath], bool]
) -> frozenset[ImagePath]:
    """Paths that name a variant and fail, where another variant of the same thing does not."""
    failing: dict[str, list[ImagePath]] = defaultdict(list)
    working = []
    for path in paths:
        if not fails(path):
            working.append(path)
        elif (family := without_words(path)) != path:
            failing[family].append(path)
    if not failing:
        return frozenset()
    families = _families(working, {family.rpartition("/")[0] for family in failing})
    return frozenset(path for family, members in failing.items() if family in families for path in members)


def _families(paths: Iterable[ImagePath], directories: set[str]) -> set[str]:
    """The paths without their words, of those that are in some directories then."""
    by_directory: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        by_directory[path.rpartition("/")[0]].append(path)
    depths = {one.count("/") for one in directories}
    return {
        without_words(path)
        for directory, members in by_directory.items()
        if directory.count("/") in depths
        and not {_directory_without_words(directory, node) for node in (False, True)}.isdisjoint(directories)
        for path in members
    }


def _directory_without_words(path: str, is_of_node_addon: bool) -> str:
    return "/".join([_name_without_words(name, is_of_node_addon) for name in path.split("/")])


@lru_cache(MAXIMUM_REMEMBERED)
def _name_without_words(name: str, is_of_node_addon: bool) -> str:
    """One component of a path. No word has a slash in it, and all may stand behind and before one."""
    return _without_words(f"/{name}/", is_of_node_addon)[1:-1]


def without_words(path: str) -> str:
    """The path as it would be if there were no variants: ``a.musl.node`` is a variant of ``a.node``."""
    return _without_words(path, path.endswith(".node"))


def _without_words(path: str, is_node_addon: bool) -> str:
    words = (_LIBC_WORD, _ANY_ARCHITECTURE, _SYSTEM_WORD, *((_INTERFACE_WORD,) * is_node_addon))
    for word in words:
        path = word.sub("*", path)
    return _MARK.sub("", path)


def variant_family(path: str) -> str:
    """The path without the words that tell variants apart (architecture, libc, system)."""
    for words in (_LIBC_WORD, _ANY_ARCHITECTURE, _SYSTEM_WORD):
        path = words.sub("*", path)
    first, *rest = path.split("*")
    if not rest:
        return path
    *middle, last = rest
    pieces = (first.rstrip(_JOINTS), *(piece.strip(_JOINTS) for piece in middle), last.lstrip(_JOINTS))
    return "*".join(piece for position, piece in enumerate(pieces) if piece or position in (0, len(rest)))


def usable(elf: ElfFacts, platform: Platform, libcs: frozenset[LoaderKind]) -> bool:
    """Whether machine and libc suit the image."""
    libc = libc_of(elf)
    return runs_on(elf, platform) and (libc is None or libc in libcs)


def libc_of(elf: ElfFacts) -> LoaderKind | None:
    """Which libc a file was linked against, as far as its needs say; None when they do not."""
    found = _libc_of_interpreter(elf.interpreter) if elf.interpreter else None
    found = found or _libc_of_needs(elf.needed)
    if found is None and any(need.file == "libc.so.6" for need in elf.version_needs):
        return LoaderKind.GLIBC
    return found


@lru_cache(MAXIMUM_REMEMBERED)
def _libc_of_interpreter(path: str) -> LoaderKind | None:
    name = path.rpartition("/")[2]
    if name.startswith("ld-musl-"):
        return LoaderKind.MUSL
    return LoaderKind.GLIBC if re.match(r"ld-linux|ld64\.so|ld-lsb|ld\.so\.", name) else None


@lru_cache(MAXIMUM_REMEMBERED)
def _libc_of_needs(needed: tuple[str, ...]) -> LoaderKind | None:
    if any(name == "libc.so" or name.startswith("libc.musl-") for name in needed):
        return LoaderKind.MUSL
    if "libc.so.6" in needed or any(name.startswith("ld-linux") for name in needed):
        return LoaderKind.GLIBC
    return None
