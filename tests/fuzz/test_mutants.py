"""The list of mutants fits the source: each names a place that exists once."""

from __future__ import annotations

from pathlib import Path

import pytest

import imagescan.loader
from tests.fuzz.mutants import MUTANTS, Mutant

ROOM = Path(imagescan.loader.__file__).parent


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.file}: {mutant.rule}")
def test_a_mutant_changes_one_place_of_the_source(mutant: Mutant) -> None:
    source = (ROOM / mutant.file).read_text()
    assert source.count(mutant.old) == 1
    compile(source.replace(mutant.old, mutant.new), mutant.file, "exec")
