"""Files that this image's platform cannot execute: another machine, another operating system."""

from __future__ import annotations

from collections.abc import Iterable

from imagescan.archives.values import outer_path
from imagescan.facts import ForeignFile, ImageFacts
from imagescan.findings import Certainty, Tier
from imagescan.plugins.dormant import sleeps_by_path, variant_family
from imagescan.plugins.platforms import machine_name, runs_on
from imagescan.rules.blame import blame_present
from imagescan.rules.detectors.common import (
    IF_LOADED,
    StartProblem,
    bundle_of,
    certainty_of,
    unstarted,
)
from imagescan.rules.detectors.registry import Detector, Parameters, texts
from imagescan.rules.messages import exec_failure
from imagescan.rules.observation import Observation
from imagescan.rules.template import phrase
from imagescan.startup.tiers import is_executable


def wrong_architecture(facts: ImageFacts, parameters: Parameters) -> Iterable[Observation]:
    """Programs and plugins for another machine; one cause is one machine in one layer."""
    for found in unstarted(facts, StartProblem.WRONG_ARCHITECTURE):
        machine = machine_name(found.elf)
        certainty, condition = certainty_of(found)
        plugin = found.tier is Tier.PLUGIN
        message = f"{found.path}: cannot open shared object file" if plugin else ""
        yield Observation(
            cause=(machine, bundle_of(found.path) if plugin else "programs"),
            object=found.path,
            tier=found.tier,
            certainty=certainty,
            items=(machine,),
            values={"machine": machine, "bundle": bundle_of(found.path)},
            runtime_message=message or exec_failure(found.path, "ENOEXEC"),
            blame=blame_present(facts, found.path),
            condition=condition,
        )


def same_binaries(facts: ImageFacts, parameters: Parameters) -> Iterable[Observation]:
    """Programs and plugins for another machine that come with a whole layer which the image for that
    machine has too (``ImageManifest.siblings``); one cause is one machine and the platforms that it fits."""
    for found in unstarted(facts, StartProblem.WRONG_ARCHITECTURE):
        path = outer_path(found.path)
        entry = facts.filesystem.resolve(path).entry
        if entry is None:
            continue
        layer = facts.manifest.layers[entry.layer]
        fitting = [
            str(one.platform)
            for one in facts.manifest.siblings
            if layer.diff_id in one.layers and runs_on(found.elf, one.platform)
        ]
        if fitting:
            machine = machine_name(found.elf)
            yield Observation(
                cause=(machine, *fitting),
                object=found.path,
                tier=found.tier,
                items=(machine,),
                values={"machine": machine, "platforms": phrase(fitting, 4), "layer": str(layer.index)},
                runtime_message=exec_failure(found.path, "ENOEXEC") if found.tier is not Tier.PLUGIN else "",
                blame=blame_present(facts, found.path),
            )


def foreign_format(facts: ImageFacts, parameters: Parameters) -> Iterable[Observation]:
    """Mach-O and PE files where a Linux program or library is meant to be.

    Parameter ``library_suffixes``: names that a program would load (``.so``, ``.node``). .NET
    assemblies and files whose path names another system are none of it.
    """
    started: set[str] = {*facts.startup.paths, *(facts.healthcheck.paths if facts.healthcheck else ())}
    suffixes = texts(parameters, "library_suffixes")
    for found in facts.foreign:
        tier = _foreign_tier(found, started, suffixes, facts.search_directories)
        if tier is None:
            continue
        machines = ", ".join(found.binary.machines)
        plugin = tier is Tier.PLUGIN
        message = f"{found.path}: invalid ELF header" if plugin else exec_failure(found.path, "ENOEXEC")
        yield Observation(
            cause=(found.binary.format, bundle_of(found.path) if plugin else found.path),
            object=found.path,
            tier=tier,
            certainty=Certainty.CONDITIONAL if plugin else Certainty.CERTAIN,
            items=(found.binary.format,),
            values={
                "format": found.binary.format,
                "system": "macOS" if found.binary.format == "Mach-O" else "Windows",
                "machines": machines,
            },
            runtime_message=message,
            blame=blame_present(facts, found.path),
            condition=IF_LOADED if plugin else "",
        )


def _foreign_tier(
    found: ForeignFile, started: set[str], suffixes: tuple[str, ...], directories: frozenset[str]
) -> Tier | None:
    if found.path in started:
        return Tier.STARTUP
    if found.binary.managed or sleeps_by_path(found.path) or variant_family(found.path) != found.path:
        return None
    if found.path.endswith(suffixes):
        return Tier.PLUGIN
    on_path = found.path.rpartition("/")[0] in directories
    return Tier.COMMAND if on_path and is_executable(found.entry) else None


SAME_BINARY = Detector("same-binary", same_binaries, values=frozenset({"machine", "platforms", "layer"}))
WRONG_ARCHITECTURE = Detector(
    "wrong-architecture", wrong_architecture, values=frozenset({"machine", "bundle"})
)
FOREIGN_FORMAT = Detector(
    "foreign-format",
    foreign_format,
    {"library_suffixes": tuple},
    frozenset({"format", "system", "machines"}),
)
