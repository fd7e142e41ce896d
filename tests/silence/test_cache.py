"""The test cache deletes what was not finished, and nothing that is mounted in it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.oracle.cache import publish
from tests.requirements import require_root


def test_what_was_not_finished_is_deleted(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), publish(tmp_path / "root") as unfinished:
        (unfinished / "dev").mkdir(parents=True)
        raise KeyboardInterrupt
    assert not unfinished.exists()


@pytest.mark.oracle
def test_nothing_is_deleted_through_a_mount(tmp_path: Path) -> None:
    require_root()
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "kept").touch()
    with pytest.raises(RuntimeError, match="still mounted"), publish(tmp_path / "root") as unfinished:
        unfinished.mkdir()
        point = unfinished / "shm"
        point.mkdir()
        subprocess.run(["mount", "--bind", shared, point], check=True)
        raise KeyboardInterrupt
    subprocess.run(["umount", point], check=True)
    assert (shared / "kept").exists()
