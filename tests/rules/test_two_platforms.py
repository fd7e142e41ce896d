"""Images of one index judged together: a layer that two architectures share."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagescan.options import ScanOptions
from imagescan.rules.examples.elf_writer import ElfStandIn, write_elf
from imagescan.scan import scan
from tests.sources.store import Store, platform, tar_of

AMD64 = tar_of({"app": write_elf(ElfStandIn(type="static", machine="x86-64"))})
ARM64 = tar_of({"app": write_elf(ElfStandIn(type="static", machine="aarch64"))})
RULE = "platform/same-binary-in-two-platforms"
STARTS = {"config": {"Entrypoint": ["/app"]}}


def layout(directory: Path, **tars: bytes) -> str:
    store = Store()
    entries = [
        platform(store.image(tar, architecture=name.partition("_")[0], config=STARTS), text)
        for name, tar in tars.items()
        for text in (f"linux/{name.replace('_', '/')}",)
    ]
    store.index(*entries, tag="x")
    return f"oci:{store.write_layout(directory)}:x"


def rules_by_platform(reference: str, asked: str, **options: object) -> dict[str, list[str]]:
    scans = scan(reference, ScanOptions(platform=asked, **options))  # type: ignore[arg-type]
    return {one.report.image.platform: [found.rule for found in one.report.findings] for one in scans}


def test_a_layer_built_once_is_told_in_the_image_that_it_does_not_fit(tmp_path: Path) -> None:
    reference = layout(tmp_path, amd64=AMD64, arm64=AMD64)
    assert rules_by_platform(reference, "all") == {
        "linux/amd64": [],
        "linux/arm64": ["platform/wrong-architecture", RULE],
    }


def test_one_platform_alone_has_no_sibling(tmp_path: Path) -> None:
    reference = layout(tmp_path, amd64=AMD64, arm64=AMD64)
    assert rules_by_platform(reference, "linux/arm64") == {"linux/arm64": ["platform/wrong-architecture"]}


def test_an_answer_that_was_kept_of_one_platform_alone_is_not_given_for_all(tmp_path: Path) -> None:
    from imagescan.options import CacheOptions

    reference = layout(tmp_path / "layout", amd64=AMD64, arm64=AMD64)
    cache = {"cache": CacheOptions(directory=tmp_path / "cache")}
    rules_by_platform(reference, "linux/arm64", **cache)
    for _ in ("judged", "known"):
        assert RULE in rules_by_platform(reference, "all", **cache)["linux/arm64"]
    assert RULE not in rules_by_platform(reference, "linux/arm64", **cache)["linux/arm64"]


@pytest.mark.parametrize(
    "tars",
    [{"amd64": AMD64, "arm64": ARM64}, {"arm_v6": ARM64, "arm_v7": ARM64}],
    ids=["each has its own", "variants of one architecture"],
)
def test_it_is_silent_about(tmp_path: Path, tars: dict[str, bytes]) -> None:
    found = rules_by_platform(layout(tmp_path, **tars), "all")
    assert all(RULE not in rules for rules in found.values())
