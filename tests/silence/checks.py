"""What every image of this directory has to hold.

In: the name of an image and, of a part of it, the paths. Out: nothing, or a failed assertion.
"""

from __future__ import annotations

from collections.abc import Collection

import pytest

from tests.silence.breaks import BREAKS
from tests.silence.families import elf_files
from tests.silence.images import root
from tests.silence.scans import judged


def assert_quiet(image: str, files: Collection[str]) -> None:
    """Native code is among these files, and nothing at warning or above concerns any of them."""
    assert elf_files(root(image), files) > 0, "nothing to judge"
    assert judged(image).loud(files) == []


def assert_passes(image: str, *, elf_files_at_least: int) -> None:
    """The image passes a gate at warning, was looked at as a whole, and every excepted break is there."""
    outcome = judged(image)
    assert outcome.loud() == []
    assert (outcome.code, outcome.report["incomplete"], outcome.errors) == (0, [], "")
    assert outcome.report["remarks"] == [], "a break that is no more"
    assert outcome.report["counts"]["elf_files"] >= elf_files_at_least


def each_break_of(image: str) -> pytest.MarkDecorator:
    """Run a test for each excepted break of an image."""
    breaks = [one for one in BREAKS if one.image == image]
    return pytest.mark.parametrize("one", breaks, ids=lambda one: one.paths[0])
