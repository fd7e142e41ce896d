"""Libraries that objects announce to open at run time, and which the image has not."""

from __future__ import annotations

from collections.abc import Iterable

from imagescan.facts import ImageFacts
from imagescan.findings import Certainty, Tier, TrailLine
from imagescan.loader.search import NOT_FOUND
from imagescan.rules.blame import blame_absent, blame_present
from imagescan.rules.detectors.registry import Detector, Parameters, text
from imagescan.rules.observation import Observation
from imagescan.rules.template import phrase

VALUES = frozenset({"library", "feature", "description"})


def announced_libraries(facts: ImageFacts, parameters: Parameters) -> Iterable[Observation]:
    """Entries of ``.note.dlopen`` that nothing answers. Parameter ``priority``: required,
    recommended or suggested, as the note says (UAPI.12)."""
    wanted = text(parameters, "priority")
    for found in facts.objects:
        if found.tier is Tier.DORMANT or found.link_map is None:
            continue
        for one in found.link_map.optional_missing:
            if one.priority != wanted:
                continue
            feature = one.feature or one.description or "a feature"
            yield Observation(
                cause=(found.path, *one.sonames),
                object=found.path,
                tier=found.tier,
                certainty=Certainty.LATENT,
                items=one.sonames,
                related=(),
                values={
                    "library": phrase(one.sonames, 4),
                    "feature": feature,
                    "description": one.description or feature,
                },
                runtime_message=f"{one.sonames[0]}: {NOT_FOUND}",
                trail=tuple(TrailLine("dlopen", soname, "not found") for soname in one.sonames),
                blame=blame_absent(facts, one.sonames) or blame_present(facts, found.path),
                condition=f"when {feature} is used",
            )


ANNOUNCED_LIBRARY = Detector("announced-library", announced_libraries, {"priority": str}, VALUES)
