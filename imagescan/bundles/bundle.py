"""Native code that is shipped in several builds beside each other, and which of them a host takes.

The documents that describe loaders of native code (``rules/data/bundles.yaml``) become
``BundleLoader`` values; what no build of fits this image leaves as ``Bundle``. How each kind is found:
``archived`` (JARs), ``unpacked`` (directories), ``wheels``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property

from imagescan.dataclasses import dataclass, field
from imagescan.elf.facts import ElfFacts
from imagescan.filesystem.values import FileEntry
from imagescan.layers.values import ImagePath
from imagescan.loader.values import LinkMap, LoaderKind
from imagescan.patterns import pattern
from imagescan.plugins.dormant import libc_of
from imagescan.plugins.families import FAMILIES, PluginFamily
from imagescan.plugins.hosts import PluginHosts
from imagescan.plugins.platforms import architecture_of
from imagescan.variants import BUILTIN, Variant, Vocabulary

MAXIMUM_PATH = 1024  # characters of a path that is compared with patterns; real ones have less than 400

_BY_NAME = {family.name: family for family in FAMILIES}
HOSTS: Mapping[str, PluginFamily] = {
    "java": _BY_NAME["Java native library"],
    "node": PluginFamily(
        "Node.js addon", r"\.node$", r"node(?:js)?[\d.]*|electron|bun|deno", ("libnode.so",)
    ),
    "dotnet": PluginFamily(".NET native library", r"/runtimes/[^/]+/native/", r"dotnet"),
    "python": _BY_NAME["Python extension module"],
}
_PLACES = pattern(r"\*\*/?|\*|\{package\}|\{platform\}")
_COMPILED = {
    "**/": "(?:.*/)?",
    "**": ".*",
    "*": "[^/]*",
    "{package}": "(?:@[^/]+/)?[^/]+",
    "{platform}": "(?P<platform>[^/]*)",
}


@dataclass(frozen=True)
class BundleLoader:
    """How one library or package manager lays out the builds of its native code.

    ``pattern`` is a path within an archive, or with ``in_archive`` false a path of the image; ``*``
    stands for anything but a slash, ``**`` for anything, ``{package}`` for a Node package and
    ``{platform}`` for the component that names the platform. ``host`` is a key of ``HOSTS``;
    ``optional`` says that the host goes on without.
    """

    name: str
    host: str
    pattern: str
    in_archive: bool
    optional: bool = False
    advice: str = ""

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        parts = []
        position = 0
        for match in _PLACES.finditer(self.pattern):
            parts += [re.escape(self.pattern[position : match.start()]), _COMPILED[match[0]]]
            position = match.end()
        return re.compile("".join((*parts, re.escape(self.pattern[position:]))), re.DOTALL)

    @cached_property
    def _part(self) -> str:
        """The longest text that every such path has: most paths are told by it alone."""
        return max(_PLACES.split(self.pattern), key=len)

    def match(self, path: str) -> re.Match[str] | None:
        """Whether a path is laid out so; a path longer than ``MAXIMUM_PATH`` never is."""
        if self._part not in path or len(path) > MAXIMUM_PATH:
            return None
        return self._compiled.fullmatch(path)


@dataclass(frozen=True, slots=True)
class BundleKnowledge:
    """The loaders that are known, the first that matches wins, and the words for platforms."""

    loaders: tuple[BundleLoader, ...] = ()
    vocabulary: Vocabulary = field(default=BUILTIN)


@dataclass(frozen=True, slots=True)
class HostProgram:
    """A program that takes native code: where it is, and what it can load. ``architecture`` is OCI's."""

    path: ImagePath
    architecture: str
    libc: LoaderKind

    @property
    def platform(self) -> str:
        """In words: ``linux/arm64 with musl``."""
        return f"linux/{self.architecture} with {self.libc.value}"

    def takes(self, variant: Variant, architecture: str) -> bool:
        """Whether a build is one for this host by its name; ``architecture`` is what it is built for."""
        return (
            variant.system in ("", "linux")
            and architecture == self.architecture
            and variant.libc in ("", self.libc.value)
        )

    def could_load(self, elf: ElfFacts) -> bool:
        """Whether machine and C library of a file are the host's."""
        return architecture_of(elf) == self.architecture and libc_of(elf) in (None, self.libc)


@dataclass(frozen=True, slots=True)
class Bundle:
    """Native code of which no build fits this image.

    ``path`` is where it is: an archive's member, a directory, a site directory. ``variants`` are the
    builds that there are, as people call them; ``members`` their paths. ``link_map`` is what happens
    when the host takes the nearest of them; None where it would take none.
    """

    kind: str
    name: str
    path: ImagePath
    host: ImagePath
    wanted: str
    variants: tuple[str, ...]
    members: tuple[ImagePath, ...]
    optional: bool = False
    advice: str = ""
    link_map: LinkMap | None = None


def host_programs(hosts: PluginHosts, kind: str) -> tuple[HostProgram, ...]:
    """The image's programs of one kind of host; of Python also those that embed it, of the others only
    those known by their own name."""
    family = HOSTS[kind]
    found = []
    for path in sorted(hosts.of(family)):
        architecture = architecture_of(hosts.program(path))
        loader = hosts.loader(path)
        libc = loader.kind if loader else LoaderKind.OTHER
        if (
            (kind == "python" or family.names(path))
            and architecture is not None
            and libc is not LoaderKind.OTHER
        ):
            found.append(HostProgram(path, architecture, libc))
    return tuple(found)


def described(variant: Variant, elf: ElfFacts | None) -> str:
    """A build in words, such as ``linux/amd64 (glibc)``; what the path leaves open the file tells."""
    system = variant.system or ("linux" if elf is not None else "unknown system")
    architecture = variant.architecture or (architecture_of(elf) if elf is not None else "") or ""
    libc = libc_of(elf) if elf is not None else None
    libc_name = variant.libc or (libc.value if libc else "")
    named = f"{system}/{architecture}" if architecture else system
    return f"{named} ({libc_name})" if libc_name else named


def listed(variants: Iterable[str]) -> tuple[str, ...]:
    """Builds, each once, Linux first."""
    return tuple(sorted(set(variants), key=lambda one: (not one.startswith("linux"), one)))


def entry_like(entry: FileEntry, path: ImagePath, number: int, elf: ElfFacts, size: int) -> FileEntry:
    """A file as a host would write it out of an archive: of its owner, readable by all."""
    return FileEntry(
        path=path,
        kind=entry.kind,
        mode=0o644,
        uid=entry.uid,
        gid=entry.gid,
        size=size,
        inode=(-1, number),
        layer=entry.layer,
        content=elf,
    )
