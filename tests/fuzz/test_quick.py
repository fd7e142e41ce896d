"""The differential fuzzer, short enough for every run of the tests."""

import pytest

from tests.fuzz.__main__ import LOADERS, check
from tests.requirements import require_root, require_tool

TREES = 200


@pytest.mark.oracle
@pytest.mark.parametrize("loader", LOADERS)
def test_model_and_loader_agree_on_generated_trees(loader: str) -> None:
    require_root()
    require_tool("mmdebstrap")
    assert check(loader, range(TREES)) == []
