"""What a fix can say about this image: packages, commands, releases. Only what is known.

``ImageFacts``, ``Knowledge`` and an ``Observation`` enter; a text for each name that a fix asks for
leaves, "" for what cannot be told. Packages come from the image's own databases and from the data
of ``rules/data``, and are never made up from a library's name. A command is only given with names
that a shell takes as they are: the image may be hostile, and users copy commands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from imagescan.archives.values import outer_path
from imagescan.dataclasses import dataclass
from imagescan.facts import ImageFacts
from imagescan.layers.values import ImagePath
from imagescan.packages.values import Package, PackageManager
from imagescan.packages.versions import compare_versions
from imagescan.patterns import pattern
from imagescan.rules.knowledge import Component, Distribution, Knowledge, release_key
from imagescan.rules.observation import Observation
from imagescan.rules.template import phrase

MAXIMUM_NAMED = 3  # packages, libraries or releases that one sentence names

_PLAIN = pattern(r"[A-Za-z0-9][A-Za-z0-9._+:~-]*")
_TOOLS = ("apt-get", "apk", "microdnf", "dnf", "yum", "zypper")
_TOOL_PLACES = ("/usr/bin", "/sbin", "/bin", "/usr/sbin")
_FAMILY_TOOLS = {
    "debian": "apt-get",
    "alpine": "apk",
    "fedora": "dnf",
    "rhel": "dnf",
    "suse": "zypper",
    "opensuse": "zypper",
}
_INSTALL = {
    "apt-get": "apt-get install -y --no-install-recommends {}",
    "apk": "apk add {}",
    "dnf": "dnf install -y {}",
    "microdnf": "microdnf install -y {}",
    "yum": "yum install -y {}",
    "zypper": "zypper install -y {}",
}
_REINSTALL = {
    PackageManager.DPKG: "apt-get install --reinstall {}",
    PackageManager.APK: "apk fix {}",
    PackageManager.RPM: "dnf reinstall {}",
}
_UPGRADE = {
    PackageManager.DPKG: "apt-get install --only-upgrade {}",
    PackageManager.APK: "apk add --upgrade {}",
    PackageManager.RPM: "dnf upgrade {}",
}
_RPM_TOOLS = frozenset({"dnf", "microdnf", "yum", "zypper"})


@dataclass(frozen=True, slots=True)
class _Case:
    """One finding in the making."""

    facts: ImageFacts
    knowledge: Knowledge
    observation: Observation
    items: tuple[str, ...]

    @property
    def library(self) -> str:
        """The file name of the library that is missing, or ""."""
        return self.observation.values.get("library", "").rpartition("/")[2]

    @property
    def system(self) -> tuple[str, str]:
        """os-release's ID and VERSION_ID."""
        return (self.facts.distribution or ("",))[0], self.facts.distribution_version

    @property
    def is_distroless(self) -> bool:
        """Whether packages were put in without their manager (distroless images keep status.d)."""
        return bool(self.facts.filesystem.children("/var/lib/dpkg/status.d"))

    @property
    def tool(self) -> str:
        """The program that installs packages: one that the image has, else its family's."""
        for tool in _TOOLS:
            if any(self.facts.filesystem.resolve(f"{place}/{tool}").entry for place in _TOOL_PLACES):
                return tool
        if self.is_distroless:
            return ""
        families = (name for name in self.facts.distribution if name in _FAMILY_TOOLS)
        return next((_FAMILY_TOOLS[name] for name in families), "")


def remedies(
    facts: ImageFacts,
    knowledge: Knowledge,
    observation: Observation,
    items: tuple[str, ...],
    asked: Iterable[str],
) -> Mapping[str, str]:
    """The text of each name that is asked for (``document.REMEDIES``)."""
    case = _Case(facts, knowledge, observation, items)
    return {name: _WRITERS[name](case) for name in asked}


def owners_text(facts: ImageFacts, observation: Observation) -> str:
    """Whose the object is, and whose the libraries that should have had what is missing."""
    own = facts.ownership.owner(outer_path(observation.object))
    texts = [str(own)] if own else []
    for path in observation.providers[:MAXIMUM_NAMED]:
        owner = facts.ownership.owner(path)
        if owner is not None and owner != own:
            texts.append(f"{path} is of {owner}")
    return "; ".join(texts)


def known_packages(case: _Case) -> tuple[str, ...]:
    """Packages that have the library, by the data alone."""
    if not case.library:
        return ()
    identifier, version = case.system
    renamed = case.knowledge.renamed_library(case.library, identifier, version)
    if renamed is not None and renamed.package:
        return (renamed.package,)
    table = case.knowledge.library_packages(identifier, version, case.facts.platform.architecture)
    return table.get(case.library, ())


def _bringer(case: _Case) -> str:
    if case.facts.ownership.bringing(case.library):
        return ""
    packages = known_packages(case)
    if not packages:
        return f"the package that has {case.library}" if case.library else ""
    return " or ".join(packages[:MAXIMUM_NAMED])


def _install(case: _Case) -> str:
    """The command that installs the library, in a package manager that finds it for certain."""
    tool, packages = case.tool, known_packages(case)
    if not tool or not _PLAIN.fullmatch(case.library) or case.facts.ownership.bringing(case.library):
        return ""
    if not packages and _renamed(case):
        return ""  # no package of this release has it
    if packages:
        return _INSTALL[tool].format(packages[0])
    if tool == "apk":
        return _INSTALL[tool].format(f"so:{case.library}")
    if tool in _RPM_TOOLS:
        found = case.facts.by_path.get(ImagePath(case.observation.object))
        wide = "()(64bit)" if found is None or found.elf.elf_class == 64 else ""
        return _INSTALL[tool].format(f"'{case.library}{wide}'")
    return ""


