"""The composer: progress, overrides, and two answers where the CPU decides."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagescan.errors import UsageError
from imagescan.findings import Certainty, Severity
from imagescan.judging import ImageScan
from imagescan.options import ProgressEvent, ScanOptions, Stage
from imagescan.rules.examples.elf_writer import ElfStandIn, write_elf
from imagescan.rules.examples.notation import GLIBC_MARKS
from imagescan.scan import scan
from samples.oci import File, ImageBuilder, write_layout

LOADER = "/lib64/ld-linux-x86-64.so.2"
HWCAPS = "usr/lib/x86_64-linux-gnu/glibc-hwcaps"


def base() -> dict[str, File]:
    loader = ElfStandIn(soname="ld-linux-x86-64.so.2", marks=GLIBC_MARKS)
    program = ElfStandIn(type="program", interpreter=LOADER, needed=("libx.so.1",))
    return {
        "lib64/ld-linux-x86-64.so.2": File(write_elf(loader), mode=0o755),
        "app": File(write_elf(program), mode=0o755),
    }


def library() -> File:
    return File(write_elf(ElfStandIn(soname="libx.so.1")))


def scanned(directory: Path, files: dict[str, File], options: ScanOptions | None = None) -> ImageScan:
    image = ImageBuilder("linux/amd64", {"Entrypoint": ["/app"]})
    for name, file in files.items():
        image.layer({name: file}, created_by=f"COPY {name}")
    layout = write_layout(directory / "layout", {"latest": image})
    return scan(f"oci:{layout}", options or ScanOptions(platform="linux/amd64"))[0]


def test_a_library_only_for_better_cpus_breaks_the_lesser_ones(tmp_path: Path) -> None:
    files = {**base(), f"{HWCAPS}/x86-64-v3/libx.so.1": library()}
    (finding,) = scanned(tmp_path, files).report.findings
    assert finding.condition == "on a CPU below x86-64-v3"
    assert finding.certainty is Certainty.CONDITIONAL
    assert finding.severity is Severity.WARNING


def test_a_broken_library_for_better_cpus_breaks_those(tmp_path: Path) -> None:
    files = {
        **base(),
        "usr/lib/x86_64-linux-gnu/libx.so.1": library(),
        f"{HWCAPS}/x86-64-v2/libx.so.1": File(b"version https://git-lfs.github.com/spec/v1\n" * 4),
    }
    scan_of = scanned(tmp_path, files)
    assert [one.condition for one in scan_of.report.findings] == ["on a CPU of level x86-64-v2 or above"]


def test_a_stated_cpu_gives_one_certain_answer(tmp_path: Path) -> None:
    files = {**base(), f"{HWCAPS}/x86-64-v3/libx.so.1": library()}
    least = scanned(tmp_path / "a", files, ScanOptions(platform="linux/amd64", cpu="x86-64-v2"))
    assert [one.certainty for one in least.report.findings] == [Certainty.CERTAIN]
    best = scanned(tmp_path / "b", files, ScanOptions(platform="linux/amd64", cpu="x86-64-v4"))
    assert best.report.findings == ()


def test_an_unknown_cpu_level_is_refused_before_the_image_is_read() -> None:
    with pytest.raises(UsageError, match="x86-64-v9"):
        scan("oci:/nowhere", ScanOptions(cpu="x86-64-v9"))


def test_progress_counts_every_byte_and_layer(tmp_path: Path) -> None:
    events: list[ProgressEvent] = []
    options = ScanOptions(platform="linux/amd64", on_progress=events.append)
    layers = scanned(tmp_path, base(), options).report.image.layers
    done = next(event for event in events if event.stage is Stage.JUDGING)
    assert (done.layers_done, done.layers_total) == (2, 2)
    assert done.bytes_done == done.bytes_total == sum(layer.size or 0 for layer in layers)


def test_another_entrypoint_is_judged_instead_of_the_images(tmp_path: Path) -> None:
    options = ScanOptions(platform="linux/amd64", entrypoint=("/absent",))
    rules = {one.rule for one in scanned(tmp_path, base(), options).report.findings}
    assert "start/entrypoint-missing" in rules


def test_the_link_report_names_what_is_missing(tmp_path: Path) -> None:
    (program,) = [one for one in scanned(tmp_path, base()).links.objects if one.path == "/app"]
    assert [(one.soname, one.path, one.how) for one in program.needed] == [("libx.so.1", None, None)]
