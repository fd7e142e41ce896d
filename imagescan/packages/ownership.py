"""Which package a file of the image belongs to.

The merged file system with its kept database files enters; an ``Ownership`` leaves: packages, the
owner of each path, and what could not be read. Paths are canonical on the way in; databases write
them as the package had them, so a merged /usr (``/lib`` is a link to ``/usr/lib``) and dpkg's
diversions are taken into account.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from imagescan.dataclasses import dataclass
from imagescan.filesystem.values import RootFilesystem
from imagescan.packages import dpkg
from imagescan.packages.apk import read_installed
from imagescan.packages.paths import LateOwners, Owners, PathList, PathTable, fits
from imagescan.packages.rpm import read_packages
from imagescan.packages.values import DamagedDatabase, DatabaseFile, InstalledPackage, Package

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


class Ownership:
    """The image's packages, in the order of its databases, and whose each path is.

    ``unread`` is what could not be read of the databases. ``merged`` are the real prefixes of top
    directories that are links, and as what databases list them.
    """

    def __init__(
        self,
        packages: Sequence[Package] = (),
        unread: Sequence[UnreadDatabase] = (),
        owners: Owners | None = None,
        merged: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.packages, self.unread = tuple(packages), tuple(unread)
        self._owners, self._merged = owners or PathTable(), merged

    def owner(self, path: str) -> Package | None:
        """The package that brought the file at a canonical path; also of a file that is gone since."""
        table = self._owners.table(path)
        for listed in spellings(path, self._merged):
            found = table.owners.get(listed)
            if found is not None:
                return found
        return None

    def bringing(self, name: str) -> tuple[Package, ...]:
        """The installed packages that brought a shared library of this file name."""
        return self._owners.table().libraries.get(name, ())


def read_ownership(filesystem: RootFilesystem) -> Ownership:
    """Read every package database of the image. What is damaged is left out and told."""
    has_others = any(_data(filesystem, path) is not None for path in APK_DATABASES)
    if not has_others and next(_rpm_databases(filesystem), None) is None:
        late = _read_late(filesystem)
        if late is not None:
            return late
    return _read_at_once(filesystem)


def _read_late(filesystem: RootFilesystem) -> Ownership | None:
    """What dpkg says, its lists unread until somebody asks for a path; None where they may be too long."""
    packages: list[Package] = []
    lists: list[tuple[Package, PathList]] = []
    unread: list[UnreadDatabase] = []
    try:
        for package, paths in _read_dpkg(filesystem):
            packages.append(package)
            if paths is not None:
                lists.append((package, paths))
    except DamagedDatabase as error:
        unread.append(UnreadDatabase(f"{DPKG_DIRECTORY}/status", error.message))
    if not fits(paths for _, paths in lists):
        return None
    diversions = _diversions(filesystem, unread)
    merged = _merged(filesystem)

    def likely() -> set[str]:
        contents = filesystem.contents()
        found: set[str] = {one.path for one in contents if not isinstance(one.content, DatabaseFile)}
        for real, listed in merged:
            found.update([listed + path[len(real) :] for path in found if path.startswith(real)])
        return found

    return Ownership(packages, unread, LateOwners(lists, diversions, likely), merged)


def _read_at_once(filesystem: RootFilesystem) -> Ownership:
    """What all databases say, within the limits."""
    packages: list[Package] = []
    unread: list[UnreadDatabase] = []
    table = PathTable()

    def take(database: str, found: Iterable[InstalledPackage]) -> None:
        try:
            for one in found:
                packages.append(one.package)
                table.add(one.paths, one.package)
        except DamagedDatabase as error:
            unread.append(UnreadDatabase(database, error.message))

    listed = _read_dpkg(filesystem)
    take(
        f"{DPKG_DIRECTORY}/status",
        (InstalledPackage(one, paths.paths if paths else ()) for one, paths in listed),
    )
    for path in APK_DATABASES:
        data = _data(filesystem, path)
        if data is not None:
            take(path, read_installed(data))
            break
    for path in _rpm_databases(filesystem):
        log = _data(filesystem, f"{path}-wal") or b""
        take(path, read_packages(_data(filesystem, path) or b"", log))
    for diversion in _diversions(filesystem, unread):
        table.divert(diversion)
    return Ownership(packages, unread, table, _merged(filesystem))


def spellings(path: str, merged: Iterable[tuple[str, str]]) -> Iterator[str]:
    """A canonical path, and as what databases may list it."""
    yield path
    for real, listed in merged:
        if path.startswith(real):
            yield listed + path[len(real) :]


def _read_dpkg(filesystem: RootFilesystem) -> Iterator[tuple[Package, PathList | None]]:
    """Each package, and the file that lists its paths."""
    info = f"{DPKG_DIRECTORY}/info"
    names = frozenset(_children(filesystem, info))
    kept = _kept_files(filesystem, info)
    data = _data(filesystem, f"{DPKG_DIRECTORY}/status")
    for package in dpkg.read_status(data) if data else ():
        name = next((name for name in dpkg.list_name(package) if name in names), None)
        listed = (kept.get(name) or _file(filesystem, f"{info}/{name}")) if name else None
        yield package, PathList(listed, dpkg.read_lines) if listed else None
    directory = f"{DPKG_DIRECTORY}/status.d"
    for name in _children(filesystem, directory):
        data = None if name.endswith(".md5sums") else _data(filesystem, f"{directory}/{name}")
        for package in dpkg.read_status(data) if data else ():
            sums = _file(filesystem, f"{directory}/{name}.md5sums")
            yield package, PathList(sums, dpkg.read_checksums) if sums else None


def _kept_files(filesystem: RootFilesystem, directory: str) -> dict[str, DatabaseFile]:
    """The database files in a directory, by name; not those that links in it lead to."""
    entry = filesystem.resolve(directory).entry
    found = {}
    for one in filesystem.contents() if entry is not None else ():
        if isinstance(one.content, DatabaseFile):
            place, _, name = one.path.rpartition("/")
            if entry is not None and place == entry.path:
                found[name] = one.content
    return found


def _diversions(filesystem: RootFilesystem, unread: list[UnreadDatabase]) -> tuple[dpkg.Diversion, ...]:
    """The diversions, or none and a remark."""
    path = f"{DPKG_DIRECTORY}/diversions"
    try:
        return dpkg.read_diversions(_data(filesystem, path) or b"")
    except DamagedDatabase as error:
        unread.append(UnreadDatabase(path, error.message))
        return ()


def _rpm_databases(filesystem: RootFilesystem) -> Iterator[str]:
    """The canonical path of the database that rpm would use in each directory, every one once."""
    seen: set[str] = set()
    for directory in RPM_DIRECTORIES:
        for name in RPM_DATABASES:
            entry = filesystem.resolve(f"{directory}/{name}").entry
            if entry is not None and _data(filesystem, entry.path) and entry.path not in seen:
                seen.add(entry.path)
                yield entry.path
                break


def _data(filesystem: RootFilesystem, path: str) -> bytes | None:
    """The bytes of a kept database file, None where there is none."""
    found = _file(filesystem, path)
    return found.data if found is not None else None


def _file(filesystem: RootFilesystem, path: str) -> DatabaseFile | None:
    entry = filesystem.resolve(path).entry
    content = entry.content if entry is not None else None
    return content if isinstance(content, DatabaseFile) else None


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
