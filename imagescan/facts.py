"""Everything that is known of one image, in one frozen value: all that rules ever look at.

The manifest, the merged file system, the link maps and what could not be read enter;
``ImageFacts`` leaves. No opinion is in it: what to think of a fact is the ``rules`` room's business.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from types import MappingProxyType

from imagescan.allocator import give_back_freed_memory
from imagescan.bundles.archived import Extract
from imagescan.bundles.bundle import Bundle, BundleKnowledge
from imagescan.bundles.shipped import ShippedCode, judge_shipped, shipped_files, unread_archives
from imagescan.content import ForeignBinary
from imagescan.dataclasses import dataclass
from imagescan.elf.facts import ElfFacts, ElfKind
from imagescan.filesystem.values import FileEntry, RootFilesystem
from imagescan.findings import Incomplete, Tier
from imagescan.layers.values import EntryKind, ImagePath
from imagescan.loader.closure_table import ClosureTable, brief_link_maps
from imagescan.loader.values import LinkMap, LinkMaps, LoaderKind
from imagescan.packages.os_release import OperatingSystem, read_os_release
from imagescan.packages.ownership import Ownership, read_ownership
from imagescan.plugins.dormant import dormant_objects, failing_variants, nested_roots, sleeps_by_path
from imagescan.plugins.hosts import OpenedPlugin, OpenPlugin, PluginHosts
from imagescan.reference import Platform
from imagescan.scripts import Script
from imagescan.sources.values import ImageManifest
from imagescan.startup.chain import ScriptChains, environment, healthcheck_chain, startup_chain, surroundings
from imagescan.startup.credentials import configured_user, file_text
from imagescan.startup.lookup import Surroundings, search_directories
from imagescan.startup.processes import AsStarted, started_link_maps
from imagescan.startup.tiers import assign_tiers, is_executable
from imagescan.startup.values import ConfiguredUser, StartupChain
from imagescan.views import Viewed

PLUGINS_BETWEEN_TRIMS = 300  # that were opened: each leaves a few KiB of holes
MAXIMUM_PLACES = 20  # places listed for one name that nothing on a search path answers


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """One ELF file.

    ``link_map`` is what its loader would do with it, asked as if it were the program; None for
    files that have none (static, relocatable). For a plugin whose hosts the image has, ``opened``
    says what happens when the best of them opens it; None where that was not asked.
    """

    entry: FileEntry
    elf: ElfFacts
    tier: Tier
    link_map: LinkMap | None
    opened: OpenedPlugin | None = None

    @property
    def in_use(self) -> LinkMap | None:
        """What happens to it in use: in its host where one is known, else by itself."""
        return self.opened.link_map if self.opened else self.link_map

    @property
    def path(self) -> ImagePath:
        """Canonical path."""
        return self.entry.path


@dataclass(frozen=True, slots=True)
class ScriptFacts:
    """One ``#!`` file; ``chain`` is what starting it brings in, None where nobody may execute it."""

    entry: FileEntry
    script: Script
    tier: Tier
    chain: StartupChain | None

    @property
    def path(self) -> ImagePath:
        """Canonical path."""
        return self.entry.path


@dataclass(frozen=True, slots=True)
class ForeignFile:
    """A program or library of another system (Mach-O, PE)."""

    entry: FileEntry
    binary: ForeignBinary

    @property
    def path(self) -> ImagePath:
        """Canonical path."""
        return self.entry.path


@dataclass(frozen=True, slots=True)
class LoaderFile:
    """A dynamic loader that the image has; ``version`` is () when the file does not say."""

    kind: LoaderKind
    path: ImagePath
    version: tuple[int, ...]


