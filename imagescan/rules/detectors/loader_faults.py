"""Other reasons that the loader gives: each code of ``LoaderFault`` is the business of one rule."""

from __future__ import annotations

from collections.abc import Iterable

from imagescan.facts import ImageFacts, ObjectFacts
from imagescan.findings import Blame, Certainty, Tier, TrailLine
from imagescan.layers.values import ImagePath
from imagescan.loader.values import LinkMap, LoaderFault
from imagescan.rules.blame import blame_absent, blame_environment, blame_present
from imagescan.rules.detectors.common import certainty_of, found_trail, real_path, troubled_subjects, whole
from imagescan.rules.detectors.registry import Detector, Parameters, text
from imagescan.rules.observation import Observation

PRELOAD = "preload-failed"
PRELOAD_FILE = "/etc/ld.so.preload"


def loader_faults(facts: ImageFacts, parameters: Parameters) -> Iterable[Observation]:
    """Faults of link maps with one code (``LoaderFault.code``).

    Parameters: ``fault``, and ``harmless``: whether the program starts all the same.
    """
    wanted = text(parameters, "fault")

    def concerned(_: ObjectFacts, linked: LinkMap) -> bool:
        return any(fault.code == wanted for fault in linked.faults)

    for found, linked in troubled_subjects(facts, concerned):
        link_map = whole(linked)
        for fault in link_map.faults:
            if fault.code != wanted or (found.tier is Tier.PLUGIN and parameters["harmless"]):
                continue
            certainty, condition = certainty_of(found)
            if fault.condition and found.tier is not Tier.PLUGIN:
                certainty, condition = Certainty.CONDITIONAL, fault.condition
            # Faults name objects as they were opened, and what could not be opened as it was asked for.
            real = real_path(link_map, fault.object)
            present = ImagePath(real) in facts.by_path
            yield Observation(
                cause=(wanted, real),
                object=found.path,
                tier=found.tier,
                certainty=Certainty.LATENT if parameters["harmless"] else certainty,
                items=(real,),
                related=(real,) if present and real != found.path else (),
                values={"subject": real},
                runtime_message=fault.message,
                trail=_trail(facts, link_map, fault),
                blame=_blame(facts, found, fault, real),
                condition=condition,
            )


def _trail(facts: ImageFacts, link_map: LinkMap, fault: LoaderFault) -> tuple[TrailLine, ...]:
    """How the object came into the link map; of one that did not, where its name leads to."""
    found = found_trail(link_map, fault.object)
    if found:
        return found
    entry = facts.filesystem.resolve(fault.object).entry if "/" in fault.object else None
    return (TrailLine("preload", fault.object, f"leads to {entry.path}" if entry else "absent"),)


def _blame(facts: ImageFacts, found: ObjectFacts, fault: LoaderFault, real: str) -> tuple[Blame, ...]:
    own = blame_present(facts, real) or blame_absent(facts, [fault.object])
    if fault.code != PRELOAD:
        return own or blame_present(facts, found.path)
    return (*blame_environment(facts, "LD_PRELOAD"), *own) or blame_present(facts, PRELOAD_FILE)


LOADER_FAULT = Detector(
    "loader-fault", loader_faults, {"fault": str, "harmless": bool}, frozenset({"subject"})
)
