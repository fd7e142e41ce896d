"""End to end: each sample, through the real command line, gives exactly what its table says."""

import json
import subprocess
import sys
from pathlib import Path

import yaml

from samples import build


def imagescan(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "imagescan", *words], capture_output=True, text=True)


def test_a_sample_gives_its_findings_and_no_others(sample: Path) -> None:
    expected = yaml.safe_load((build.folder(sample.name) / "expected.yaml").read_text())

    done = imagescan(f"oci:{sample}", "-o", "json", "--fail-on", "error")

    assert done.stderr == ""
    document = json.loads(done.stdout)
    found = {(one["rule"], one["object"], one["severity"]) for one in document["findings"]}
    wanted = {(one["rule"], one["object"], one["severity"]) for one in expected["findings"]}
    assert found == wanted
    assert done.returncode == expected["exit"]


def test_a_sample_names_message_and_layer(sample: Path) -> None:
    expected = yaml.safe_load((build.folder(sample.name) / "expected.yaml").read_text())
    findings = json.loads(imagescan(f"oci:{sample}", "-o", "json").stdout)["findings"]
    for wanted, found in zip(expected["findings"], findings, strict=True):
        assert wanted.get("says", "") in found["runtime_message"]
        for key, value in wanted.get("blame", {}).items():
            assert value in [blame[key] for blame in found["blame"]]


def test_the_table_of_a_sample_begins_with_its_verdict(sample: Path) -> None:
    expected = yaml.safe_load((build.folder(sample.name) / "expected.yaml").read_text())
    done = imagescan(f"oci:{sample}")
    assert done.stdout.startswith("PASSED  " if expected["exit"] == 0 else "FAILED  ")
