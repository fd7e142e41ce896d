"""Which package a file of the image belongs to.

The merged file system with its kept database files enters; an ``Ownership`` leaves: packages, the
owner of each path, and what could not be read. Paths are canonical on the way in; databases write
them as the package had them, so a merged /usr (``/lib`` is a link to ``/usr/lib``) and dpkg's
diversions are taken into account.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from imagescan.dataclasses import dataclass, field
from imagescan.filesystem.values import RootFilesystem
from imagescan.packages import dpkg
from imagescan.packages.apk import read_installed
from imagescan.packages.rpm import read_packages
from imagescan.packages.values import (
    MAXIMUM_PATH_CHARACTERS,
    MAXIMUM_PATHS,
    DamagedDatabase,
    DatabaseFile,
    InstalledPackage,
    Package,
)

DPKG_DIRECTORY = "/var/lib/dpkg"
APK_DATABASES = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")
RPM_DIRECTORIES = ("/var/lib/rpm", "/usr/lib/sysimage/rpm", "/usr/share/rpm")
RPM_DATABASES = ("rpmdb.sqlite", "Packages.db", "Packages")
MERGED_DIRECTORIES = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "libo32")


@dataclass(frozen=True, slots=True)
class UnreadDatabase:
    """A database file that could not be read to its end, and why in one phrase."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Ownership:
    """The image's packages, in the order of its databases, and whose each path is."""

    packages: tuple[Package, ...] = ()
    unread: tuple[UnreadDatabase, ...] = ()
    _owners: Mapping[str, Package] = field(default_factory=dict, repr=False)
    _libraries: Mapping[str, tuple[Package, ...]] = field(default_factory=dict, repr=False)
    _merged: tuple[tuple[str, str], ...] = ()

    def owner(self, path: str) -> Package | None:
        """The package that brought the file at a canonical path; also of a file that is gone since."""
        found = self._owners.get(path)
        if found is not None:
            return found
        for real, listed in self._merged:
            if path.startswith(real):
                found = self._owners.get(listed + path[len(real) :])
                if found is not None:
                    return found
        return None

    def bringing(self, name: str) -> tuple[Package, ...]:
        """The installed packages that brought a shared library of this file name."""
        return self._libraries.get(name, ())


def read_ownership(filesystem: RootFilesystem) -> Ownership:
    """Read every package database of the image. What is damaged is left out and told."""
    table = _Table()
    table.take(f"{DPKG_DIRECTORY}/status", _read_dpkg(filesystem))
    for path in APK_DATABASES:
        data = _data(filesystem, path)
        if data is not None:
            table.take(path, read_installed(data))
            break
    for path, packages in _read_rpm(filesystem):
        table.take(path, packages)
    for diversion in table.guard(f"{DPKG_DIRECTORY}/diversions", lambda: _diversions(filesystem)):
        table.divert(diversion)
    return Ownership(
        tuple(table.packages), tuple(table.unread), table.owners, table.libraries, _merged(filesystem)
    )


