"""dpkg's database: what is installed, which files it brought, which were diverted.

Bytes of ``/var/lib/dpkg/status`` (and of distroless images' ``status.d/*``), ``info/*.list`` and
``diversions`` enter; ``Package`` values and paths leave. deb822(5), dpkg-query(1) and
dpkg-divert(1) describe the formats.
"""

from __future__ import annotations

from collections.abc import Iterator

from imagescan.dataclasses import dataclass
from imagescan.packages.values import (
    MAXIMUM_PACKAGES,
    DamagedDatabase,
    Package,
    PackageManager,
)
from imagescan.patterns import pattern

# A package in one of these states has no files of its own.
_WITHOUT_FILES = frozenset({"not-installed", "config-files"})
_DEPENDING, _OPTIONAL = ("Pre-Depends", "Depends"), ("Recommends", "Suggests")
_WANTED = frozenset({"Package", "Status", "Version", "Architecture", "Source", *_DEPENDING, *_OPTIONAL})
_RELATED = pattern(r"(?:^|[,|])\s*([a-z0-9][a-z0-9+.-]*)")


@dataclass(frozen=True, slots=True)
class Diversion:
    """``package`` brings its own file at ``path``; what others bring there lies at ``moved_to``.

    ``package`` is "" for a local diversion, whose file at ``path`` is nobody's.
    """

    path: str
    moved_to: str
    package: str


def read_status(data: bytes) -> Iterator[Package]:
    """The packages of a status file that have files on disk, in its order.

    Raises:
        DamagedDatabase: a paragraph without a name or version, or too many of them.
    """
    for count, fields in enumerate(_paragraphs(data)):
        if count >= MAXIMUM_PACKAGES:
            raise DamagedDatabase(f"more than {MAXIMUM_PACKAGES} packages")
        state = fields.get("Status", "installed").rpartition(" ")[2]
        if state in _WITHOUT_FILES:
            continue
        if "Package" not in fields or "Version" not in fields:
            raise DamagedDatabase("a paragraph without Package or Version")
        name = fields["Package"]
        source = fields.get("Source", name).partition(" ")[0]
        yield Package(
            name,
            fields["Version"],
            fields.get("Architecture", ""),
            source,
            PackageManager.DPKG,
            *_related(fields),
        )


def _related(fields: dict[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The packages that relationship fields (deb822; Debian Policy 7.1) name as needed, and as wanted."""
    needed = dict.fromkeys(name for field in _DEPENDING for name in _RELATED.findall(fields.get(field, "")))
    wanted = (name for field in _OPTIONAL for name in _RELATED.findall(fields.get(field, "")))
    return tuple(needed), tuple(dict.fromkeys(name for name in wanted if name not in needed))


def _paragraphs(data: bytes) -> Iterator[dict[str, str]]:
    fields: dict[str, str] = {}
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        if not line.strip():
            if fields:
                yield fields
            fields = {}
        elif line[0] not in " \t#":
            name, separator, value = line.partition(":")
            if not separator:
                raise DamagedDatabase(f"a line that is no field: {line[:60]!r}")
            fields.setdefault(name, value.strip() if name in _WANTED else "")
    if fields:
        yield fields


def read_list(data: bytes) -> list[str]:
    """The absolute paths of an ``info/PACKAGE.list``."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    return [line for line in lines if line.startswith("/") and line != "/."]


def read_checksums(data: bytes) -> list[str]:
    """The absolute paths of a ``PACKAGE.md5sums``: all that distroless images keep of lists."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    return [f"/{path}" for _, separator, path in (line.partition("  ") for line in lines) if separator]


def read_diversions(data: bytes) -> tuple[Diversion, ...]:
    """The diversions: three lines each.

    Raises:
        DamagedDatabase: a group that is cut short.
    """
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    if lines[-1] == "":
        lines.pop()
    if len(lines) % 3:
        raise DamagedDatabase("a diversion that is cut short")
    groups = zip(lines[::3], lines[1::3], lines[2::3], strict=True)
    return tuple(Diversion(path, moved, "" if owner == ":" else owner) for path, moved, owner in groups)


def list_name(package: Package) -> tuple[str, str]:
    """The names that a package's list may have: with the architecture when it may be installed for
    several, else without."""
    return f"{package.name}:{package.architecture}.list", f"{package.name}.list"
