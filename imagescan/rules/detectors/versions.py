"""Version nodes that the image's libraries do not define (glibc's check at start)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from imagescan.dataclasses import dataclass, field
from imagescan.elf.facts import ElfFacts
from imagescan.facts import ImageFacts, ObjectFacts
from imagescan.findings import Blame, TrailLine
from imagescan.loader.values import How, LinkMap, LoaderKind, MissingVersion
from imagescan.rules.blame import blame_environment, blame_older, blame_present, layer_of
from imagescan.rules.detectors.common import (
    TIER_ORDER,
    certainty_of,
    found_trail,
    loaded_object,
    real_path,
    troubled_subjects,
    whole,
)
from imagescan.rules.detectors.registry import Detector, Parameters
from imagescan.rules.messages import version_missing
from imagescan.rules.observation import Observation

VALUES = frozenset({"libraries", "highest", "glibc", "providers", "elsewhere"})


@dataclass(slots=True)
class _Group:
    """Objects of one layer that miss versions of the same libraries: one cause."""

    libraries: set[str] = field(default_factory=set)
    requesters: dict[str, list[MissingVersion]] = field(default_factory=dict)


def missing_versions(facts: ImageFacts, parameters: Parameters) -> Iterable[Observation]:
    """Every missing version node, all libraries of one requester at once.

    Objects that one layer brought and that miss versions of a common library have one cause:
    they were built against newer libraries than the image has.
    """
    sufferers: dict[str, list[tuple[ObjectFacts, LinkMap]]] = {}
    missing: dict[str, dict[tuple[str, str], MissingVersion]] = {}
    for found, linked in troubled_subjects(facts, lambda _, linked: linked.missing_versions):
        link_map = whole(linked)
        for one in link_map.missing_versions:
            if not one.weak:
                real = real_path(link_map, one.needed_by)
                missing.setdefault(real, {})[one.library, one.version] = one
                listed = sufferers.setdefault(real, [])
                if not listed or listed[-1][0] is not found:
                    listed.append((found, link_map))
    for group in _groups(facts, {real: list(nodes.values()) for real, nodes in missing.items()}):
        yield from _observe_group(facts, group, sufferers)


def _groups(facts: ImageFacts, missing: dict[str, list[MissingVersion]]) -> list[_Group]:
    by_layer: dict[int, list[_Group]] = {}
    for real, nodes in missing.items():
        libraries = {node.library for node in nodes}
        groups = by_layer.setdefault(layer_of(facts, real), [])
        joined = _Group(set(libraries), {real: nodes})
        for group in [one for one in groups if one.libraries & libraries]:
            groups.remove(group)
            joined.libraries |= group.libraries
            joined.requesters = group.requesters | joined.requesters
        groups.append(joined)
    return [group for groups in by_layer.values() for group in groups]


def _observe_group(
    facts: ImageFacts, group: _Group, sufferers: dict[str, list[tuple[ObjectFacts, LinkMap]]]
) -> Iterator[Observation]:
    def severity(real: str) -> tuple[int, str]:
        return min(TIER_ORDER.index(found.tier) for found, _ in sufferers[real]), real

    ordered = sorted(group.requesters, key=severity)
    for real in ordered:
        for found, link_map in sufferers[real]:
            yield _observe(facts, (ordered[0], real), (found, link_map), group)


def _observe(
    facts: ImageFacts, paths: tuple[str, str], sufferer: tuple[ObjectFacts, LinkMap], group: _Group
) -> Observation:
    first, real = paths
    found, link_map = sufferer
    nodes = sorted(group.requesters[real], key=lambda node: (node.library, version_key(node.version)))
    certainty, condition = certainty_of(found)
    glibc = [loader.version for loader in facts.loaders if loader.kind is LoaderKind.GLIBC]
    return Observation(
        cause=(first,),
        object=real,
        tier=found.tier,
        certainty=certainty,
        items=tuple(f"{node.version} ({node.library})" for node in nodes),
        related=(found.path,) if found.path != real else (),
        values={
            "libraries": ", ".join(sorted(group.libraries)),
            "providers": ", ".join(sorted({node.provider for node in nodes})),
            "highest": max((node.version for node in nodes), key=version_key),
            "glibc": ".".join(map(str, glibc[0])) if glibc and glibc[0] else "",
            "elsewhere": ", ".join(_elsewhere(facts, link_map, nodes)),
        },
        runtime_message=version_missing(link_map, nodes[0]),
        trail=tuple(
            line for provider, names in _by_provider(nodes) for line in _trail(link_map, provider, names)
        ),
        blame=_blame(facts, link_map, real, nodes),
        condition=condition,
        providers=tuple(dict.fromkeys(real_path(link_map, node.provider) for node in nodes)),
    )


def _by_provider(nodes: list[MissingVersion]) -> list[tuple[str, tuple[str, ...]]]:
    """Each library as opened, with the versions that it lacks."""
    providers: dict[str, list[str]] = {}
    for node in nodes:
        providers.setdefault(node.provider, []).append(node.version)
    return [(provider, tuple(names)) for provider, names in providers.items()]


def _trail(link_map: LinkMap, provider: str, names: tuple[str, ...]) -> tuple[TrailLine, ...]:
    """How the library was found, and the check that it fails (``_dl_check_map_versions``)."""
    return (
        *found_trail(link_map, provider),
        *(TrailLine("version definitions", provider, f"no {name}") for name in names),
    )


def _blame(
    facts: ImageFacts, link_map: LinkMap, asking: str, nodes: list[MissingVersion]
) -> tuple[Blame, ...]:
    """The layers of who asks, and of the libraries that are too old."""
    blame = [*blame_present(facts, asking)]
    for provider, names in _by_provider(nodes):
        blame += blame_older(facts, provider, partial(_defines, names))
        loaded = loaded_object(link_map, provider)
        if loaded is not None and loaded.how is How.LIBRARY_PATH:
            blame += blame_environment(facts, "LD_LIBRARY_PATH")
    return tuple(dict.fromkeys(blame))


def _defines(names: tuple[str, ...], elf: ElfFacts) -> bool:
    return set(names) <= set(elf.version_definitions)


def _elsewhere(facts: ImageFacts, link_map: LinkMap, nodes: list[MissingVersion]) -> Iterator[str]:
    """Files of the image that would have been new enough, had the loader found them first."""
    for provider, names in _by_provider(nodes):
        soname = provider.rpartition("/")[2]
        taken = real_path(link_map, provider)
        for found in facts.objects:
            other = found.elf.soname == soname and found.path != taken
            if other and _defines(names, found.elf):
                yield found.path


def version_key(version: str) -> tuple[str, tuple[int, ...]]:
    """Order version nodes: by prefix, then by numbers (``GLIBC_2.9`` before ``GLIBC_2.38``)."""
    prefix, _, numbers = version.rpartition("_")
    return prefix, tuple(
        int(part) if part.isdecimal() and len(part) < 10 else 0 for part in numbers.split(".")
    )


MISSING_VERSION = Detector("missing-version", missing_versions, values=VALUES)