def _copy(case: _Case) -> str:
    """For an image without package manager: where the files come from."""
    if not case.is_distroless or case.tool or not case.library:
        return ""
    bringer = _bringer(case)
    return f"this image has no package manager: copy the files of {bringer} from a stage of its release"


def _search(case: _Case) -> str:
    known = known_packages(case) or case.facts.ownership.bringing(case.library)
    if known or not _PLAIN.fullmatch(case.library) or case.tool != "apt-get":
        return ""
    return f"apt-file search {case.library}"


def _restore(case: _Case) -> str:
    """The library was part of an installed package, and is gone."""
    packages = case.facts.ownership.bringing(case.library) if case.library else ()
    if not packages or not _PLAIN.fullmatch(packages[-1].name):
        return ""
    command = _REINSTALL[packages[-1].manager].format(packages[-1].name)
    return f"{packages[-1]} is installed and had it, so it was removed afterwards: {command}"


def _renamed(case: _Case) -> str:
    renamed = case.knowledge.renamed_library(case.library, *case.system) if case.library else None
    return renamed.advice if renamed else ""


def _instead(case: _Case) -> str:
    """Other versions of the library that this release has: it was built for another release."""
    stem, separator, _ = case.library.partition(".so.")
    if not separator or known_packages(case):
        return ""
    table = case.knowledge.library_packages(*case.system, case.facts.platform.architecture)
    others = [name for name in table if name.startswith(f"{stem}.so.")]
    named = [f"{name} ({table[name][0]})" for name in sorted(others)[:MAXIMUM_NAMED]]
    system = case.facts.distribution_name or "this release"
    return f"{system} has {phrase(named, MAXIMUM_NAMED)}" if named else ""


def _needs(case: _Case) -> str:
    """``glibc 2.38: Debian 13, Ubuntu 24.04, Fedora 39 or newer``, for each component."""
    wanted: dict[str, tuple[Component, str]] = {}
    for item in case.items:
        node = item.partition(" ")[0]
        component = next((one for one in case.knowledge.components if one.release_of(node)), None)
        if component is not None:
            release = component.release_of(node)
            before = wanted.get(component.name)
            if before is None or release_key(before[1]) < release_key(release):
                wanted[component.name] = component, release
    return "; ".join(_needs_component(case, *one) for one in wanted.values())


def _needs_component(case: _Case, component: Component, release: str) -> str:
    named = []
    families = case.facts.distribution

    def distance(one: Distribution) -> int:
        return next((place for place, name in enumerate(families) if name in one.identifiers), len(families))

    for one in sorted(component.distributions, key=distance):
        first = _first_release(one, release)
        if first:
            named.append(f"{one.name} {first}")
    if not named:
        return f"{component.name} {release}"
    return f"{component.name} {release}: {', '.join(named)}{' or newer' if component.newer else ''}"


def _first_release(distribution: Distribution, wanted: str) -> str:
    key = release_key(wanted)
    return next((name for name, has in distribution.releases if release_key(has) >= key), "")


def _upgrade(case: _Case) -> str:
    """A partial upgrade: two installed packages that do not go together."""
    ownership = case.facts.ownership
    own = ownership.owner(case.observation.object)
    owners = (ownership.owner(path) for path in case.observation.providers)
    others = [one for one in dict.fromkeys(owners) if one is not None and one != own]
    if own is None or not others:
        return ""
    if any(one.manager is not own.manager or not _PLAIN.fullmatch(one.name) for one in others):
        return ""
    names = " ".join(one.name for one in others)
    told = phrase([f"{one.name} {one.version}" for one in others], MAXIMUM_NAMED)
    return (
        f"{own.name} {own.version} and {told} do not belong together{_behind(own, others)}: "
        f"{_UPGRADE[own.manager].format(names)}"
    )


def _behind(own: Package, others: list[Package]) -> str:
    """Packages of one source have one version, so the lower one was left behind."""
    for other in others:
        if own.source == other.source and compare_versions(own.manager, other.version, own.version) < 0:
            return f" ({other.name} is older, and both are built from {own.source})"
    return ""


def _go(case: _Case) -> str:
    found = case.facts.by_path.get(ImagePath(case.observation.object))
    is_go = found is not None and found.elf.is_go
    return "CGO_ENABLED=0" if is_go else ""


def _reinstall(case: _Case) -> str:
    """How a wheel or a Node module for this image's C library is had."""
    path = case.observation.object
    musl = any(loader.kind.value == "musl" for loader in case.facts.loaders)
    if "/site-packages/" in path or "/dist-packages/" in path:
        return f"pip install with wheels tagged {'musllinux' if musl else 'manylinux'}"
    if "/node_modules/" in path:
        return f"npm install --os=linux --libc={'musl' if musl else 'glibc'}"
    return ""


_WRITERS: Mapping[str, Callable[[_Case], str]] = {
    "bringer": _bringer,
    "install": _install,
    "copy": _copy,
    "search": _search,
    "restore": _restore,
    "renamed": _renamed,
    "instead": _instead,
    "needs": _needs,
    "upgrade": _upgrade,
    "go": _go,
    "reinstall": _reinstall,
}