class _Table:
    """Collects packages and paths within the limits."""

    def __init__(self) -> None:
        self.packages: list[Package] = []
        self.unread: list[UnreadDatabase] = []
        self.owners: dict[str, Package] = {}
        self.libraries: dict[str, tuple[Package, ...]] = {}
        self._characters = 0
        self._shared: dict[str, list[Package]] = {}

    def take(self, database: str, packages: Iterable[InstalledPackage]) -> None:
        """Add every package of one database, up to what is damaged."""
        try:
            for installed in packages:
                self.packages.append(installed.package)
                paths = installed.paths
                if isinstance(paths, list) and self._has_room(paths):
                    self._add_all(paths, installed.package)
                    continue
                for path in paths:
                    self._add(path, installed.package)
        except DamagedDatabase as error:
            self.unread.append(UnreadDatabase(database, error.message))

    def _has_room(self, paths: Sequence[str]) -> bool:
        """Whether so many paths more stay within the limits."""
        return (
            len(self.owners) + len(paths) <= MAXIMUM_PATHS
            and self._characters + sum(map(len, paths)) <= MAXIMUM_PATH_CHARACTERS
        )

    def _add_all(self, paths: Sequence[str], package: Package) -> None:
        """``_add`` for each path, where no limit is near; a dictionary does it in a loop of its own."""
        self._characters += sum(map(len, paths))
        for path in filter(self.owners.__contains__, paths):
            self._shared.setdefault(path, [self.owners[path]]).append(package)
        self.owners.update(dict.fromkeys(paths, package))
        for path in paths:
            if ".so" in path:
                self._add_library(path, package)

    def _add(self, path: str, package: Package) -> None:
        self._characters += len(path)
        if len(self.owners) >= MAXIMUM_PATHS or self._characters > MAXIMUM_PATH_CHARACTERS:
            raise DamagedDatabase("more files than a package database may have")
        before = self.owners.get(path)
        if before is not None:
            self._shared.setdefault(path, [before]).append(package)
        self.owners[path] = package
        if ".so" in path:
            self._add_library(path, package)

    def _add_library(self, path: str, package: Package) -> None:
        name = path.rpartition("/")[2]
        self.libraries[name] = (*self.libraries.get(name, ())[-8:], package)

    def guard(
        self, database: str, read: Callable[[], tuple[dpkg.Diversion, ...]]
    ) -> tuple[dpkg.Diversion, ...]:
        """The diversions, or none and a remark."""
        try:
            return read()
        except DamagedDatabase as error:
            self.unread.append(UnreadDatabase(database, error.message))
            return ()

    def divert(self, diversion: dpkg.Diversion) -> None:
        """At the diverted path lies the diverting package's file; where it was moved to, the others'."""
        owners = self._shared.get(diversion.path) or [
            one for one in (self.owners.get(diversion.path),) if one is not None
        ]
        by = {one.name == diversion.package: one for one in owners}
        if False in by:
            self.owners[diversion.moved_to] = by[False]
        if True in by:
            self.owners[diversion.path] = by[True]
        else:
            self.owners.pop(diversion.path, None)


def _read_dpkg(filesystem: RootFilesystem) -> Iterator[InstalledPackage]:
    names = frozenset(_children(filesystem, f"{DPKG_DIRECTORY}/info"))
    data = _data(filesystem, f"{DPKG_DIRECTORY}/status")
    for package in dpkg.read_status(data) if data else ():
        name = next((name for name in dpkg.list_name(package) if name in names), None)
        listed = _data(filesystem, f"{DPKG_DIRECTORY}/info/{name}") if name else None
        yield InstalledPackage(package, dpkg.read_list(listed) if listed else ())
    directory = f"{DPKG_DIRECTORY}/status.d"
    for name in _children(filesystem, directory):
        data = None if name.endswith(".md5sums") else _data(filesystem, f"{directory}/{name}")
        for package in dpkg.read_status(data) if data else ():
            sums = _data(filesystem, f"{directory}/{name}.md5sums")
            yield InstalledPackage(package, dpkg.read_checksums(sums) if sums else ())


def _diversions(filesystem: RootFilesystem) -> tuple[dpkg.Diversion, ...]:
    return dpkg.read_diversions(_data(filesystem, f"{DPKG_DIRECTORY}/diversions") or b"")


def _read_rpm(filesystem: RootFilesystem) -> Iterator[tuple[str, Iterator[InstalledPackage]]]:
    seen: set[str] = set()
    for directory in RPM_DIRECTORIES:
        for name in RPM_DATABASES:
            entry = filesystem.resolve(f"{directory}/{name}").entry
            data = _data(filesystem, f"{directory}/{name}")
            if entry is not None and data and entry.path not in seen:
                seen.add(entry.path)
                log = _data(filesystem, f"{entry.path}-wal") or b""
                yield entry.path, read_packages(data, log)
                break


def _data(filesystem: RootFilesystem, path: str) -> bytes | None:
    """The bytes of a kept database file, None where there is none."""
    entry = filesystem.resolve(path).entry
    content = entry.content if entry is not None else None
    return content.data if isinstance(content, DatabaseFile) else None


def _children(filesystem: RootFilesystem, directory: str) -> tuple[str, ...]:
    entry = filesystem.resolve(directory).entry
    return filesystem.children(entry.path) if entry is not None else ()


def _merged(filesystem: RootFilesystem) -> tuple[tuple[str, str], ...]:
    """Real prefixes of the top directories that are links, and as what databases list them."""
    found = []
    for name in MERGED_DIRECTORIES:
        resolved = filesystem.resolve(f"/{name}")
        if resolved.hops and resolved.entry is not None:
            found.append((f"{resolved.entry.path}/", f"/{name}/"))
    return tuple(found)
