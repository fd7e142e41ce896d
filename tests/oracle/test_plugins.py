"""The host model: what it says of each plugin of a real root is what its real host does with it."""

from __future__ import annotations

import pytest

from tests.oracle.plugins import compare_plugins
from tests.oracle.roots import root
from tests.requirements import require_root, require_tool

pytestmark = pytest.mark.oracle


@pytest.mark.parametrize(("name", "families"), [("bookworm", 4), ("trixie", 3)])
def test_a_plugin_opens_in_its_host_exactly_where_the_real_one_opens_it(name: str, families: int) -> None:
    require_root()
    require_tool("gcc")
    counts, differences = compare_plugins(root(name))
    assert differences == []
    assert len(counts) >= families, counts
    assert counts.total() > 250, counts
