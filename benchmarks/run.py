"""Measure everything in one run: ``make bench``, or ``python -m benchmarks.run [--quick]``.

Each round measures every subject once, one after the other, so that what the machine does
meanwhile falls on all of them; the figures are medians of the rounds (memory: the largest). What
counts are the ratios. Writes ``benchmarks/results/NAME.json`` and, unless quick, the picture.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import growth, limit, peers, plot, registry, scans, table
from benchmarks.images import COMPRESSIONS, layers, reference, require
from benchmarks.measure import Cost, Failed, document, median, run
from benchmarks.profile import BINDING
from benchmarks.synthetic import other_command, twin

RESULTS = Path("benchmarks/results")
PICTURE = Path("docs/performance.svg")
_LDD_SAMPLE = 400
_START_UP_RUNS = 15

Costs = dict[str, list[Cost]]


def note(text: str) -> None:
    """Tell the person who waits."""
    print(f"benchmarks: {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def measure_image(image: str, compression: str, rounds: int) -> dict[str, Any]:
    """The yardstick and every kind of scan of one image, interleaved."""
    renamed, restarted = twin(image), other_command(image)
    costs: Costs = defaultdict(list)
    shares = []
    for number in range(rounds):
        note(f"{compression}-{image}, round {number + 1} of {rounds}")
        costs["L1"].append(limit.measure(image, compression))
        costs["cold, serial"].append(scans.cold(image, compression, serial=True))
        costs["L2"].append(limit.measure(image, compression, 2))
        with tempfile.TemporaryDirectory() as cache:
            costs["cold"].append(scans.warm(image, compression, Path(cache)))
            costs["unchanged"].append(scans.warm(image, compression, Path(cache)))
            costs["layers known"].append(scans.warm(restarted, compression, Path(cache)))
            costs["other words"].append(scans.warm(renamed, compression, Path(cache)))
        shares.append(_binding_share(image, compression))
    return {
        "facts": _facts(image, compression),
        "binding": round(statistics.median(shares), 4),
        **_all(costs),
    }


def _all(costs: Costs) -> dict[str, Any]:
    return {"costs": {name: document(median(found)) for name, found in costs.items()}}


def _binding_share(image: str, compression: str) -> float:
    """Binding symbols, as a part of the CPU seconds of a serial scan that is taken apart."""
    with tempfile.NamedTemporaryFile() as output:
        command = [sys.executable, "-m", "benchmarks.profile", "--json", reference(image, compression)]
        run(command, output=Path(output.name))
        seconds = json.loads(Path(output.name).read_text())["seconds"]
    return float(seconds[BINDING] / seconds["all"])


def _facts(image: str, compression: str) -> dict[str, int]:
    parts = layers(image)
    return {
        "layers": len(parts),
        "compressed": sum(part.blobs[compression][1] for part in parts),
        "uncompressed": sum(part.uncompressed for part in parts),
        "members": sum(part.members for part in parts),
        "ELF files": sum(part.elf_files for part in parts),
    }


def measure_peers(image: str, *, quick: bool) -> dict[str, dict[str, float]]:
    """Each peer once on the gzip layout; one that is not installed is left out, loudly."""
    found: dict[str, Cost] = {}
    if peers.find("syft"):
        note(f"syft on {image}")
        found["syft"] = peers.syft(image, "gzip")
    if all(peers.find(tool) for tool in ("umoci", "libtree")):
        note(f"umoci, libtree and ldd on {image}")
        with peers.unpacked(image, "gzip") as (root, unpacking):
            files = peers.elf_files(root)
            found["umoci unpack"] = unpacking
            found["umoci unpack + libtree"] = unpacking + peers.libtree(root, files)
            found["ldd on every file"] = peers.ldd(root, files, 100 if quick else _LDD_SAMPLE)
    if len(found) < 4:
        note("SKIPPED peers that are not installed: syft, umoci or libtree")
    return {name: document(cost) for name, cost in found.items()}


def measure_start_up() -> dict[str, Any]:
    """``--version`` against an empty Python program."""
    costs: Costs = defaultdict(list)
    for _ in range(_START_UP_RUNS):
        version, nothing = scans.start_up()
        costs["imagescan --version"].append(version)
        costs["python -c pass"].append(nothing)
    return _all(costs)


def measure_registry(image: str, rounds: int) -> dict[str, Any]:
    """Scanning from a registry, against downloading alone and scanning the layout alone."""
    if not all(peers.find(tool) for tool in ("docker-registry", "skopeo")):
        note("SKIPPED the registry: docker-registry or skopeo is not installed")
        return {}
    costs: Costs = defaultdict(list)
    with registry.serving(image, "gzip") as name:
        for number in range(rounds):
            note(f"registry, round {number + 1} of {rounds}")
            costs["download"].append(registry.download(name, image, "gzip"))
            costs["scan of the layout"].append(scans.cold(image, "gzip"))
            with tempfile.TemporaryDirectory() as cache:
                costs["scan of the registry"].append(
                    scans.of_references([f"registry:{name}"], Path(cache), options=["--insecure"])
                )
    return {"image": image, **_all(costs)}


def measure_xl() -> dict[str, Any]:
    """The image of 10 GB, once: what counts is its memory."""
    require(["xl"])
    costs: Costs = {"cold": [scans.cold("xl", "zstd")], "L2": [limit.measure("xl", "zstd", 2)]}
    return {"facts": _facts("xl", "zstd"), **_all(costs)}


def machine() -> dict[str, Any]:
    """Where the run took place, and with what."""
    model = Path("/proc/cpuinfo").read_text().partition("model name")[2].partition("\n")[0].lstrip("\t: ")
    return {
        "processor": model,
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "load before": os.getloadavg()[0],
        **{tool: peers.version(tool) for tool in ("syft", "umoci", "libtree")},
    }


def picture(results: dict[str, Any]) -> str:
    """Wall seconds of every tool on the gzip images."""
    names = {"L2": "limit, two processes", "cold": "imagescan", "layers known": "imagescan again"}
    groups = {}
    for name, one in results["images"].items():
        if name.startswith("gzip-"):
            costs = {**one["costs"], **one.get("peers", {})}
            chosen = [*names, "syft", "umoci unpack + libtree", "ldd on every file"]
            groups[name.removeprefix("gzip-")] = [
                (names.get(tool, tool), costs[tool]["wall"]) for tool in chosen if tool in costs
            ]
    return plot.svg("One image: wall seconds on two processors", groups)


def main(words: Sequence[str]) -> int:
    """Measure, print the tables, write the results; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="the small image only, one round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", nargs="+", default=["small", "medium", "large"])
    parser.add_argument(
        "--only", choices=("images", "peers", "start-up", "registry", "growth", "xl"), nargs="+"
    )
    parser.add_argument("--name", help="of the file with the results")
    parser.add_argument("--picture", action="store_true", help="draw it though only some parts ran")
    parsed = parser.parse_args(words)
    rounds = 1 if parsed.quick else parsed.rounds
    images = ["small"] if parsed.quick else parsed.images
    require(images)
    results = _measure(images, rounds, quick=parsed.quick, parts=parsed.only)
    print(table.text(results))
    RESULTS.mkdir(exist_ok=True)
    name = parsed.name or ("quick" if parsed.quick else "latest")
    (RESULTS / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    if parsed.picture or not (parsed.quick or parsed.only):
        PICTURE.write_text(picture(results))
    return 1 if results["failed"] else 0


def _measure(
    images: Sequence[str], rounds: int, *, quick: bool, parts: Sequence[str] | None
) -> dict[str, Any]:
    def wanted(part: str) -> bool:
        return part in parts if parts else part != "xl" or not quick

    limit.program()
    results: dict[str, Any] = {"machine": machine(), "rounds": rounds, "images": {}, "failed": []}
    found = results["images"]
    for image in images:
        for compression in COMPRESSIONS:
            if wanted("images"):
                _try(results, found, f"{compression}-{image}", measure_image, image, compression, rounds)
        if wanted("peers"):
            one = found.setdefault(f"gzip-{image}", {"costs": {}})
            _try(results, one, "peers", partial(measure_peers, quick=quick), image)
    if wanted("xl"):
        _try(results, found, "zstd-xl", measure_xl)
    middle = images[min(1, len(images) - 1)]
    others: dict[str, Callable[[], Any]] = {
        "start-up": measure_start_up,
        "registry": partial(measure_registry, middle, rounds),
        "growth": partial(growth.measure, min(rounds, 3), quick=quick),
    }
    for part, measure in others.items():
        if wanted(part):
            _try(results, results, part, measure)
    return results


def _try(
    results: dict[str, Any], into: dict[str, Any], name: str, measure: Callable[..., Any], *words: Any
) -> None:
    """Keep what else was measured when one subject fails, and say so in the results."""
    try:
        into[name] = measure(*words)
    except Failed as failure:
        note(f"FAILED {name}: {failure}")
        results["failed"].append(f"{name}: {failure}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