@dataclass(frozen=True)
class ImageFacts(Viewed):
    """One image of one platform.

    ``search_directories`` are the canonical directories of PATH. ``objects``, ``scripts`` and ``foreign`` are
    ordered by path. ``healthcheck`` is None when the image has none. ``places`` says, for each needed name
    that some object misses, which files of the image answer to it (by file name or soname, canonical, at most
    ``MAXIMUM_PLACES``). ``distribution`` is os-release's ID followed by ID_LIKE, ``distribution_name``
    PRETTY_NAME, ``distribution_version`` VERSION_ID. ``ownership`` says which package each file belongs to.
    ``page_size`` is the kernel's in bytes and ``kernel`` its version where the caller stated them.
    ``archived`` are libraries in archives that a program of the image would extract and fail to load
    (``by_path`` has them too), ``dormant`` files never meant to run, ``bundles`` code of which no build fits.
    """

    manifest: ImageManifest
    filesystem: RootFilesystem
    environment: Mapping[str, str]
    user: ConfiguredUser
    search_directories: frozenset[str]
    startup: StartupChain
    healthcheck: StartupChain | None
    objects: tuple[ObjectFacts, ...]
    scripts: tuple[ScriptFacts, ...]
    foreign: tuple[ForeignFile, ...]
    loaders: tuple[LoaderFile, ...]
    places: Mapping[str, tuple[ImagePath, ...]]
    incomplete: tuple[Incomplete, ...]
    distribution: tuple[str, ...]
    distribution_name: str
    distribution_version: str
    ownership: Ownership
    by_path: Mapping[ImagePath, ObjectFacts]
    archived: tuple[ObjectFacts, ...] = ()
    dormant: frozenset[ImagePath] = frozenset()
    bundles: tuple[Bundle, ...] = ()
    page_size: int | None = None
    kernel: tuple[int, int, int] | None = None

    @property
    def platform(self) -> Platform:
        """The platform that the image says it is for."""
        return self.manifest.platform

    @cached_property
    def libcs(self) -> frozenset[LoaderKind]:
        """Which dynamic loaders the image has."""
        return frozenset(loader.kind for loader in self.loaders)


@dataclass(frozen=True, slots=True)
class Extraction:
    """What it takes to judge native code in archives: the known loaders, and what makes the image with
    files written out of them."""

    knowledge: BundleKnowledge
    extract: Extract


def gather_facts(
    manifest: ImageManifest,
    filesystem: RootFilesystem,
    closures: ClosureTable,
    simulation: LinkMaps,
    incomplete: tuple[Incomplete, ...] = (),
    extraction: Extraction | None = None,
    as_started: AsStarted | None = None,
) -> ImageFacts:
    """Work out startup and tiers, and bundle them with everything else.

    Args:
        manifest: the image; its config decides how it starts.
        filesystem: the merged tree.
        closures: what is loaded with each of its ELF files.
        simulation: makes whole link maps, and those of plugins in their hosts, on the same machine.
        incomplete: what could not be looked at.
        extraction: without it native code in several builds is not judged.
        as_started: the loaders in another process, for what starts as another user or otherwise changed.
    """
    ownership = read_ownership(filesystem)
    give_back_freed_memory()
    user = configured_user(manifest.config.user, filesystem)
    around = surroundings(manifest.config, filesystem, user)
    startup = startup_chain(manifest.config, around)
    healthcheck = healthcheck_chain(manifest.config, around)
    chains = [one for one in (startup, healthcheck) if one]
    started, loaded = started_link_maps(chains, around, as_started)
    link_maps = {**brief_link_maps(closures, simulation), **started}
    missing = {one.needed.rpartition("/")[2] for found in link_maps.values() for one in found.missing}
    files, named = _survey(filesystem, missing)
    elves = {path: entry.content for path, entry in files.items() if isinstance(entry.content, ElfFacts)}
    loaders = _loaders(elves, link_maps)
    dormant = dormant_objects(elves, filesystem, manifest.platform, frozenset(one.kind for one in loaders))
    dormant |= _sleeping_scripts(files, elves, filesystem)
    tiers = assign_tiers(files, chains, closures, dormant)
    tiers = {**tiers, **dict.fromkeys(tiers.keys() & loaded, Tier.STARTUP)}
    hosts = _plugin_hosts(files, elves, tiers, closures)
    opened = _open_plugins(elves, tiers, link_maps, hosts, simulation.plugin_map)
    simulation.forget()  # few programs and files are asked for again
    give_back_freed_memory()
    tiers = {**tiers, **dict.fromkeys(_failing_variants(elves, tiers, link_maps, opened), Tier.DORMANT)}
    shipped = (
        _shipped(filesystem, elves, hosts, opened, link_maps, extraction) if extraction else ShippedCode()
    )
    tiers |= dict.fromkeys(shipped.sleeping, Tier.DORMANT)
    if hosts.exhausted or shipped.exhausted:
        incomplete = (*incomplete, Incomplete("", "too many plugins to put all of them into their hosts"))
    objects = tuple(
        ObjectFacts(files[path], elf, tiers[path], link_maps.get(path), opened.get(path))
        for path, elf in elves.items()
    )
    archived = tuple(
        ObjectFacts(one.entry, one.elf, Tier.PLUGIN, one.opened.link_map, one.opened)
        for one in shipped.plugins
    )
    if shipped.lacking - missing:
        missing |= shipped.lacking
        _, named = _survey(filesystem, missing)
    system = _operating_system(filesystem)
    unread = (Incomplete(one.path, f"damaged package database: {one.reason}") for one in ownership.unread)
    return ImageFacts(
        manifest=manifest,
        filesystem=filesystem,
        environment=environment(manifest.config),
        user=user,
        search_directories=search_directories(around),
        startup=startup,
        healthcheck=healthcheck,
        objects=objects,
        scripts=tuple(_scripts(files, tiers, around)),
        foreign=_foreign(files.values()),
        loaders=loaders,
        places=_places(filesystem, elves, named, missing, dormant),
        incomplete=(*incomplete, *unread, *unread_archives(filesystem.contents())),
        distribution=system.families,
        distribution_name=system.pretty_name,
        distribution_version=system.version,
        ownership=ownership,
        by_path=MappingProxyType({found.path: found for found in (*objects, *archived)}),
        archived=archived,
        dormant=dormant,
        bundles=shipped.bundles,
    )


