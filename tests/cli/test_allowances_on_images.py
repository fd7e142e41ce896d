"""Waivers, the baseline and diff on real images, through the real command line."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from samples import build

ROOT = Path(__file__).parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    directory = tmp_path_factory.mktemp("images")
    return {name: f"oci:{build.build(name, directory)}" for name in ("library-removed", "version-missing")}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "imagescan", *words],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={"COLUMNS": "200", "PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        )

    return run


def test_a_waiver_by_rule_path_and_soname_passes_a_broken_image(
    images: dict[str, str], run: Run, tmp_path: Path
) -> None:
    (tmp_path / ".imagescan.yaml").write_text(
        "waivers:\n"
        "  - {rule: loader/*, path: /usr/local/**, soname: libgreet.so.1, reason: mounted}\n"
        "  - {rule: abi/glibc-too-old, symbol: GREET_2.0, image: '*version-missing*', reason: known}\n"
    )
    for image in images.values():
        done = run(image, "--show-waived")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.count("because") == 1
    assert run(*images.values()).returncode == 0


def test_a_baseline_passes_the_image_that_it_is_of_and_fails_another(
    images: dict[str, str], run: Run
) -> None:
    removed, version = images.values()
    assert run(removed, "-o", "json=before.json").returncode == 1
    assert run(removed, "--baseline", "before.json").returncode == 0
    assert run(version, "--baseline", "before.json").returncode == 1


def test_diff_tells_what_broke_and_what_was_mended(images: dict[str, str], run: Run) -> None:
    removed, version = images.values()
    done = run("diff", removed, version, "-o", "json")
    assert done.returncode == 1
    (platform,) = json.loads(done.stdout)["platforms"]
    assert [one["rule"] for one in platform["new_findings"]] == ["abi/version-missing"]
    assert [one["rule"] for one in platform["mended"]] == ["loader/library-missing"]
    assert platform["layers"]["shared"] > 0
    assert platform["layers"]["added"]
    assert run("diff", removed, removed).returncode == 0
