"""What pip and npm install for Debian passes: popular wheels and addons, in Debian's Python and Node.js."""

from __future__ import annotations

import pytest

from tests.silence.breaks import Break
from tests.silence.checks import assert_passes, assert_quiet, each_break_of
from tests.silence.families import elf_files, of_addon, of_wheel
from tests.silence.images import APPLICATION, REGISTRIES, SITE_PACKAGES, root
from tests.silence.proofs import said
from tests.silence.scans import judged

pytestmark = [pytest.mark.oracle, pytest.mark.silence]
IMAGE = "registries"


@pytest.mark.parametrize("wheel", REGISTRIES.wheels)
def test_a_wheel_has_no_warning(wheel: str) -> None:
    assert_quiet(IMAGE, of_wheel(root(IMAGE), SITE_PACKAGES["glibc"], wheel))


@pytest.mark.parametrize("package", (*REGISTRIES.npm, *REGISTRIES.npm_files))
def test_an_addon_of_node_has_no_warning(package: str) -> None:
    files = of_addon(root(IMAGE), APPLICATION, package)
    assert files
    assert judged(IMAGE).loud(files) == []


def test_most_npm_packages_have_native_code_to_judge() -> None:
    native = [
        one for one in REGISTRIES.npm if elf_files(root(IMAGE), of_addon(root(IMAGE), APPLICATION, one))
    ]
    assert len(native) >= 30


def test_the_whole_image_passes_the_gate() -> None:
    assert_passes(IMAGE, elf_files_at_least=1_500)


@each_break_of(IMAGE)
def test_what_is_excepted_breaks_for_real(one: Break) -> None:
    assert one.says in said(one)
