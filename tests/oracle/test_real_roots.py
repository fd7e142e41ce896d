from __future__ import annotations

import pytest

from tests.oracle.compare import compare_root
from tests.oracle.roots import root
from tests.requirements import require_root, require_tool

pytestmark = pytest.mark.oracle


@pytest.mark.parametrize("name", ["bookworm", "trixie", "bullseye", "bookworm-musl"])
def test_every_file_of_a_real_root_gets_the_answers_of_its_real_loader(name: str) -> None:
    require_root()
    require_tool("gcc")
    outcome = compare_root(root(name))
    assert outcome.counts["files"] > 600
    assert outcome.counts["edges"] > 3000
    assert outcome.counts["searches"] > 1500
    assert outcome.counts["undefined symbols"] > 500
    assert (outcome.counts["files asked of the other libc's loader too"] > 100) == (name == "bookworm-musl")
    assert [str(disagreement) for disagreement in outcome.disagreements] == []
