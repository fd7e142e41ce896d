"""What pip and npm install for musl passes under musl, but for packages that have no build for it."""

from __future__ import annotations

import pytest

from tests.silence.breaks import Break
from tests.silence.checks import assert_passes, assert_quiet, each_break_of
from tests.silence.families import of_addon, of_wheel
from tests.silence.images import APPLICATION, MUSL, SITE_PACKAGES, root
from tests.silence.proofs import said
from tests.silence.scans import judged

pytestmark = [pytest.mark.oracle, pytest.mark.silence]
IMAGE = "musl"


@pytest.mark.parametrize("wheel", MUSL.wheels)
def test_a_wheel_has_no_warning(wheel: str) -> None:
    assert_quiet(IMAGE, of_wheel(root(IMAGE), SITE_PACKAGES["musl"], wheel))


@pytest.mark.parametrize("package", (*MUSL.npm, *MUSL.npm_files))
def test_an_addon_has_no_warning(package: str) -> None:
    assert judged(IMAGE).loud(of_addon(root(IMAGE), APPLICATION, package)) == []


def test_the_whole_image_passes_the_gate() -> None:
    assert_passes(IMAGE, elf_files_at_least=500)
    assert judged(IMAGE).report["image"]["libc"] == ["musl 1.2.5"]


@each_break_of(IMAGE)
def test_what_is_excepted_breaks_for_real(one: Break) -> None:
    assert one.says in said(one)
