"""What is known of distributions, for advice: documents with sources, never guesses.

The YAML documents and library tables of ``rules/data`` (and of a user's folder) enter, a
``Knowledge`` leaves. Reading is strict, as for rules. ``docs/rules/FORMAT.md`` describes the
documents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, ValuesView
from fnmatch import fnmatchcase
from functools import cache
from types import MappingProxyType

from imagescan.bundles.bundle import HOSTS, BundleKnowledge, BundleLoader
from imagescan.dataclasses import dataclass, field
from imagescan.errors import RuleError
from imagescan.patterns import pattern
from imagescan.rules.yaml_reader import Node, Parse, read_yaml
from imagescan.variants import BUILTIN

_NUMBERS = pattern(r"\d{1,9}")
_NODE_RELEASE = pattern(r"\d+(?:\.\d+)*")


@dataclass(frozen=True, slots=True)
class Distribution:
    """Which of its releases has which release of a component, oldest first.

    ``identifiers`` are the os-release IDs that it holds for, its own first.
    """

    name: str
    identifiers: tuple[str, ...]
    releases: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Component:
    """A library whose version nodes tell its release.

    ``nodes`` maps nodes to releases; a node that starts with ``prefix`` says its release itself,
    behind ``prefix_release``. ``newer`` is whether every later release has the node too.
    """

    name: str
    prefix: str
    prefix_release: str
    nodes: Mapping[str, str]
    newer: bool
    distributions: tuple[Distribution, ...]

    def release_of(self, node: str) -> str:
        """The release that brought a version node, or ""."""
        if node in self.nodes:
            return self.nodes[node]
        rest = node.removeprefix(self.prefix) if self.prefix and node.startswith(self.prefix) else ""
        return self.prefix_release + rest if _NODE_RELEASE.fullmatch(rest) else ""


@dataclass(frozen=True, slots=True)
class RenamedLibrary:
    """A library that a distribution (by ID, from a release on) has elsewhere; ``package`` may be ""."""

    library: str
    since: Mapping[str, str]
    package: str
    advice: str


LibraryTable = Mapping[str, tuple[str, ...]]  # library name to packages
TableReader = Callable[[], "LibraryPackages"]


@dataclass(frozen=True, slots=True)
class LibraryPackages:
    """The packages of one release's libraries, for the machines that the table was made for."""

    architectures: tuple[str, ...]
    packages: LibraryTable


class LateTable(Mapping[str, tuple[str, ...]]):
    """A library table that is read when it is first looked into: most images lack no library, and reading
    takes 9 ms. Whatever ``read`` raises is raised then."""

    def __init__(self, read: Callable[[], LibraryTable]) -> None:
        self._table = cache(read)

    def __getitem__(self, library: str) -> tuple[str, ...]:
        return self._table()[library]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table())

    def __len__(self) -> int:
        return len(self._table())

    def values(self) -> ValuesView[tuple[str, ...]]:
        """See ``Mapping.values``; here at the pace of the table itself."""
        return self._table().values()


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Everything known. ``injected`` maps name patterns to who brings them; ``tables`` are read when
    first asked for, by os-release ID and VERSION_ID. ``loaders`` lay out native code in several builds,
    ``words`` name platforms in their paths (system, architecture, C library). What comes first in a
    tuple wins."""

    components: tuple[Component, ...] = ()
    injected: Mapping[str, str] = field(default_factory=dict)
    renamed: tuple[RenamedLibrary, ...] = ()
    tables: Mapping[tuple[str, str], TableReader] = field(default_factory=dict)
    loaders: tuple[BundleLoader, ...] = ()
    words: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)

    def joined(self, over: Knowledge) -> Knowledge:
        """This and, before it, what a user adds."""
        return Knowledge(
            (*over.components, *self.components),
            MappingProxyType({**self.injected, **over.injected}),
            (*over.renamed, *self.renamed),
            MappingProxyType({**self.tables, **over.tables}),
            (*over.loaders, *self.loaders),
            MappingProxyType({**self.words, **over.words}),
        )

    @property
    def bundles(self) -> BundleKnowledge:
        """What is known of native code that comes in several builds."""
        return BundleKnowledge(self.loaders, BUILTIN.joined(self.words))

    def injected_by(self, library: str) -> str:
        """Which container runtime brings a library of this name, or ""."""
        return next((by for pattern, by in self.injected.items() if fnmatchcase(library, pattern)), "")

    def renamed_library(self, library: str, identifier: str, version: str) -> RenamedLibrary | None:
        """What a distribution's release made of a library."""
        for one in self.renamed:
            since = one.since.get(identifier)
            if one.library == library and since is not None and not is_older(version, since):
                return one
        return None

    def library_packages(self, identifier: str, version: str, architecture: str) -> LibraryTable:
        """The library table of a distribution's release; empty where none is known.

        Raises:
            RuleError: the table is damaged.
        """
        reader = self.tables.get((identifier, version))
        table = reader() if reader is not None else LibraryPackages((), {})
        return table.packages if architecture in table.architectures else {}


def is_older(one: str, other: str) -> bool:
    """Whether a release number is lower than another, compared number by number."""
    return release_key(one) < release_key(other)


