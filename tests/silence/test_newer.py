"""Debian 13 with servers, languages and media passes, but for what is broken in Debian."""

from __future__ import annotations

import pytest

from tests.silence.breaks import Break
from tests.silence.checks import assert_passes, assert_quiet, each_break_of
from tests.silence.families import NEWER, of_debian
from tests.silence.images import root
from tests.silence.proofs import said

pytestmark = [pytest.mark.oracle, pytest.mark.silence]
IMAGE = "newer"


@pytest.mark.parametrize("family", NEWER)
def test_a_family_of_packages_has_no_warning(family: str) -> None:
    assert_quiet(IMAGE, of_debian(root(IMAGE), NEWER[family]))


def test_the_whole_image_passes_the_gate() -> None:
    assert_passes(IMAGE, elf_files_at_least=3_000)


@each_break_of(IMAGE)
def test_what_is_excepted_breaks_for_real(one: Break) -> None:
    assert one.says in said(one)
