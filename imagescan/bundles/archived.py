"""Native code in JARs: what a Java program would extract and load on this platform.

Archives and the image's hosts enter; the members that fail when they are loaded leave as they were
opened, and the bundles of which no member fits. Loaders of native code extract one file into
``java.io.tmpdir`` and open it there, so nothing beside it in the archive is found by $ORIGIN: a member
is opened by its path in the archive, a directory that no image has. What the same loaders extract
before is found by its soname.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from imagescan.archives.values import JOINT, Archive, ArchivedBinary
from imagescan.bundles.bundle import (
    HOSTS,
    Bundle,
    BundleKnowledge,
    BundleLoader,
    HostProgram,
    described,
    entry_like,
    listed,
)
from imagescan.dataclasses import dataclass
from imagescan.elf.facts import ElfFacts
from imagescan.filesystem.values import FileEntry
from imagescan.layers.values import ImagePath
from imagescan.plugins.dormant import libc_of
from imagescan.plugins.hosts import OpenedPlugin, OpenPlugin, PluginHosts
from imagescan.plugins.platforms import architecture_of
from imagescan.variants import Variant

MAXIMUM_OPENED = 2000  # archived libraries opened for one image
MAXIMUM_NEIGHBOURS = 64  # libraries that are extracted before the one that needs them

_JAVA_SUFFIXES = (".jar", ".war", ".ear", ".hpi", ".jpi", ".nar", ".kar", ".rar")

Extract = Callable[[Mapping[ImagePath, FileEntry]], OpenPlugin]
"""What opens plugins in the image with more files in it."""


@dataclass(frozen=True, slots=True)
class ArchivedPlugin:
    """One member that the host would load and that fails there; ``entry.path`` is the archive's path
    joined with the member's."""

    entry: FileEntry
    elf: ElfFacts
    opened: OpenedPlugin


@dataclass(frozen=True, slots=True)
class ArchivedCode:
    """What is wrong with the native code in a image's archives; ``exhausted`` says that there is more
    than ``MAXIMUM_OPENED``."""

    plugins: tuple[ArchivedPlugin, ...] = ()
    bundles: tuple[Bundle, ...] = ()
    exhausted: bool = False


@dataclass(frozen=True, slots=True)
class _Candidate:
    entry: FileEntry  # the outermost archive
    path: ImagePath
    binary: ArchivedBinary
    variant: Variant

    @property
    def architecture(self) -> str:
        elf = self.binary.elf
        return self.variant.architecture or (architecture_of(elf) if elf else None) or ""

    @property
    def is_for_linux(self) -> bool:
        return self.binary.elf is not None and self.variant.system in ("", "linux")


@dataclass(frozen=True, slots=True)
class _Group:
    """All builds of one library in the archives of one directory."""

    candidates: tuple[_Candidate, ...]
    chosen: tuple[_Candidate, ...]


def judge_archives(
    archives: Iterable[FileEntry],
    hosts: PluginHosts,
    programs: Sequence[HostProgram],
    knowledge: BundleKnowledge,
    extract: Extract,
) -> ArchivedCode:
    """Choose among the members of all archives as the first Java program would, and open them.

    Args:
        archives: files whose content is an ``Archive``.
        hosts: the image's programs, to open what was chosen.
        programs: its Java programs; without one nothing in a JAR is ever loaded.
        knowledge: the known loaders.
        extract: makes the image with the chosen members written out.
    """
    if not programs:
        return ArchivedCode()
    host = programs[0]
    groups = [_choose(members, host) for members in _groups(archives, knowledge)]
    chosen = [one for group in groups for one in group.chosen]
    work = _Extraction(chosen[:MAXIMUM_OPENED], hosts, extract)
    plugins: list[ArchivedPlugin] = []
    bundles: list[Bundle] = []
    for group in groups:
        loader = _loader_of(group.candidates[0], knowledge)
        failed = work.open(group.chosen)
        if group.chosen and failed is None:
            continue
        if failed is None or libc_of(failed[1].elf) not in (None, host.libc):
            bundles.append(_bundle(group, loader, host, failed))
        elif loader is None or not loader.optional:
            plugins.append(failed[1])
    return ArchivedCode(tuple(plugins), tuple(bundles), len(chosen) > MAXIMUM_OPENED)


