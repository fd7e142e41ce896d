"""All native code that comes in several builds: in archives, in directories, in wheels.

The image's files and hosts enter; ``ShippedCode`` leaves: what its hosts would take and cannot load,
and bundles of which they can take nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from imagescan.archives.values import Archive
from imagescan.bundles.archived import ArchivedPlugin, Extract, judge_archives
from imagescan.bundles.bundle import Bundle, BundleKnowledge, host_programs
from imagescan.bundles.unpacked import InUse, judge_directories
from imagescan.bundles.wheels import interpreters, judge_wheel_files, judge_wheels
from imagescan.content import ForeignBinary, KeptFile
from imagescan.dataclasses import dataclass, field
from imagescan.elf.facts import ElfFacts
from imagescan.filesystem.values import FileEntry
from imagescan.findings import Incomplete
from imagescan.layers.values import ImagePath
from imagescan.plugins.dormant import sleeps_by_path
from imagescan.plugins.hosts import PluginHosts

WHEEL_FILE = ".dist-info/WHEEL"


@dataclass(frozen=True, slots=True)
class ShippedCode:
    """``sleeping`` are files of the image that belong to a bundle told as a whole; ``exhausted`` says
    that there were more archived libraries than are opened."""

    plugins: tuple[ArchivedPlugin, ...] = ()
    bundles: tuple[Bundle, ...] = ()
    sleeping: frozenset[ImagePath] = frozenset()
    exhausted: bool = False

    @property
    def lacking(self) -> frozenset[str]:
        """The names of libraries that nothing answers to."""
        missing = (one for found in self.plugins for one in found.opened.link_map.missing)
        return frozenset(one.needed.rpartition("/")[2] for one in missing)


@dataclass(frozen=True, slots=True)
class ShippedFiles:
    """What may be native code in several builds: every ELF file by path, programs and libraries of
    other systems, entries whose content is an ``Archive``, and the text of each WHEEL file."""

    elves: Mapping[ImagePath, ElfFacts]
    foreign: frozenset[ImagePath] = frozenset()
    archives: tuple[FileEntry, ...] = ()
    wheels: Mapping[ImagePath, str] = field(default_factory=dict)


def judge_shipped(
    files: ShippedFiles,
    hosts: PluginHosts,
    knowledge: BundleKnowledge,
    extract: Extract,
    in_use: InUse,
) -> ShippedCode:
    """Choose for each bundle as its host would on this platform.

    Args:
        files: what the image has.
        hosts: its programs.
        knowledge: the known loaders and words.
        extract: makes the image with files of archives written out.
        in_use: what happens when a file of the image is loaded.
    """
    programs = {kind: host_programs(hosts, kind) for kind in ("java", "node", "dotnet")}
    archived = judge_archives(files.archives, hosts, programs["java"], knowledge, extract)
    every = {**files.elves, **dict.fromkeys(files.foreign)}
    bundles = [*archived.bundles, *judge_directories(every, programs, knowledge, in_use)]
    pythons = interpreters(host_programs(hosts, "python"), files.elves)
    bundles += judge_wheels(files.wheels, files.elves, pythons)
    bundles += judge_wheel_files((one.path for one in files.archives if one.path.endswith(".whl")), pythons)
    sleeping = frozenset(path for one in bundles for path in one.members if path in every)
    return ShippedCode(archived.plugins, tuple(bundles), sleeping, archived.exhausted)


def shipped_files(elves: Mapping[ImagePath, ElfFacts], contents: Iterable[FileEntry]) -> ShippedFiles:
    """Pick from all files that an inspector knew something about."""
    foreign: set[ImagePath] = set()
    archives: list[FileEntry] = []
    wheels: dict[ImagePath, str] = {}
    for one in contents:
        if isinstance(one.content, ForeignBinary):
            foreign.add(one.path)
        elif isinstance(one.content, Archive) and not sleeps_by_path(one.path):
            archives.append(one)
        elif isinstance(one.content, KeptFile) and one.path.endswith(WHEEL_FILE):
            wheels[one.path] = one.content.text
    return ShippedFiles(elves, frozenset(foreign), tuple(archives), wheels)


def unread_archives(contents: Iterable[FileEntry]) -> Iterator[Incomplete]:
    """What could not be read in archives, but for test data, documentation and other systems' files."""
    for one in contents:
        if isinstance(one.content, Archive) and not sleeps_by_path(one.path):
            for reason in one.content.unread:
                yield Incomplete(one.path, f"archive: {reason}", one.layer)
