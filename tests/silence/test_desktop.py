"""Debian 12 with Java, LibreOffice, media, compilers and Wine passes."""

from __future__ import annotations

import pytest

from tests.silence.checks import assert_passes, assert_quiet
from tests.silence.families import DESKTOP, of_debian
from tests.silence.images import root

pytestmark = [pytest.mark.oracle, pytest.mark.silence]
IMAGE = "desktop"


@pytest.mark.parametrize("family", DESKTOP)
def test_a_family_of_packages_has_no_warning(family: str) -> None:
    assert_quiet(IMAGE, of_debian(root(IMAGE), DESKTOP[family]))


def test_the_whole_image_passes_the_gate() -> None:
    assert_passes(IMAGE, elf_files_at_least=3_000)