def _groups(archives: Iterable[FileEntry], knowledge: BundleKnowledge) -> Iterator[list[_Candidate]]:
    """Builds of one library: equal paths but for the words for platforms, in one directory's archives."""
    groups: dict[tuple[str, str], list[_Candidate]] = defaultdict(list)
    for entry in archives:
        if not isinstance(entry.content, Archive) or not entry.path.lower().endswith(_JAVA_SUFFIXES):
            continue
        for binary in entry.content.binaries:
            archive, _, member = f"{entry.path}{JOINT}{binary.path}".rpartition(JOINT)
            variant = _variant(knowledge, archive, member)
            candidate = _Candidate(entry, ImagePath(f"{archive}{JOINT}{member}"), binary, variant)
            groups[archive.rpartition("/")[0], variant.family].append(candidate)
    for members in groups.values():
        if any(one.is_for_linux for one in members):
            yield members


def _variant(knowledge: BundleKnowledge, archive: str, member: str) -> Variant:
    """What the member's path says; for one that says nothing, what the archive's name does."""
    variant = knowledge.vocabulary.read(member)
    if variant.architecture:
        return variant
    name = knowledge.vocabulary.read(archive.rpartition("/")[2])
    return Variant(
        variant.system or name.system, name.architecture, variant.libc or name.libc, variant.family
    )


def _choose(members: list[_Candidate], host: HostProgram) -> _Group:
    """The builds for the host: those named for its C library before those that name none."""
    fitting = [one for one in members if one.is_for_linux and host.takes(one.variant, one.architecture)]
    exact = [one for one in fitting if one.variant.libc]
    return _Group(tuple(members), tuple(exact or fitting))


def _loader_of(candidate: _Candidate, knowledge: BundleKnowledge) -> BundleLoader | None:
    member = candidate.path.rpartition(JOINT)[2]
    return next((one for one in knowledge.loaders if one.in_archive and one.match(member)), None)


def _bundle(
    group: _Group,
    loader: BundleLoader | None,
    host: HostProgram,
    failed: tuple[_Candidate, ArchivedPlugin] | None,
) -> Bundle:
    first = failed[0] if failed else next(one for one in group.candidates if one.is_for_linux)
    return Bundle(
        kind="archive",
        name=loader.name if loader else first.path.rpartition("/")[2],
        path=first.path,
        host=host.path,
        wanted=host.platform,
        variants=listed(described(one.variant, one.binary.elf) for one in group.candidates),
        members=tuple(one.path for one in group.candidates),
        # Nothing is known of a loader that no document describes: it may go on without.
        optional=loader.optional if loader else True,
        advice=loader.advice if loader else "",
        link_map=failed[1].opened.link_map if failed else None,
    )


class _Extraction:
    """The chosen members as files of the image, and what the hosts make of them."""

    def __init__(self, chosen: Sequence[_Candidate], hosts: PluginHosts, extract: Extract) -> None:
        self._hosts = hosts
        self._named: dict[str, _Candidate] = {}
        self._files: dict[ImagePath, FileEntry] = {}
        for number, one in enumerate(chosen):
            elf = one.binary.elf
            assert elf is not None
            self._files[one.path] = entry_like(one.entry, one.path, number, elf, one.binary.size)
            for answer in (one.path.rpartition("/")[2], elf.soname or ""):
                self._named.setdefault(answer, one)
        self._opener = extract(self._files) if self._files else None

    def open(self, chosen: Sequence[_Candidate]) -> tuple[_Candidate, ArchivedPlugin] | None:
        """What fails when the host takes any of these, the one with the fewest obstacles; None when
        one of them loads, or none was opened."""
        nearest: tuple[_Candidate, ArchivedPlugin] | None = None
        for one in chosen:
            opened = self._open(one)
            if opened is None or not opened.link_map.obstacles:
                return None
            if nearest is None or opened.link_map.obstacles < nearest[1].opened.link_map.obstacles:
                assert one.binary.elf is not None
                nearest = one, ArchivedPlugin(self._files[one.path], one.binary.elf, opened)
        return nearest

    def _open(self, one: _Candidate) -> OpenedPlugin | None:
        elf = one.binary.elf
        if elf is None or self._opener is None or one.path not in self._files:
            return None
        before = tuple(self._neighbours(elf, {one.path}))[:MAXIMUM_NEIGHBOURS]
        return self._hosts.open_as(HOSTS["java"], one.path, elf, self._opener, before)

    def _neighbours(self, elf: ElfFacts, seen: set[ImagePath]) -> Iterator[ImagePath]:
        """What other members answer to this one's needs, those that they need first."""
        for name in elf.needed:
            found = self._named.get(name)
            if found is None or found.path in seen or len(seen) > MAXIMUM_NEIGHBOURS:
                continue
            seen.add(found.path)
            if found.binary.elf is not None:
                yield from self._neighbours(found.binary.elf, seen)
            yield found.path
