"""What pip and npm install for Debian passes: popular wheels and addons, in Debian's Python and Node.js."""

from __future__ import annotations

import pytest

from tests.silence.breaks import BREAKS, Break
from tests.silence.families import elf_files, of_addon, of_wheel
from tests.silence.images import APPLICATION, REGISTRIES, SITE_PACKAGES, root
from tests.silence.proofs import said
from tests.silence.scans import judged

pytestmark = [pytest.mark.oracle, pytest.mark.silence]
IMAGE = "registries"


@pytest.mark.parametrize("wheel", REGISTRIES.wheels)
def test_a_wheel_has_no_warning(wheel: str) -> None:
    files = of_wheel(root(IMAGE), SITE_PACKAGES["glibc"], wheel)
    assert elf_files(root(IMAGE), files) > 0, "nothing to judge"
    assert judged(IMAGE).loud(files) == []


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
    outcome = judged(IMAGE)
    assert outcome.loud() == []
    assert (outcome.code, outcome.report["incomplete"], outcome.errors) == (0, [], "")
    assert outcome.report["remarks"] == [], "a break that is no more"
    assert outcome.report["counts"]["elf_files"] > 1_500


@pytest.mark.parametrize("one", [one for one in BREAKS if one.image == IMAGE], ids=lambda one: one.paths[0])
def test_what_is_excepted_breaks_for_real(one: Break) -> None:
    assert one.says in said(one)
