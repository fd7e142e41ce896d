"""Libraries and loaders that are found only because of the directory in which a program is started."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from imagescan.elf.facts import ElfFacts
from imagescan.facts import ImageFacts
from imagescan.findings import Blame, Certainty
from imagescan.layers.values import ImagePath
from imagescan.loader.values import How, LinkMap, LoadedObject
from imagescan.rules.blame import blame_environment, blame_present
from imagescan.rules.detectors.common import found_trail, linked_subjects, reaching, whole
from imagescan.rules.detectors.registry import Detector, Parameters
from imagescan.rules.observation import Observation

VALUES = frozenset({"library", "directory", "place", "how"})
_WAYS = {
    How.LIBRARY_PATH: "an empty or relative element of LD_LIBRARY_PATH",
    How.RPATH: "a relative element of a run path (DT_RPATH)",
    How.RUNPATH: "a relative element of a run path (DT_RUNPATH)",
    How.DIRECT: "a needed name that is a relative path",
    How.LOADER: "an interpreter (PT_INTERP) that is a relative path",
}


def found_by_directory(facts: ImageFacts, parameters: Parameters) -> Iterable[Observation]:
    """Objects that a loader found by a relative path: started elsewhere, the program does not find them."""
    directory = "/" + facts.manifest.config.working_dir.lstrip("/")
    candidates = _candidates(facts, directory)
    for found, linked in linked_subjects(facts, lambda found, _: found.path in candidates):
        link_map = whole(linked)
        for one in _relative(link_map):
            yield Observation(
                cause=(found.path, one.requested),
                object=found.path,
                tier=found.tier,
                certainty=Certainty.CONDITIONAL,
                items=(one.requested,),
                values={
                    "library": one.requested,
                    "directory": directory,
                    "place": one.real,
                    "how": _WAYS.get(one.how, "a relative path"),
                },
                runtime_message=_message(found.path, one),
                trail=found_trail(link_map, one.path),
                blame=_blame(facts, found.path, one),
                condition=f"when it is started in another directory than {directory}",
            )


def _candidates(facts: ImageFacts, directory: str) -> frozenset[ImagePath]:
    """The objects that may load something by a relative path."""
    value = facts.environment.get("LD_LIBRARY_PATH", "")
    searched = [one for one in re.split("[:;]", value) if not one.startswith("/")] if value else []
    if any(_has_libraries(facts, one or ".", directory) for one in searched):
        return frozenset(found.path for found in facts.objects)
    return reaching(facts, (found.path for found in facts.objects if _looks_relative(found.elf)))


def _has_libraries(facts: ImageFacts, searched: str, directory: str) -> bool:
    entry = facts.filesystem.resolve(searched, directory=directory).entry
    names = facts.filesystem.children(entry.path) if entry else ()
    return any(".so" in name or name == "glibc-hwcaps" for name in names)


def _looks_relative(elf: ElfFacts) -> bool:
    run_path = elf.runpath if elf.runpath is not None else elf.rpath or ""
    if not run_path and not elf.interpreter and "/" not in "".join(elf.needed):
        return False
    elements = re.split(r"[:\n]", run_path) if run_path else []
    names = [name for name in elf.needed if "/" in name]
    return any(not path.startswith(("/", "$")) for path in (*elements, *names, elf.interpreter or "/"))


def _relative(link_map: LinkMap) -> Iterator[LoadedObject]:
    """The objects that were opened by a relative path, the loader itself included."""
    for one in link_map.objects[1:]:
        if not one.path.startswith("/") and one.how in _WAYS:
            yield one
    loader = link_map.loader
    named = {one.path for one in link_map.objects}
    if (
        loader
        and loader.elf
        and loader.path
        and loader.requested not in named
        and loader.requested[:1] != "/"
    ):
        yield LoadedObject(
            loader.requested, loader.path, (0, 0), loader.elf, loader.requested, -1, How.LOADER
        )


def _message(program: str, one: LoadedObject) -> str:
    if one.how is How.LOADER:
        return f"exec {program}: no such file or directory"
    reason = "cannot open shared object file: No such file or directory"
    return f"{program}: error while loading shared libraries: {one.requested}: {reason}"


def _blame(facts: ImageFacts, program: str, one: LoadedObject) -> tuple[Blame, ...]:
    by_variable = one.how is How.LIBRARY_PATH
    named = blame_environment(facts, "LD_LIBRARY_PATH") if by_variable else ()
    return (*named, *blame_present(facts, program))


CURRENT_DIRECTORY = Detector("current-directory", found_by_directory, values=VALUES)
