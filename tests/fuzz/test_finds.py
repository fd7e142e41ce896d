"""What the fuzzer found: each tree is the smallest on which the model was wrong once."""

from pathlib import Path

import pytest

from tests.fuzz.compare import disagreements
from tests.fuzz.real import RealLoader
from tests.fuzz.tree import from_json
from tests.requirements import require_root, require_tool

FINDS = sorted(Path(__file__).with_name("finds").glob("*.json"))


@pytest.mark.oracle
@pytest.mark.parametrize("find", FINDS, ids=lambda path: path.stem.replace("-", " "))
def test_find(find: Path) -> None:
    require_root()
    require_tool("mmdebstrap")
    tree = from_json(find.read_text())
    with RealLoader(tree.suite) as real:
        assert disagreements(tree, real) == []
