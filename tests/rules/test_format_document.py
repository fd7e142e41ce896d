"""``docs/rules/FORMAT.md`` names everything that a document can say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from imagescan.findings import Certainty, Severity, Tier
from imagescan.rules.conditions import VARIABLES
from imagescan.rules.detectors import DETECTORS
from imagescan.rules.detectors.registry import Detector
from imagescan.rules.document import _OPTIONAL, _REQUIRED, COMMON_VALUES, REMEDIES, Status
from imagescan.rules.examples.elf_writer import MACHINES
from imagescan.rules.examples.notation import _KINDS, BASES
from imagescan.startup.values import FaultCode, StepRole

TEXT = (Path(__file__).parents[2] / "docs" / "rules" / "FORMAT.md").read_text()
ROWS = {
    cells[1].strip().strip("`"): cells
    for line in TEXT.splitlines()
    if len(cells := re.split(r"(?<!\\)\|", line)) > 3
}


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)
def test_every_detector_is_described_whole(detector: Detector) -> None:
    _, _, parameters, values, _ = ROWS[detector.name]
    assert set(re.findall(r"`(\w+)`", parameters)) == set(detector.parameters)
    assert {word.strip() for word in values.split(",")} - {""} == detector.values


@pytest.mark.parametrize(
    "word",
    sorted(
        {*_REQUIRED, *_OPTIONAL, *COMMON_VALUES, *REMEDIES, *VARIABLES, *BASES, *_KINDS, *MACHINES}
        | {*Tier, *Certainty, *Severity, *Status, *FaultCode}
        | {role.value for role in StepRole if role is not StepRole.HANDED_OVER}
    ),
)
def test_every_word_is_described(word: str) -> None:
    assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", TEXT)
