"""dpkg's database: what is installed, which files it brought, which were diverted.

Bytes of ``/var/lib/dpkg/status`` (and of distroless images' ``status.d/*``), ``info/*.list`` and
``diversions`` enter; ``Package`` values and paths leave. deb822(5), dpkg-query(1) and
dpkg-divert(1) describe the formats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

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
_WANTED = ("Package", "Status", "Version", "Architecture", "Source", *_DEPENDING, *_OPTIONAL)
_STARTS = tuple((name, f"\n{name}:") for name in _WANTED)
# A line that is no field, or that is blank and yet not empty.
_UNUSUAL = pattern(r"\n(?:[^ \t#\n:][^:\n]*|[^\S\n]+)(?:\n|\Z)")


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
            ",".join(filter(None, map(fields.get, _DEPENDING))),
            ",".join(filter(None, map(fields.get, _OPTIONAL))),
        )


def _paragraphs(data: bytes) -> Iterator[Mapping[str, str]]:
    """The wanted fields of each paragraph."""
    text = data.decode("utf-8", "surrogateescape")
    first_line = "\n" + text[: text.find("\n") + 1]
    if _UNUSUAL.search(first_line) or _UNUSUAL.search(text):
        yield from _read_lines(text)
        return
    for paragraph in _split(text):
        fields = _read_fields(f"\n{paragraph}\n")
        if "Package" in fields:
            yield fields
        else:  # no field at all, or too few of them
            yield from _read_lines(paragraph)


def _split(text: str) -> Iterator[str]:
    """The paragraphs of a text one by one: together they would take as much memory again."""
    start, end = 0, text.find("\n\n")
    while end >= 0:
        yield text[start:end]
        start = end + 2
        end = text.find("\n\n", start)
    yield text[start:]


def _read_fields(paragraph: str) -> dict[str, str]:
    """The wanted fields of a paragraph between line ends, in which each line is usual. The first counts."""
    fields = {}
    for name, start in _STARTS:
        found = paragraph.find(start)
        if found >= 0:
            found += len(start)
            fields[name] = paragraph[found : paragraph.find("\n", found)].strip()
    return fields


def _read_lines(text: str) -> Iterator[Mapping[str, str]]:
    """The paragraphs of any text, line by line."""
    fields: dict[str, str] = {}
    for line in text.split("\n"):
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


def read_lines(data: bytes) -> list[str]:
    """The lines of an ``info/PACKAGE.list``: its paths, and whatever else is in it."""
    return data.decode("utf-8", "surrogateescape").split("\n")


def read_checksums(data: bytes) -> list[str]:
    """The absolute paths of a ``PACKAGE.md5sums``: all that distroless images keep of lists."""
    lines = read_lines(data)
    return [f"/{path}" for _, separator, path in (line.partition("  ") for line in lines) if separator]


def read_diversions(data: bytes) -> tuple[Diversion, ...]:
    """The diversions: three lines each.

    Raises:
        DamagedDatabase: a group that is cut short.
    """
    lines = read_lines(data)
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
