"""Debian 13 with servers, languages and media passes, but for what is broken in Debian."""

from __future__ import annotations

import pytest

from tests.silence.breaks import BREAKS, Break
from tests.silence.families import NEWER, elf_files, of_debian
from tests.silence.images import root
from tests.silence.proofs import said
from tests.silence.scans import judged

pytestmark = [pytest.mark.oracle, pytest.mark.silence]
IMAGE = "newer"


@pytest.mark.parametrize("family", NEWER)
def test_a_family_of_packages_has_no_warning(family: str) -> None:
    files = of_debian(root(IMAGE), NEWER[family])
    assert elf_files(root(IMAGE), files) > 0, "nothing to judge"
    assert judged(IMAGE).loud(files) == []


def test_the_whole_image_passes_the_gate() -> None:
    outcome = judged(IMAGE)
    assert outcome.loud() == []
    assert (outcome.code, outcome.report["incomplete"], outcome.errors) == (0, [], "")
    assert outcome.report["remarks"] == [], "a break that is no more"
    assert outcome.report["counts"]["elf_files"] > 3_000


@pytest.mark.parametrize("one", [one for one in BREAKS if one.image == IMAGE], ids=lambda one: one.paths[0])
def test_what_is_excepted_breaks_for_real(one: Break) -> None:
    assert one.says in said(one)
