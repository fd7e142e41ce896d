"""Debian 12 with Java, LibreOffice, media, compilers and Wine passes."""

from __future__ import annotations

import pytest

from tests.silence.families import DESKTOP, elf_files, of_debian
from tests.silence.images import root
from tests.silence.scans import judged

pytestmark = [pytest.mark.oracle, pytest.mark.silence]
IMAGE = "desktop"


@pytest.mark.parametrize("family", DESKTOP)
def test_a_family_of_packages_has_no_warning(family: str) -> None:
    files = of_debian(root(IMAGE), DESKTOP[family])
    assert elf_files(root(IMAGE), files) > 0, "nothing to judge"
    assert judged(IMAGE).loud(files) == []


def test_the_whole_image_passes_the_gate() -> None:
    outcome = judged(IMAGE)
    assert outcome.loud() == []
    assert (outcome.code, outcome.report["incomplete"], outcome.errors) == (0, [], "")
    assert outcome.report["remarks"] == [], "a break that is no more"
    assert outcome.report["counts"]["elf_files"] > 3_000
