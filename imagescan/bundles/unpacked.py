"""Native code that lies unpacked in several builds: Node packages and .NET runtime directories.

Paths of the image and its hosts enter, the bundles of which no build fits leave. Only layouts that a
document describes are judged: a directory that names a platform may be anything else.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from imagescan.bundles.bundle import (
    Bundle,
    BundleKnowledge,
    BundleLoader,
    HostProgram,
    described,
    listed,
)
from imagescan.dataclasses import dataclass
from imagescan.elf.facts import ElfFacts
from imagescan.layers.values import ImagePath
from imagescan.loader.values import LinkMap
from imagescan.patterns import pattern
from imagescan.plugins.dormant import sleeps_by_path
from imagescan.plugins.platforms import architecture_of
from imagescan.variants import Variant

_BUILT = pattern(r"(.*/node_modules/(?:@[^/]+/)?[^/]+/)build/(?:Release|Debug)/[^/]+\.node", re.DOTALL)

InUse = Callable[[ImagePath], LinkMap | None]
"""What happens to a file of the image in use."""


@dataclass(frozen=True, slots=True)
class _Build:
    path: ImagePath
    elf: ElfFacts | None
    variant: Variant


def judge_directories(
    files: Mapping[ImagePath, ElfFacts | None],
    programs: Mapping[str, Sequence[HostProgram]],
    knowledge: BundleKnowledge,
    in_use: InUse,
) -> Iterator[Bundle]:
    """The bundles of the image that its own hosts can use no build of.

    Args:
        files: every ELF file, and with None every program or library of another system.
        programs: the image's hosts by kind; without one nothing of its kind is judged.
        knowledge: the known layouts.
        in_use: what happens when a file is loaded here.
    """
    bundles: dict[tuple[BundleLoader, str], list[_Build]] = defaultdict(list)
    loaders = [one for one in knowledge.loaders if not one.in_archive and programs.get(one.host)]
    for path, elf in files.items() if loaders else ():
        found = None if sleeps_by_path(path) else _find(path, loaders, knowledge)
        if found is not None:
            loader, place, variant = found
            bundles[loader, place].append(_Build(path, elf, variant))
    built = _built_here(files, programs.get("node", ())) if bundles else frozenset()
    for (loader, place), builds in bundles.items():
        hosts = programs[loader.host]
        if place.startswith(tuple(built)):
            continue
        if not any(_usable(build, host, in_use) for build in builds for host in hosts):
            yield _bundle(loader, place, builds, hosts[0], in_use)


def _built_here(files: Mapping[ImagePath, ElfFacts | None], hosts: Sequence[HostProgram]) -> frozenset[str]:
    """Node packages (with a slash at the end) that were compiled where they were installed: their loader
    looks at that build first."""
    found = set()
    for path, elf in files.items():
        match = _BUILT.fullmatch(path) if elf is not None and path.endswith(".node") else None
        if match is not None and elf is not None and any(host.could_load(elf) for host in hosts):
            found.add(match[1])
    return frozenset(found)


def _find(
    path: ImagePath, loaders: Sequence[BundleLoader], knowledge: BundleKnowledge
) -> tuple[BundleLoader, str, Variant] | None:
    """The layout that a path has: the bundle is its path up to the platform, without the platform."""
    for loader in loaders:
        match = loader.match(path)
        if match is None:
            continue
        platform = knowledge.vocabulary.read(match["platform"])
        if platform.architecture or platform.libc:
            before, rest = path[: match.start("platform")], path[match.start("platform") :]
            return loader, before + platform.family, knowledge.vocabulary.read(rest)
    return None


def _usable(build: _Build, host: HostProgram, in_use: InUse) -> bool:
    elf = build.elf
    if elf is None or not host.takes(build.variant, architecture_of(elf) or ""):
        return False
    if host.could_load(elf):
        return True
    link_map = in_use(build.path)
    return link_map is not None and link_map.loader is not None and not link_map.obstacles


def _bundle(
    loader: BundleLoader, place: str, builds: Sequence[_Build], host: HostProgram, in_use: InUse
) -> Bundle:
    tried = (
        in_use(one.path)
        for one in builds
        if one.elf is not None and architecture_of(one.elf) == host.architecture
    )
    return Bundle(
        kind=loader.host,
        name=_name(place) if loader.host == "node" else builds[0].path.rpartition("/")[2],
        path=builds[0].path,
        host=host.path,
        wanted=host.platform,
        variants=listed(described(one.variant, one.elf) for one in builds),
        members=tuple(sorted(one.path for one in builds)),
        optional=loader.optional,
        advice=loader.advice,
        link_map=next((one for one in tried if one is not None), None),
    )


def _name(place: str) -> str:
    """The Node package of a bundle; for packages of one platform the name that they share."""
    parts = place.rpartition("/node_modules/")[2].split("/")
    name = "/".join(parts[: 2 if parts[0].startswith("@") else 1])
    return name.rstrip("*-_./")
