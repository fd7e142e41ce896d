"""Plugins and the programs that open them.

Paths and link maps of an image enter; for each shared object that only ``dlopen`` reaches the
plausible host programs leave, and what happens when the best of them opens it. Follows
``loader.md`` section 10: what a plugin lacks may come from its host, so nothing is called missing
before every host that the image has was asked. A plugin without a known host stays unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from imagescan.dataclasses import dataclass
from imagescan.elf.facts import ElfFacts
from imagescan.layers.values import ImagePath
from imagescan.loader.closure_table import ClosureTable
from imagescan.loader.values import LinkMap, LoaderIdentity
from imagescan.patterns import pattern
from imagescan.plugins.families import PluginFamily, family_of

MAXIMUM_HOSTS = 6  # programs asked for one plugin; more of a kind rarely differ
MAXIMUM_OPENINGS = 50_000  # objects opened for the plugins of one image; a large one takes 5,000
MAXIMUM_HELPERS = 16  # plugins that a host opens before the one that needs them
MAXIMUM_SIBLINGS = 400  # plugins of one directory that are looked through for a missing symbol

OpenPlugin = Callable[[ImagePath, tuple[ImagePath, ...], bool], LinkMap]
"""What happens when a program opens objects one after the other: the answer for the last one."""


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
    ) -> None:
        self._programs = tuple(programs)
        self._closures = closures
        self._objects = objects
        self._by_name: dict[str, list[ImagePath]] = {}
        self._by_directory: dict[str, list[ImagePath]] = {}
        for path in objects:
            directory, _, name = path.rpartition("/")
            self._by_name.setdefault(name, []).append(path)
            self._by_directory.setdefault(directory, []).append(path)
        self._hosts: dict[str, tuple[ImagePath, ...]] = {}
        self._names: dict[ImagePath, frozenset[str]] = {}
        self._alone: dict[tuple[ImagePath, ImagePath], LinkMap] = {}
        self._defined: dict[ImagePath, frozenset[bytes]] = {}
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
        fitting = [host for host in self.of(family) if self._fits(plugin, elf, host)]
        # A program known by its name opens such plugins more surely than one that has the library for it.
        fitting.sort(key=lambda host: (not family.names(host), -_shared(host, plugin), host))
        hosts = tuple(fitting[:MAXIMUM_HOSTS])
        best: OpenedPlugin | None = None
        for host in hosts:
            sequence, link_map = self._open_in(host, plugin, family, opener, before)
            opened = OpenedPlugin(family, host, sequence, hosts, link_map)
            if best is None or opened.link_map.obstacles < best.link_map.obstacles:
                best = opened
            if not best.link_map.obstacles:
                break
        return best

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

            helpers = self._helpers(plugin, family, link_map, opens, {plugin})[:MAXIMUM_HELPERS]
            sequence = (*earlier, *helpers, plugin)
            self._openings += len(sequence) ** 2
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
        wanted = {one.symbol.encode("utf-8", "surrogateescape") for one in link_map.missing_symbols}
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
            found = frozenset(one.name for one in table.definitions()) if table else frozenset()
            self._defined[path] = found
        return found

    def _siblings(self, plugin: ImagePath, family: PluginFamily) -> Sequence[ImagePath]:
        """Plugins beside one, and those of the same kind a directory above."""
        directory = plugin.rpartition("/")[0]
        above = self._by_directory.get(directory.rpartition("/")[0], [])
        beside = self._by_directory.get(directory, [])
        return [*beside, *(path for path in above if family.has(path))][:MAXIMUM_SIBLINGS]

    def of(self, family: PluginFamily) -> tuple[ImagePath, ...]:
        """The hosts of one kind of plugin."""
        found = self._hosts.get(family.name)
        if found is None:
            libraries = family.opened_with(self._closures.names)
            found = tuple(
                path
                for path in self._programs
                if family.names(path) or not libraries.isdisjoint(self._requested(path))
            )
            self._hosts[family.name] = found
        return found

    def _requested(self, program: ImagePath) -> frozenset[str]:
        """The names of what a program loads."""
        found = self._names.get(program)
        if found is None:
            found = self._names[program] = frozenset(self._closures.requested(program))
        return found

    def _fits(self, plugin: ImagePath, elf: ElfFacts, host: ImagePath) -> bool:
        """Same ABI, and the Python that a file name asks for."""
        program = self._objects[host]
        if (program.machine, program.elf_class) != (elf.machine, elf.elf_class):
            return False
        tag = _PYTHON_TAG.search(plugin)
        if tag is None:
            return True
        names = (host.rpartition("/")[2], *self._requested(host))
        versions = {match.groups() for name in names if (match := _PYTHON_NAME.match(name))}
        return not versions or tag.groups() in versions

    def _nearest(self, name: str, plugin: ImagePath) -> Sequence[ImagePath]:
        """The file of that name that shares most of its path with the plugin, if it is another."""
        places = self._by_name.get(name, [])
        nearest = max(places, key=lambda path: _shared(path, plugin), default=None)
        return () if nearest is None or nearest == plugin else (nearest,)


def _shared(one: str, other: str) -> int:
    """How many leading path components two paths share."""
    pairs = zip(one.split("/")[:-1], other.split("/")[:-1], strict=False)
    return next(
        (count for count, (a, b) in enumerate(pairs) if a != b), min(one.count("/"), other.count("/"))
    )
