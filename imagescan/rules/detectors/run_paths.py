"""Run paths (DT_RPATH, DT_RUNPATH) through which somebody else could bring in a library.

``ImageFacts`` enter. What a loader would search is read from the link maps' trails; for programs that
gain rights when they are started, from the run paths as glibc and musl treat them in secure mode
(elf/dl-load.c ``fillin_rpath`` and ``_dl_dst_substitute``, ldso/dynlink.c ``fixup_rpath``; ``loader.md``
sections 2.6, 4.2, 4.7 and 7.2).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum

from imagescan.dataclasses import NamedTuple
from imagescan.elf.facts import ElfFacts
from imagescan.facts import ImageFacts, ObjectFacts
from imagescan.filesystem.values import FileEntry
from imagescan.findings import Blame, Certainty, Tier, TrailLine
from imagescan.layers.values import ImagePath
from imagescan.loader.tokens import TokenValues, expand, expand_musl, has_token
from imagescan.loader.values import How, LinkMap, LoadedObject, LoaderKind, SearchStep
from imagescan.rules.blame import blame_environment, blame_present
from imagescan.rules.detectors.common import linked_subjects, reaching, real_path, trail_lines, whole
from imagescan.rules.detectors.registry import Detector, Parameters, text
from imagescan.rules.detectors.writers import Opening, Writers
from imagescan.rules.observation import Observation

VALUES = frozenset({"path", "owner", "directory", "open_at", "account", "how", "rights", "program"})

_RUN_PATHS = (How.RPATH, How.RUNPATH)
_SET_USER_ID, _SET_GROUP_ID, _GROUP_EXECUTE, _OTHERS_EXECUTE = 0o4000, 0o2000, 0o010, 0o011
_EMPTY = "an empty element"
_ELSEWHERE = "when it is started in a directory that another user can write"


class RunPathProblem(StrEnum):
    """What is wrong with a run path."""

    WRITABLE = "writable"  # another user could put a library there
    RELATIVE = "relative"  # it depends on the current directory
    PRIVILEGED = "privileged"  # either, of a program that gains rights when it is started


def run_path_problems(facts: ImageFacts, parameters: Parameters) -> Iterable[Observation]:
    """Elements of run paths that a loader searches, and that lead where others can write.

    Parameter ``problem``: writable, relative (also of LD_LIBRARY_PATH in the image's environment), or
    privileged, for programs with set-user-ID, set-group-ID or file capabilities, which the other two
    leave out.
    """
    problem = RunPathProblem(text(parameters, "problem"))
    writers = Writers(facts)
    if problem is RunPathProblem.PRIVILEGED:
        yield from _privileged(facts, writers)
        return
    if problem is RunPathProblem.RELATIVE:
        yield from _relative_environment(facts)
    suspects, candidates = facts.view(_suspects)
    for found, linked in linked_subjects(facts, lambda found, _: found.path in candidates):
        if not rights_gained(found.entry):
            link_map = whole(linked)
            for step in _searches(link_map, suspects):
                yield from _observe(facts, writers, problem, (found, link_map, step))


def _suspects(facts: ImageFacts) -> tuple[frozenset[ImagePath], frozenset[ImagePath]]:
    """Objects with a run path to look at, and those that may load one of them."""
    writers = Writers(facts)
    having = (found for found in facts.objects if found.elf.runpath or found.elf.rpath)
    suspects = frozenset(found.path for found in having if _suspect(found, writers))
    return suspects, reaching(facts, suspects)


def _suspect(found: ObjectFacts, writers: Writers) -> bool:
    """Whether a run path has an element that is relative, or leads to where somebody may write."""
    raw = _raw(found.elf)
    if not raw or found.tier is Tier.DORMANT:
        return False
    origin = found.path.rpartition("/")[0] or "/"
    for element in re.split(r"[:\n]", raw):
        expanded = expand(element, TokenValues(origin, "lib", "platform")) or ""
        if not expanded.startswith("/") or writers.opening(expanded, (), -1) is not None:
            return True
    return False


def _raw(elf: ElfFacts) -> str:
    return (elf.runpath if elf.runpath is not None else elf.rpath) or ""


def _searches(link_map: LinkMap, suspects: frozenset[ImagePath]) -> Iterator[SearchStep]:
    """One step for each element of a suspect's run path that the loader searches."""
    owners = {one.path for one in link_map.objects if one.real in suspects}
    seen: set[tuple[str, str]] = set()
    for answer in link_map.resolutions if owners else ():
        for step in answer.trail:
            key = step.owner, step.directory
            if step.source in _RUN_PATHS and step.owner in owners and key not in seen:
                seen.add(key)
                yield step


def _observe(
    facts: ImageFacts,
    writers: Writers,
    problem: RunPathProblem,
    search: tuple[ObjectFacts, LinkMap, SearchStep],
) -> Iterator[Observation]:
    found, link_map, step = search
    owner = real_path(link_map, step.owner)
    directory = step.directory.rstrip("/") if step.directory.strip("/") else step.directory
    relative = not directory.startswith("/")
    if relative is not (problem is RunPathProblem.RELATIVE):
        return
    opening = (
        None if relative else writers.opening(directory, (owner, found.path), facts.user.credentials.uid)
    )
    if not relative and opening is None:
        return
    yield Observation(
        cause=(problem.value, owner, directory),
        object=owner,
        tier=found.tier,
        certainty=Certainty.CONDITIONAL if relative or found.tier is Tier.PLUGIN else Certainty.CERTAIN,
        items=(directory or _EMPTY,),
        related=(found.path,) if found.path != owner else (),
        values=_values(owner, directory, opening, _starts(found)),
        trail=trail_lines((step,)),
        blame=_blame(facts, owner, opening),
        condition=_ELSEWHERE if relative else "",
    )


def _starts(found: ObjectFacts) -> str:
    """Who is started where the object comes to be loaded."""
    if found.tier is not Tier.PLUGIN:
        return found.path
    return found.opened.host if found.opened else "the program that opens it"


def _values(
    owner: str, directory: str, opening: Opening | None, program: str, rights: str = ""
) -> dict[str, str]:
    return {
        "path": directory or f"{_EMPTY} (the current directory)",
        "owner": owner,
        "directory": directory,
        "open_at": opening.path if opening else "",
        "account": opening.account if opening else "",
        "how": _how(opening) if opening else "whoever starts it chooses that directory",
        "rights": rights,
        "program": program,
    }


def _how(opening: Opening) -> str:
    verb = "make it below" if opening.absent else "write"
    return f"{opening.account} can {verb} {opening.path}"


def _blame(facts: ImageFacts, owner: str, opening: Opening | None) -> tuple[Blame, ...]:
    own = blame_present(facts, owner)
    return (*own, *blame_present(facts, opening.path)) if opening and opening.path != "/" else own


def _relative_environment(facts: ImageFacts) -> Iterator[Observation]:
    """LD_LIBRARY_PATH with an element that glibc takes for the current directory: once for the image."""
    value = facts.environment.get("LD_LIBRARY_PATH", "")
    relative = [
        element
        for element in re.split("[:;]", value)
        if not element.startswith("/") and not has_token(element)
    ]
    if not value or not relative:
        return
    for found, link_map in sorted(linked_subjects(facts), key=lambda one: one[0].tier is not Tier.STARTUP):
        if (
            link_map.loader is not None
            and link_map.loader.kind is LoaderKind.GLIBC
            and found.tier is not Tier.PLUGIN
        ):
            shown = f"LD_LIBRARY_PATH={value}"
            yield Observation(
                cause=("LD_LIBRARY_PATH",),
                object=found.path,
                tier=found.tier,
                certainty=Certainty.LATENT,
                items=(shown,),
                values=_values(shown, relative[0], None, found.path),
                trail=(TrailLine("environment", shown, "searched in the current directory"),),
                blame=blame_environment(facts, "LD_LIBRARY_PATH"),
                condition=_ELSEWHERE,
            )
            return


def rights_gained(entry: FileEntry) -> str:
    """What a program may do that who starts it may not, in words; "" for none, or where only its owner
    may start it."""
    if not entry.mode & _OTHERS_EXECUTE:
        return ""
    if entry.mode & _SET_USER_ID:
        return f"runs as user {entry.uid}, whoever starts it"
    if entry.mode & _SET_GROUP_ID and entry.mode & _GROUP_EXECUTE:
        return f"runs with group {entry.gid}, whoever starts it"
    return "has file capabilities" if entry.capability is not None else ""


class _Element(NamedTuple):
    """One element of a run path as secure mode leaves it."""

    owner: LoadedObject
    source: How
    directory: str


def _privileged(facts: ImageFacts, writers: Writers) -> Iterator[Observation]:
    for found, linked in linked_subjects(facts, lambda found, _: rights_gained(found.entry)):
        rights = rights_gained(found.entry)
        link_map = whole(linked)
        owner_id = found.entry.uid if found.entry.mode & _SET_USER_ID else 0
        for element in _secure_elements(link_map):
            relative = not element.directory.startswith("/")
            opening = None if relative else writers.opening(element.directory, (found.path,), owner_id)
            if not relative and opening is None:
                continue
            owner = element.owner.real
            yield Observation(
                cause=(found.path, owner, element.directory),
                object=found.path,
                tier=found.tier,
                items=(element.directory or _EMPTY,),
                related=(owner,) if owner != found.path else (),
                values=_values(owner, element.directory, opening, found.path, rights),
                trail=(
                    TrailLine(
                        f"{element.source.value} of {owner}",
                        element.directory or ".",
                        "searched in secure mode",
                    ),
                ),
                blame=_blame(facts, owner, opening) or blame_present(facts, found.path),
            )


def _secure_elements(link_map: LinkMap) -> Iterator[_Element]:
    """The run paths of a program and its libraries as its loader searches them in secure mode: the
    program's own ``$ORIGIN`` is dropped, all the rest stays, relative elements too."""
    musl = link_map.loader is not None and link_map.loader.kind is LoaderKind.MUSL
    for position, one in enumerate(link_map.objects):
        raw = _raw(one.elf)
        source = How.RUNPATH if one.elf.runpath is not None else How.RPATH
        origin = one.path.rpartition("/")[0] or "/"
        if musl:
            whole = raw if position or "$" not in raw else ""
            expanded = expand_musl(whole, origin) or ""
            elements = [element for element in re.split(r"[:\n]", expanded) if element]
        else:
            kept = (element for element in raw.split(":") if position or "ORIGIN" not in element)
            tokens = TokenValues(origin, _library_token(link_map), "")
            elements = [
                element for raw_element in kept if (element := expand(raw_element, tokens)) is not None
            ]
        for element in dict.fromkeys(elements) if raw else ():
            yield _Element(one, source, element.rstrip("/") or element[:1])


def _library_token(link_map: LinkMap) -> str:
    strings = link_map.loader.elf.loader_strings if link_map.loader and link_map.loader.elf else None
    return strings.library_token if strings else ""


RUN_PATH = Detector("run-path", run_path_problems, {"problem": str}, VALUES)