def _plugin_hosts(
    files: Mapping[ImagePath, FileEntry],
    elves: Mapping[ImagePath, ElfFacts],
    tiers: Mapping[ImagePath, Tier],
    closures: ClosureTable,
) -> PluginHosts:
    """The programs that may open plugins: those that a loader starts."""
    started = (path for path in closures.programs() if tiers[path] in (Tier.STARTUP, Tier.COMMAND))
    programs = (path for path in started if elves[path].kind is ElfKind.PROGRAM)
    loading = (path for path in programs if len(closures.objects(path)) > 1)
    return PluginHosts(loading, closures, elves, files)


def _open_plugins(
    elves: Mapping[ImagePath, ElfFacts],
    tiers: Mapping[ImagePath, Tier],
    link_maps: Mapping[ImagePath, LinkMap],
    hosts: PluginHosts,
    opener: OpenPlugin,
) -> dict[ImagePath, OpenedPlugin]:
    """Put the plugins that lack something by themselves, or may be refused, into their hosts."""
    opened = {}
    for path, elf in elves.items():
        link_map = link_maps.get(path)
        if tiers[path] is not Tier.PLUGIN or link_map is None:
            continue
        # Without a loader there is none of its libc, but musl may take it.
        if link_map.obstacles or link_map.loader is None or elf.may_be_refused_by_dlopen:
            found = hosts.open(path, elf, opener)
            if found is not None:
                opened[path] = found
                if len(opened) % PLUGINS_BETWEEN_TRIMS == 0:
                    give_back_freed_memory()
    return opened


def _shipped(
    filesystem: RootFilesystem,
    elves: Mapping[ImagePath, ElfFacts],
    hosts: PluginHosts,
    opened: Mapping[ImagePath, OpenedPlugin],
    link_maps: Mapping[ImagePath, LinkMap],
    extraction: Extraction,
) -> ShippedCode:
    """Native code that comes in several builds, in archives and beside each other."""

    def in_use(path: ImagePath) -> LinkMap | None:
        return opened[path].link_map if path in opened else link_maps.get(path)

    files = shipped_files(elves, filesystem.contents())
    return judge_shipped(files, hosts, extraction.knowledge, extraction.extract, in_use)


def _failing_variants(
    elves: Mapping[ImagePath, ElfFacts],
    tiers: Mapping[ImagePath, Tier],
    link_maps: Mapping[ImagePath, LinkMap],
    opened: Mapping[ImagePath, OpenedPlugin],
) -> frozenset[ImagePath]:
    """Plugins that fail where another variant of the same thing does not."""
    plugins = (path for path in link_maps if tiers.get(path) is Tier.PLUGIN)
    return failing_variants(
        elves, {path: opened[path].link_map if path in opened else link_maps[path] for path in plugins}
    )


