"""Link maps of images that were worked out before: their ``ClosureTable``, what plugins find, and the whole
maps that rules asked for.

The layers' diff IDs in order, and what of the process environment loaders look at, enter; the table that
``Simulation.closures`` would give leaves, and the answers of ``plugin_map``. Dynamic loaders are kept by the
path that asks for them and looked up again, because their identity holds entries of the tree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial

from imagescan.cache.codec import Codecs
from imagescan.cache.columns import Damaged
from imagescan.cache.directory import CacheDirectory
from imagescan.cache.identity import program_identity
from imagescan.cache.value_files import Say, ValueFiles
from imagescan.cache.whole_maps import Asked, KeptMap, WholeMaps
from imagescan.cache.whole_maps import codecs as whole_map_codecs
from imagescan.dataclasses import dataclass, replace
from imagescan.filesystem.values import RootFilesystem
from imagescan.layers.values import ImagePath, LayerIndex
from imagescan.loader.closure_table import ClosureTable
from imagescan.loader.environment import ProcessEnvironment
from imagescan.loader.identify import identify_loader
from imagescan.loader.simulate import Simulation
from imagescan.loader.values import (
    BriefLinkMap,
    LinkMap,
    LinkProblems,
    LoaderIdentity,
    WholeLinkMap,
)

LINKS = "links"
_PLUGINS, _WHOLE = ".plugins", ".whole"  # ends of names
LOADER_VARIABLES = "LD_"  # how the names of all variables begin that the loader room asks for


@dataclass(frozen=True, slots=True)
class KeptTable:
    """A table without its loaders, and the paths that ask for them."""

    table: ClosureTable
    loaders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Opened:
    """What happened when a program opened plugins, one after the other: ``Simulation.plugin_map``."""

    host: ImagePath
    plugins: tuple[ImagePath, ...]
    now: bool
    program: ImagePath
    loader: str | None
    problems: LinkProblems


class RememberedMaps:
    """The link maps of a simulation, which is asked only for those that nobody has asked for before."""

    def __init__(
        self,
        simulation: Simulation,
        known: Iterable[_Opened],
        identify: Callable[[str], LoaderIdentity],
        whole: WholeMaps,
    ) -> None:
        self._simulation, self._identify = simulation, identify
        self._opened = {(one.host, one.plugins, one.now): one for one in known}
        self.whole = whole
        self.has_grown = False

    @property
    def opened(self) -> tuple[_Opened, ...]:
        """Everything that was ever opened."""
        return tuple(self._opened.values())

    def link_map(self, path: ImagePath) -> WholeLinkMap:
        """See ``Simulation.link_map``."""
        return self.whole.get(Asked(path), partial(self._simulation.simulate, path))

    def plugin_map(self, host: ImagePath, plugins: tuple[ImagePath, ...], now: bool) -> LinkMap:
        """See ``Simulation.plugin_map``."""
        known = self._opened.get((host, plugins, now))

        def remake(program: ImagePath) -> WholeLinkMap:
            make = partial(self._simulation.whole_plugin_map, host, plugins, now)
            return self.whole.get(Asked(host, plugins, now), make)

        if known is None:
            found = self._simulation.plugin_map(host, plugins, now)
            loader = found.loader.requested if found.loader else None
            opened = _Opened(host, plugins, now, found.program, loader, found.problems)
            self._opened[host, plugins, now] = opened
            self.has_grown = True
            return replace(found, maker=remake)
        loader_identity = None if known.loader is None else self._identify(known.loader)
        return BriefLinkMap(known.program, loader_identity, known.problems, remake)

    def forget(self) -> None:
        """See ``Simulation.forget``; what is kept for other scans stays."""
        self._simulation.forget()


def table_key(layers: Sequence[LayerIndex], process: ProcessEnvironment) -> str:
    """The name under which the link maps of these layers in this environment are kept: it covers the
    program too, because its model of the loaders gave them."""
    variables = {
        name: value for name, value in process.variables.items() if name.startswith(LOADER_VARIABLES)
    }
    environment = replace(process, variables=dict(sorted(variables.items())))
    parts = program_identity(), [str(layer.diff_id) for layer in layers], environment
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()


class LinkTableCache:
    """Finds and keeps tables.

    Args:
        directory: where.
        say: told, in one line each, what was dropped.
        warn: told that a table cannot be kept, and why.
    """

    def __init__(self, directory: CacheDirectory, say: Say, warn: Say) -> None:
        self._tables = ValueFiles(directory, LINKS, KeptTable, say, warn, _codecs)
        self._plugins = ValueFiles(directory, LINKS, _Opened, say, warn)
        self._whole = ValueFiles(directory, LINKS, KeptMap, say, warn, whole_map_codecs)

    def find(self, key: str, filesystem: RootFilesystem, process: ProcessEnvironment) -> ClosureTable | None:
        """The table that was kept under a key, for the same tree."""
        found = self._tables.read(key, check)
        if not found:
            return None
        kept: KeptTable = found[0]
        loaders = tuple(identify_loader(filesystem, process, one) for one in kept.loaders)
        return replace(kept.table, loaders=loaders)

    def keep(self, key: str, table: ClosureTable) -> bool:
        """Keep a table; says whether it could be."""
        paths = tuple(one.requested for one in table.loaders)
        return self._tables.write(key, [KeptTable(replace(table, loaders=()), paths)])

    def remembered(
        self, key: str, simulation: Simulation, filesystem: RootFilesystem, process: ProcessEnvironment
    ) -> RememberedMaps:
        """Link maps that know what was kept under a key."""
        known = self._plugins.read(key + _PLUGINS)
        identify = cache(partial(identify_loader, filesystem, process))
        whole = WholeMaps(filesystem, identify, lambda: self._whole.read(key + _WHOLE))
        return RememberedMaps(simulation, known, identify, whole)

    def keep_remembered(self, key: str, maps: RememberedMaps) -> bool:
        """Keep what was asked for in this scan, if it is more than before; says whether it was."""
        kept = maps.has_grown and self._plugins.write(key + _PLUGINS, maps.opened)
        if maps.whole.has_grown:
            kept |= self._whole.write(key + _WHOLE, maps.whole.kept)
        return kept


def _codecs() -> Codecs:
    """How kept tables are written."""
    return Codecs(outside=(LoaderIdentity,))


def check(kept: KeptTable) -> None:
    """Whether the columns of a table belong together.

    Raises:
        Damaged: a length or an index that cannot be.
    """
    table = kept.table
    files, starts = len(table.files), table.starts
    sound = (
        list(table.files) == sorted(table.files)
        and len(table.served_by) == files
        and len(starts) == files + 1
        and starts[0] == 0
        and starts[-1] == len(table.loaded) == len(table.asked)
        and list(starts) == sorted(starts)
        and max(table.loaded, default=-1) < files
        and min(table.loaded, default=0) >= 0
        and max(table.asked, default=-1) < len(table.names)
        and min(table.asked, default=0) >= 0
        and max(table.served_by, default=-1) < len(kept.loaders)
        and min(table.served_by, default=-1) >= -1
        and all(0 <= number < files for number in table.problems)
    )
    if not sound:
        raise Damaged("columns that do not belong together")
