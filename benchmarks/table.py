"""The results as text: every ratio beside its floor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks import growth

PEAK_BYTES = 150_000_000


@dataclass(frozen=True)
class Ratio:
    """One row: what was measured, and the most (or with ``least`` the least) that it may be."""

    image: str
    name: str
    value: float
    floor: float
    least: bool = False
    unit: str = ""

    @property
    def holds(self) -> bool:
        """Whether the floor is reached."""
        return self.value >= self.floor if self.least else self.value <= self.floor


def ratios(results: dict[str, Any]) -> Iterator[Ratio]:
    """Every ratio that has a floor."""
    for image, one in results["images"].items():
        yield from _of_image(image, one)
    yield from _of_start_up(results.get("start-up"))
    yield from _of_registry(results.get("registry"))


def _of_image(image: str, one: dict[str, Any]) -> Iterator[Ratio]:
    costs, others = one["costs"], one.get("peers", {})
    if "L1" in costs:
        floor = 1.15 if image.startswith("gzip") else 1.20
        yield Ratio(image, "cold, serial: CPU / L1", costs["cold, serial"]["cpu"] / costs["L1"]["cpu"], floor)
        yield Ratio(image, "binding / whole scan", one["binding"], 0.15)
    if "cold" in costs:
        yield Ratio(image, "cold: wall / L2", costs["cold"]["wall"] / costs["L2"]["wall"], 1.15)
        yield Ratio(image, "cold: peak memory", costs["cold"]["peak"] / 1e6, PEAK_BYTES / 1e6, unit="MB")
    if "layers known" in costs:
        most = 50 if image.endswith("small") else 200
        for known in ("layers known", "other words"):
            yield Ratio(image, f"{known}: wall", costs[known]["wall"] * 1000, most, unit="ms")
        yield Ratio(image, "unchanged: wall", costs["unchanged"]["wall"] * 1000, 40, unit="ms")
    if "syft" in others and "cold" in costs:
        cold, syft = costs["cold"], others["syft"]
        yield Ratio(image, "syft: wall / cold", syft["wall"] / cold["wall"], 10, least=True)
        yield Ratio(image, "cold: memory / syft", cold["peak"] / syft["peak"], 0.2)


def _of_start_up(one: dict[str, Any] | None) -> Iterator[Ratio]:
    if one:
        version, nothing = (one["costs"][name]["wall"] for name in ("imagescan --version", "python -c pass"))
        yield Ratio("", "--version / python -c pass: wall", version / nothing, 2.5)


def _of_registry(one: dict[str, Any] | None) -> Iterator[Ratio]:
    if one:
        costs = one["costs"]
        slower = max(costs["download"]["wall"], costs["scan of the layout"]["wall"])
        image, remote = f"gzip-{one['image']}", costs["scan of the registry"]
        yield Ratio(image, "registry: wall / slower of both", remote["wall"] / slower, 1.05)
        more = remote["written"] - costs["scan of the layout"]["written"]
        yield Ratio(image, "registry: more written to disk", more / 1e6, 1, unit="MB")


def text(results: dict[str, Any]) -> str:
    """All tables."""
    parts = [_costs(results), _ratios(results)]
    if results.get("growth"):
        parts.append(growth.text(results["growth"]))
    return "\n\n".join(part for part in parts if part)


def _costs(results: dict[str, Any]) -> str:
    groups = {name: {**one["costs"], **one.get("peers", {})} for name, one in results["images"].items()}
    for part in ("start-up", "registry"):
        if results.get(part):
            groups[part] = results[part]["costs"]
    lines = [f"{'image':<14}{'what':<26}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}"]
    for group, costs in groups.items():
        for name, cost in costs.items():
            seconds = f"{cost['wall']:>9.3f}{cost['cpu']:>9.3f}"
            lines.append(f"{group:<14}{name:<26}{seconds}{cost['peak'] / 1e6:>9.0f}")
    return "\n".join(lines)


def _ratios(results: dict[str, Any]) -> str:
    lines = [f"{'image':<14}{'ratio':<34}{'is':>9}{'floor':>14}"]
    for one in ratios(results):
        floor = f"{'>=' if one.least else '<='} {one.floor:g} {one.unit}".rstrip()
        verdict = "" if one.holds else "   NOT YET"
        lines.append(f"{one.image:<14}{one.name:<34}{one.value:>9.2f}{floor:>14}{verdict}")
    return "\n".join(lines)
