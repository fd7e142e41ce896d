"""A plain Debian passes: nothing at warning or above, and something was judged."""

from __future__ import annotations

import pytest

from tests.silence.images import STOCK
from tests.silence.scans import judged

pytestmark = [pytest.mark.oracle, pytest.mark.silence]


@pytest.mark.parametrize("name", STOCK)
def test_a_stock_debian_has_no_warning(name: str) -> None:
    outcome = judged(name)
    assert outcome.loud() == []
    assert (outcome.code, outcome.report["incomplete"], outcome.errors) == (0, [], "")
    assert outcome.report["counts"]["programs"] > 200
    assert outcome.report["counts"]["objects"]["startup"] > 0
