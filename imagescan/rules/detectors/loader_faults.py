"""Other reasons that the loader gives: preloaded objects, DT_RELR without its promise."""

from __future__ import annotations

from collections.abc import Iterable

from imagescan.facts import ImageFacts
from imagescan.findings import Certainty, Tier
from imagescan.layers.values import ImagePath
from imagescan.rules.blame import blame_absent, blame_present
from imagescan.rules.detectors.common import certainty_of, linked_subjects
from imagescan.rules.detectors.registry import Detector, Parameters, text
from imagescan.rules.observation import Observation


def loader_faults(facts: ImageFacts, parameters: Parameters) -> Iterable[Observation]:
    """Faults of link maps with one code (``LoaderFault.code``).

    Parameters: ``fault``, and ``harmless``: whether the program starts all the same.
    """
    wanted = text(parameters, "fault")
    for found, link_map in linked_subjects(facts):
        for fault in link_map.faults:
            if fault.code != wanted or (found.tier is Tier.PLUGIN and parameters["harmless"]):
                continue
            certainty, condition = certainty_of(found)
            if fault.condition and found.tier is not Tier.PLUGIN:
                certainty, condition = Certainty.CONDITIONAL, fault.condition
            present = ImagePath(fault.object) in facts.by_path
            yield Observation(
                cause=(wanted, fault.object),
                object=found.path,
                tier=found.tier,
                certainty=Certainty.LATENT if parameters["harmless"] else certainty,
                items=(fault.object,),
                related=(fault.object,) if present and fault.object != found.path else (),
                values={"subject": fault.object},
                runtime_message=fault.message,
                blame=blame_present(facts, fault.object) or blame_absent(facts, [fault.object]),
                condition=condition,
            )


LOADER_FAULT = Detector(
    "loader-fault", loader_faults, {"fault": str, "harmless": bool}, frozenset({"subject"})
)
