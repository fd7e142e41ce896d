"""Each sample, end to end: the command line gives exactly what ``expected.yaml`` says, and so do the
kernel and the real loader when it is run."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from samples import build
from tests.requirements import require, require_root
from tests.samples.unpack import config_of, unpack

MUSL_LOADERS = tuple(Path("/lib").glob("ld-musl-*.so.1"))


def imagescan(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "imagescan", *words], capture_output=True, text=True)


def expected_of(layout: Path) -> dict[str, Any]:
    return yaml.safe_load((build.folder(layout.name) / "expected.yaml").read_text())


def test_a_sample_gives_its_findings_and_no_others(sample: Path) -> None:
    expected = expected_of(sample)

    done = imagescan(f"oci:{sample}", "-o", "json")

    assert done.stderr == ""
    findings = json.loads(done.stdout)["findings"]
    for wanted, found in zip(expected["findings"], findings, strict=True):
        for key in ("rule", "object", "severity"):
            assert found[key] == wanted[key]
        assert wanted.get("says", "") in found["runtime_message"]
        for key, value in wanted.get("blame", {}).items():
            assert value in [blame[key] for blame in found["blame"]]
    assert done.returncode == expected["exit"]


@pytest.mark.oracle
def test_a_sample_starts_exactly_when_it_is_said_to_be_sound(sample: Path, tmp_path: Path) -> None:
    require_root()
    if "musl" in sample.name:
        require(bool(MUSL_LOADERS), "needs a real musl (Debian: apt-get install musl)")
    expected = expected_of(sample)
    root = unpack(sample, tmp_path / "root")
    entrypoint = config_of(sample)["config"]["Entrypoint"]

    done = subprocess.run(
        ["env", "-i", "LC_ALL=C", "PATH=/usr/bin:/bin:/usr/sbin:/sbin", "chroot", str(root), *entrypoint],
        capture_output=True,
        text=True,
    )

    assert (done.returncode == 0) == (expected["exit"] == 0), done.stderr
    for finding in expected["findings"]:
        assert finding.get("says", "") in done.stderr


@pytest.mark.parametrize(("name", "verdict"), [("sound-glibc", "PASSED"), ("library-removed", "FAILED")])
def test_the_table_begins_with_the_verdict(name: str, verdict: str, samples_directory: Path) -> None:
    layout = build.build(name, samples_directory)
    assert imagescan(f"oci:{layout}").stdout.startswith(f"{verdict}  oci:{layout}  ")


def test_tree_and_why_agree_with_the_finding(samples_directory: Path) -> None:
    layout = build.build("library-removed", samples_directory)
    links = json.loads(imagescan("tree", f"oci:{layout}", "welcome", "-o", "json").stdout)
    needed = {one["soname"]: one["path"] for one in links["objects"][0]["needed"]}
    assert needed["libgreet.so.1"] is None
    assert needed["libc.so.6"] is not None
    assert "removed" in imagescan("why", f"oci:{layout}", "libgreet.so.1").stdout


def test_every_sample_is_described_and_every_rule_asked_for_exists() -> None:
    rules = imagescan("rules", "list").stdout
    for name in build.names():
        expected = yaml.safe_load((build.folder(name) / "expected.yaml").read_text())
        assert expected["shows"]
        assert all(f"{finding['rule']} " in rules for finding in expected["findings"])
