from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loader.scene import Scene
from tests.oracle.cache import cache_directory
from tests.requirements import require_root, require_tool


@pytest.fixture
def scene() -> Iterator[Scene]:
    """An empty tree beside the bases (hard links, and a file system that is not mounted nosuid)."""
    require_root()
    require_tool("gcc")
    (cache_directory() / "scenes").mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(dir=cache_directory() / "scenes"))
    directory.chmod(0o755)
    yield Scene(directory)
    shutil.rmtree(directory)
