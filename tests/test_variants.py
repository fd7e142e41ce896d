"""What a path says of the platform that its file is for."""

from __future__ import annotations

import pytest

from imagescan.variants import read_variant


@pytest.mark.parametrize(
    "other", ["darwin-x64+arm64", "win32-ia32", "linux-arm64", "linuxmusl-x64", "android-arm"]
)
def test_directories_for_other_platforms_hold_variants_of_the_same_thing(other: str) -> None:
    assert read_variant(f"/m/prebuilds/{other}/level.node").family == (
        read_variant("/m/prebuilds/linux-x64/level.node").family
    )
