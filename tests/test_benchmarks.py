"""The benchmarks measure functions by their names; a scan has to call these very functions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.profile import STAGES
from samples.build import build


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"oci:{build('sound-glibc', tmp_path_factory.mktemp('samples'))}"


def test_every_stage_of_the_profile_is_measured(image: str) -> None:
    shown = output("benchmarks.profile", image)
    assert [stage for *_, stage in STAGES if stage not in shown] == []


def test_the_serial_scan_says_what_the_scan_says(image: str) -> None:
    words = (image, "-o", "json", "--no-progress", "--no-cache")
    assert output("benchmarks.serial", *words) == output("imagescan", *words)


def output(module: str, *words: str) -> str:
    here = Path(__file__).parent.parent
    command = [sys.executable, "-m", module, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=here).stdout