def _survey(
    filesystem: RootFilesystem, names: set[str]
) -> tuple[Mapping[ImagePath, FileEntry], tuple[FileEntry, ...]]:
    """Every file that an inspector knew something about, ordered by path; and every file or symlink
    with one of these names."""
    files = {
        entry.path: entry
        for entry in filesystem.contents()
        if isinstance(entry.content, ElfFacts | Script | ForeignBinary)
    }
    named: dict[ImagePath, FileEntry] = {}
    filesystem.look_for_libraries(names)
    for name in names:
        for path in filesystem.paths_ever(name) if name else ():
            entry = filesystem.resolve(path, follow=False).entry
            if entry is not None and entry.kind in (EntryKind.FILE, EntryKind.SYMLINK):
                named[entry.path] = entry
    return files, tuple(named.values())


def _scripts(
    files: Mapping[ImagePath, FileEntry], tiers: Mapping[ImagePath, Tier], around: Surroundings
) -> Iterator[ScriptFacts]:
    chains = ScriptChains(around)
    for path, entry in files.items():
        if isinstance(entry.content, Script):
            started = is_executable(entry) and tiers[path] is not Tier.DORMANT
            chain = chains.chain(path) if started else None
            yield ScriptFacts(entry, entry.content, tiers[path], chain)


def _foreign(files: Iterable[FileEntry]) -> tuple[ForeignFile, ...]:
    return tuple(ForeignFile(one, one.content) for one in files if isinstance(one.content, ForeignBinary))


def _sleeping_scripts(
    files: Mapping[ImagePath, FileEntry], elves: Mapping[ImagePath, ElfFacts], filesystem: RootFilesystem
) -> frozenset[ImagePath]:
    roots = nested_roots(elves, filesystem)
    return frozenset(
        path for path in files if path not in elves and (sleeps_by_path(path) or path.startswith(roots))
    )


def _loaders(
    elves: Mapping[ImagePath, ElfFacts], link_maps: Mapping[ImagePath, LinkMap]
) -> tuple[LoaderFile, ...]:
    """The dynamic loaders that serve programs of the image, and musl or glibc ones that serve none."""
    found: dict[ImagePath, LoaderFile] = {}
    for link_map in link_maps.values():
        identity = link_map.loader
        if identity is not None and identity.path is not None and identity.elf is not None:
            found.setdefault(identity.path, LoaderFile(identity.kind, identity.path, identity.version or ()))
    for path, elf in elves.items():
        strings = elf.loader_strings
        if strings is None or path in found:
            continue
        if strings.musl_architecture and not strings.is_gcompat_stub:
            version = tuple(int(part) for part in strings.musl_version.split(".") if part.isdigit())
            found[path] = LoaderFile(LoaderKind.MUSL, path, version)
        elif strings.system_directories and strings.cache_path:
            found[path] = LoaderFile(LoaderKind.GLIBC, path, strings.glibc_version or ())
    return tuple(found[path] for path in sorted(found))


def _places(
    filesystem: RootFilesystem,
    elves: Mapping[ImagePath, ElfFacts],
    named: Iterable[FileEntry],
    missing: set[str],
    dormant: frozenset[ImagePath],
) -> Mapping[str, tuple[ImagePath, ...]]:
    """Where the image has files for names that nothing on a search path answers."""
    places: dict[str, set[ImagePath]] = defaultdict(set)
    for path, elf in elves.items():
        if elf.soname in missing and path not in dormant:
            places[elf.soname or ""].add(path)
    for entry in named:
        target = filesystem.resolve(entry.path).entry
        if target is not None and target.path in elves and target.path not in dormant:
            places[entry.path.rpartition("/")[2]].add(entry.path)
    return MappingProxyType({name: tuple(sorted(found))[:MAXIMUM_PLACES] for name, found in places.items()})


def _operating_system(filesystem: RootFilesystem) -> OperatingSystem:
    """os-release(5): the administrator's file, else the vendor's."""
    paths = ("/etc/os-release", "/usr/lib/os-release")
    return read_os_release(next(filter(None, (file_text(filesystem, path) for path in paths)), ""))
