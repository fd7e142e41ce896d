"""Marks for traps where imagescan is known to be wrong: the test stays, and tells when it is mended."""

from __future__ import annotations

import pytest

from tests.loader.scene import ModelDisagrees


def wrong(reason: str) -> pytest.MarkDecorator:
    """imagescan, not the real loader, says otherwise. Fails as soon as it does not any more."""
    return pytest.mark.xfail(strict=True, raises=ModelDisagrees, reason=reason)
