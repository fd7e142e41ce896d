"""Plugins and the programs that open them.

Paths and link maps of an image enter; for each shared object that only ``dlopen`` reaches the
plausible host programs leave, and what happens when the best of them opens it. Follows
``loader.md`` section 10: what a plugin lacks may come from its host, so nothing is called missing
before every host that the image has was asked. A plugin without a known host stays unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice

from imagescan.dataclasses import dataclass
from imagescan.elf.facts import ElfFacts
from imagescan.filesystem.values import FileEntry
from imagescan.layers.values import ImagePath
from imagescan.loader.closure_table import ClosureTable
from imagescan.loader.symbol_lookup import DefinedSymbols
from imagescan.loader.values import LinkMap, LoaderIdentity
from imagescan.patterns import pattern
from imagescan.plugins.families import FAMILIES, PluginFamily, family_of
from imagescan.plugins.twins import host_value

MAXIMUM_HOSTS = 6  # programs asked for one plugin; more of a kind rarely differ
MAXIMUM_OPENINGS = 50_000  # objects opened for the plugins of one image; a large one takes 5,000
MAXIMUM_HELPERS = 16  # plugins that a host opens before the one that needs them
MAXIMUM_SIBLINGS = 400  # plugins of one directory that are looked through for a missing symbol

OpenPlugin = Callable[[ImagePath, tuple[ImagePath, ...], bool], LinkMap]
"""What happens when a program opens objects one after the other: the answer for the last one."""


_Groups = tuple[dict[str, list[ImagePath]], dict[str, list[ImagePath]]]  # by directory, the likelier first

_PYTHON_TAG = pattern(r"\.cpython-(\d)(\d+)")
_PYTHON_NAME = pattern(r"(?:lib)?python(\d)\.(\d+)")


@dataclass(frozen=True, slots=True)
class OpenedPlugin:
    """What happens to a plugin in the image's hosts.

    ``host`` is the program that opens it with the least trouble, ``opened`` what it opens one after
    the other, the plugin last, ``link_map`` what happens then; ``hosts`` are all that were asked.
    """

    family: PluginFamily
    host: ImagePath
    opened: tuple[ImagePath, ...]
    hosts: tuple[ImagePath, ...]
    link_map: LinkMap


class PluginHosts:
    """The programs of one image that open plugins."""

    def __init__(
        self,
        programs: Iterable[ImagePath],
        closures: ClosureTable,
        objects: Mapping[ImagePath, ElfFacts],
        entries: Mapping[ImagePath, FileEntry] | None = None,
    ) -> None:
        self._entries = entries or {}
        self._programs = tuple(programs)
        self._closures = closures
        self._objects = objects
        self._hosts: dict[str, tuple[ImagePath, ...]] = {}
        self._places: dict[str, list[ImagePath]] = {}
        self._alone: dict[tuple[ImagePath, ImagePath], LinkMap] = {}
        self._defined: dict[ImagePath, frozenset[bytes]] = {}  # by plugins that lie beside each other
        self._directory = ""
        self._values: dict[ImagePath, object | None] = {}
        self._groups: dict[str, _Groups] = {}
        self._likely: dict[object, tuple[ImagePath, ...]] = {}
        self._openings = 0

    @property
    def exhausted(self) -> bool:
        """Whether the image has more to open than ``MAXIMUM_OPENINGS``: later plugins stay unknown."""
        return self._openings > MAXIMUM_OPENINGS

    def program(self, path: ImagePath) -> ElfFacts:
        """One of the programs."""
        return self._objects[path]

    def loader(self, program: ImagePath) -> LoaderIdentity | None:
        """The dynamic loader that serves one of the programs."""
        return self._closures.loader_of(program)

    def open(self, plugin: ImagePath, elf: ElfFacts, opener: OpenPlugin) -> OpenedPlugin | None:
        """Let each plausible host open a plugin until one succeeds; None without a known host."""
        family = family_of(plugin)
        return self.open_as(family, plugin, elf, opener) if family is not None else None

    def open_as(
        self,
        family: PluginFamily,
        plugin: ImagePath,
        elf: ElfFacts,
        opener: OpenPlugin,
        before: tuple[ImagePath, ...] = (),
    ) -> OpenedPlugin | None:
        """Let the hosts of a family open a plugin, after what they open before it in any case."""
        if self.exhausted:
            return None
        hosts = self._likeliest(family, plugin, elf)
        best: OpenedPlugin | None = None
        fewest = 0
        asked: set[object] = set()
        for host in hosts:
            value = self._value(host) if len(hosts) > 1 else None
            if value is not None and value in asked:
                continue  # no better than its twin
            asked.add(value)
            sequence, link_map = self._open_in(host, plugin, family, opener, before)
            obstacles = link_map.obstacles
            if best is None or obstacles < fewest:
                best, fewest = OpenedPlugin(family, host, sequence, hosts, link_map), obstacles
            if not fewest:
                break
        return best

    def _value(self, host: ImagePath) -> object | None:
        """The same for all hosts in which the same happens to plugins."""
        if host not in self._values:
            entry = self._entries.get(host)
            self._values[host] = host_value(entry, self._objects[host]) if entry is not None else None
        return self._values[host]

    def _open_in(
        self,
        host: ImagePath,
        plugin: ImagePath,
        family: PluginFamily,
        opener: OpenPlugin,
        before: tuple[ImagePath, ...],
    ) -> tuple[tuple[ImagePath, ...], LinkMap]:
        """What one host opens before the plugin, and what happens then."""
        earlier = tuple(path for name in family.earlier for path in self._nearest(name, plugin)) + before
        sequence = (*earlier, plugin)
        self._openings += len(sequence)
        link_map = opener(host, sequence, family.now)
        if family.shared and link_map.missing_symbols:

            def opens(path: ImagePath) -> LinkMap:
                if (host, path) not in self._alone:
                    self._openings += 1
                    self._alone[host, path] = opener(host, (path,), family.now)
                return self._alone[host, path]

            if plugin.rpartition("/")[0] != self._directory:  # which comes once, as plugins come by path
                self._directory = plugin.rpartition("/")[0]
                self._defined.clear()
            helpers = self._helpers(plugin, family, link_map, opens, {plugin})[:MAXIMUM_HELPERS]
            sequence = (*earlier, *helpers, plugin)
            self._openings += len(sequence) ** 2
            if helpers:
                link_map = opener(host, sequence, family.now)
        return sequence, link_map

    def _helpers(
        self,
        plugin: ImagePath,
        family: PluginFamily,
        link_map: LinkMap,
        opens: Callable[[ImagePath], LinkMap],
        seen: set[ImagePath],
        depth: int = 2,
    ) -> tuple[ImagePath, ...]:
        """Plugins beside this one or a directory above that define what it misses, after those that
        they need themselves: the host's configuration loads them first."""
        wanted = link_map.missing_symbols.names
        found: dict[ImagePath, None] = {}
        for path in self._siblings(plugin, family):
            if path in seen or wanted.isdisjoint(self._definitions(path)):
                continue
            seen.add(path)
            alone = opens(path)
            if alone.missing_symbols and depth:
                found |= dict.fromkeys(self._helpers(path, family, alone, opens, seen, depth - 1))
            found[path] = None
        return tuple(found)

    def _definitions(self, path: ImagePath) -> frozenset[bytes]:
        found = self._defined.get(path)
        if found is None:
            table = self._objects[path].symbols
            found = self._defined[path] = DefinedSymbols(table).names if table else frozenset()
        return found

    def _siblings(self, plugin: ImagePath, family: PluginFamily) -> Sequence[ImagePath]:
        """Plugins beside one, and those of the same kind a directory above."""
        directory = plugin.rpartition("/")[0]
        above = self._by_directory.get(directory.rpartition("/")[0], [])
        beside = self._by_directory.get(directory, [])
        return [*beside, *(path for path in above if family.has(path))][:MAXIMUM_SIBLINGS]

    @cached_property
    def _by_directory(self) -> dict[str, list[ImagePath]]:
        found: dict[str, list[ImagePath]] = {}
        for path in self._objects:
            found.setdefault(path.rpartition("/")[0], []).append(path)
        return found

    def of(self, family: PluginFamily) -> tuple[ImagePath, ...]:
        """The hosts of one kind of plugin."""
        found = self._hosts.get(family.name)
        if found is None:
            named = family.named("\n".join(self._programs_by_name))
            libraries = family.opened_with(self._loaded_by)
            wanted = {path for name in named for path in self._programs_by_name[name]}
            wanted = wanted.union(*(self._loaded_by[name] for name in libraries))
            found = self._hosts[family.name] = tuple(path for path in self._programs if path in wanted)
        return found

    @cached_property
    def _programs_by_name(self) -> dict[str, list[ImagePath]]:
        found: dict[str, list[ImagePath]] = {}
        for path in self._programs:
            name = path.rpartition("/")[2]
            if "\n" not in name:  # no kind's hosts are called so
                found.setdefault(name, []).append(path)
        return found

    @cached_property
    def _loaded_by(self) -> dict[str, list[ImagePath]]:
        """The programs that load each of the libraries by which hosts of any kind are told."""
        starts = tuple({start for family in FAMILIES for start in family.libraries})
        telling = {name for name in self._closures.names if name.startswith(starts)}
        found: dict[str, list[ImagePath]] = {}
        for path in self._programs:
            for name in telling.intersection(self._closures.requested(path)):
                found.setdefault(name, []).append(path)
        return found

    def _likeliest(self, family: PluginFamily, plugin: ImagePath, elf: ElfFacts) -> tuple[ImagePath, ...]:
        """The hosts that fit a plugin, the likeliest first, at most ``MAXIMUM_HOSTS``."""
        tag = _PYTHON_TAG.search(plugin)
        directory = plugin.rpartition("/")[0]
        key = (family.name, directory, (elf.machine, elf.elf_class), tag and tag.groups())
        found = self._likely.get(key)
        if found is None:
            groups = self._grouped(family)
            found = self._likely[key] = tuple(islice(self._ranked(groups, *key[1:]), MAXIMUM_HOSTS))
        return found

    def _grouped(self, family: PluginFamily) -> _Groups:
        """The hosts of a family in groups that are equally likely for any plugin. A program known by its
        name opens such plugins more surely than one that has the library for it."""
        groups = self._groups.get(family.name)
        if groups is None:
            groups = self._groups[family.name] = ({}, {})
            for host in self.of(family):
                likely = groups[not family.names(host)]
                likely.setdefault(host.rpartition("/")[0], []).append(host)
        return groups

    def _ranked(
        self, groups: _Groups, directory: str, abi: tuple[int, int], version: tuple[str | None, ...] | None
    ) -> Iterator[ImagePath]:
        """The hosts of the plugins of a directory that have an ABI and a Python, the likeliest first."""
        for likely in groups:
            by_nearness: dict[int, list[ImagePath]] = {}
            for place, hosts in likely.items():
                by_nearness.setdefault(_shared_directories(place, directory), []).extend(hosts)
            for _, nearest in sorted(by_nearness.items(), reverse=True):
                yield from (host for host in sorted(nearest) if self._fits(host, abi, version))

    def _fits(self, host: ImagePath, abi: tuple[int, int], version: tuple[str | None, ...] | None) -> bool:
        """Same ABI, and the Python that a plugin's file name asks for."""
        program = self._objects[host]
        if (program.machine, program.elf_class) != abi:
            return False
        if version is None:
            return True
        names = (host.rpartition("/")[2], *self._closures.requested(host))
        versions = {match.groups() for name in names if (match := _PYTHON_NAME.match(name))}
        return not versions or version in versions

    def _named(self, name: str) -> list[ImagePath]:
        found = self._places.get(name)
        if found is None:
            end = f"/{name}"
            found = self._places[name] = [path for path in self._objects if path.endswith(end)]
        return found

    def _nearest(self, name: str, plugin: ImagePath) -> Sequence[ImagePath]:
        """The file of that name that shares most of its path with the plugin, if it is another."""
        places = self._named(name)
        nearest = max(places, key=lambda path: _shared(path, plugin), default=None)
        return () if nearest is None or nearest == plugin else (nearest,)


def _shared(one: str, other: str) -> int:
    """How many leading path components two paths share."""
    return _shared_directories(one.rpartition("/")[0], other.rpartition("/")[0])


def _shared_directories(one: str, other: str) -> int:
    """How many leading path components two directories share."""
    mine, others = one.split("/"), other.split("/")
    return next(
        (count for count, (a, b) in enumerate(zip(mine, others, strict=False)) if a != b),
        min(len(mine), len(others)),
    )
