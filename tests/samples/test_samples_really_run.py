"""The kernel and the real loader say the same of every sample as its ``expected.yaml`` does."""

import subprocess
from pathlib import Path

import pytest
import yaml

from samples import build
from tests.requirements import require, require_root
from tests.samples.unpack import config_of, unpack

MUSL_LOADERS = tuple(Path("/lib").glob("ld-musl-*.so.1"))


@pytest.mark.oracle
def test_a_sample_starts_exactly_when_it_is_said_to_be_sound(sample: Path, tmp_path: Path) -> None:
    require_root()
    if "musl" in sample.name:
        require(bool(MUSL_LOADERS), "needs a real musl (Debian: apt-get install musl)")
    expected = yaml.safe_load((build.folder(sample.name) / "expected.yaml").read_text())
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