def release_key(release: str) -> tuple[int, ...]:
    """The numbers of a release, trailing zeros left out."""
    numbers = [int(number) for number in _NUMBERS.findall(release)]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def read_knowledge(text: str, name: str, parse: Parse = read_yaml) -> Knowledge:
    """Read one document; ``name`` is its file's name for messages.

    Raises:
        RuleError: with the position of what is wrong.
    """
    root = parse(text, name)
    fields = dict(root.pairs())
    kind = fields.pop("kind", None)
    if kind is None:
        raise root.error("the key 'kind' is missing")
    if kind.text() == "native-bundles":
        return _read_bundles(_fields(root, frozenset({"kind", "loaders"}), frozenset({"words"})))
    readers: Mapping[str, tuple[str, Callable[[Node], Knowledge]]] = {
        "releases": ("components", _read_components),
        "injected-libraries": ("runtimes", _read_injected),
        "renamed-libraries": ("libraries", _read_renamed),
    }
    if kind.text() not in readers:
        raise kind.error(
            f"unknown kind {kind.text()!r}", f"use one of {', '.join(sorted((*readers, 'native-bundles')))}"
        )
    key, read = readers[kind.text()]
    return read(_fields(root, frozenset({"kind", key}), frozenset())[key])


def _fields(node: Node, required: frozenset[str], optional: frozenset[str]) -> dict[str, Node]:
    fields = dict(node.pairs())
    for key, value in fields.items():
        if key not in required | optional:
            raise value.error(f"unknown key {key!r}", f"use one of {', '.join(sorted(required | optional))}")
    for key in sorted(required - fields.keys()):
        raise node.error(f"the key {key!r} is missing")
    return fields


def _texts(node: Node | None) -> Mapping[str, str]:
    return MappingProxyType({key: value.text() for key, value in node.pairs()} if node else {})


def _prose(node: Node | None) -> str:
    return " ".join(node.text().split()) if node else ""


def _read_components(node: Node) -> Knowledge:
    optional = frozenset({"prefix", "prefix_release", "nodes", "newer", "source"})
    components = []
    for item in node.items():
        fields = _fields(item, frozenset({"name", "distributions"}), optional)
        components.append(
            Component(
                name=fields["name"].text(),
                prefix=_prose(fields.get("prefix")),
                prefix_release=_prose(fields.get("prefix_release")),
                nodes=_texts(fields.get("nodes")),
                newer=fields["newer"].truth() if "newer" in fields else True,
                distributions=tuple(_read_distribution(one) for one in fields["distributions"].items()),
            )
        )
    return Knowledge(components=tuple(components))


def _read_distribution(node: Node) -> Distribution:
    fields = _fields(node, frozenset({"name", "id", "releases", "source"}), frozenset({"also"}))
    fields["source"].text()
    also = fields["also"].texts() if "also" in fields else ()
    releases = tuple(_texts(fields["releases"]).items())
    if list(releases) != sorted(releases, key=lambda one: release_key(one[0])):
        raise fields["releases"].error("the releases are not in order", "write the oldest first")
    return Distribution(fields["name"].text(), (fields["id"].text(), *also), releases)


def _read_injected(node: Node) -> Knowledge:
    injected: dict[str, str] = {}
    for item in node.items():
        fields = _fields(item, frozenset({"name", "libraries"}), frozenset({"source"}))
        injected |= dict.fromkeys(fields["libraries"].texts(), fields["name"].text())
    return Knowledge(injected=MappingProxyType(injected))


def _read_renamed(node: Node) -> Knowledge:
    renamed = []
    for item in node.items():
        fields = _fields(item, frozenset({"library", "since", "advice", "source"}), frozenset({"package"}))
        renamed.append(
            RenamedLibrary(
                fields["library"].text(),
                _texts(fields["since"]),
                _prose(fields.get("package")),
                _prose(fields["advice"]),
            )
        )
    return Knowledge(renamed=tuple(renamed))


def _read_bundles(root: Mapping[str, Node]) -> Knowledge:
    loaders = tuple(_read_loader(item) for item in root["loaders"].items())
    words: dict[str, tuple[str, str, str]] = {}
    for word, value in root["words"].pairs() if "words" in root else ():
        parts = value.text().split("/")
        if len(parts) > 3:
            raise value.error("not a platform", "write SYSTEM/ARCHITECTURE/LIBC; parts may be empty")
        system, architecture, libc = (*parts, "", "")[:3]
        words[word.lower()] = system, architecture, libc
    return Knowledge(loaders=loaders, words=MappingProxyType(words))


def _read_loader(node: Node) -> BundleLoader:
    optional = frozenset({"members", "path", "optional", "advice"})
    fields = _fields(node, frozenset({"name", "host", "source"}), optional)
    fields["source"].text()
    if ("members" in fields) == ("path" in fields):
        raise node.error("a loader needs one of 'members' (in archives) and 'path' (in the image)")
    if fields["host"].text() not in HOSTS:
        raise fields["host"].error("no such host", f"use one of {', '.join(sorted(HOSTS))}")
    pattern = fields.get("members") or fields["path"]
    if "path" in fields and pattern.text().count("{platform}") != 1:
        raise pattern.error("the pattern must have {platform} once")
    return BundleLoader(
        name=fields["name"].text(),
        host=fields["host"].text(),
        pattern=pattern.text(),
        in_archive="members" in fields,
        optional=fields["optional"].truth() if "optional" in fields else False,
        advice=_prose(fields.get("advice")),
    )


def read_table(lines: Iterable[str], name: str) -> LibraryPackages:
    """A library table: comments (#), one line ``architectures NAME ...``, then a package and its
    libraries on each line.

    Raises:
        RuleError: with the line that is wrong.
    """
    architectures: tuple[str, ...] = ()
    packages: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) < 2:
            raise RuleError("a package without libraries", where=f"{name}:{number}")
        if not architectures:
            if words[0] != "architectures":
                raise RuleError("the line 'architectures' must come first", where=f"{name}:{number}")
            architectures = tuple(words[1:])
            continue
        for library in words[1:]:
            packages[library] = (*packages.get(library, ()), words[0])
    return LibraryPackages(architectures, MappingProxyType(packages))
