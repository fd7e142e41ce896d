"""Archives in images: what is reported of them as a whole, cold and from the cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagescan.findings import ScanReport
from imagescan.options import CacheOptions, ScanOptions
from imagescan.rules.examples.elf_writer import ElfStandIn, write_elf
from imagescan.rules.examples.image import write_layer
from imagescan.rules.examples.notation import BASES, read_image
from imagescan.rules.yaml_reader import read_yaml
from imagescan.scan import scan
from samples.oci import File, ImageBuilder, write_layout
from tests.archives.zips import LIBRARY, central, changed, zipped

NATIVE = "native/linux/x86_64/libx.so"
ARM = write_elf(ElfStandIn(machine="aarch64", needed=("libc.so.6",)))
LACKING = write_elf(ElfStandIn(needed=("libabsent.so.4", "libc.so.6")))


def layout(directory: Path, files: dict[str, bytes], *, java: bool = True) -> Path:
    image = ImageBuilder("linux/amd64", {"Entrypoint": ["sh"]})
    image.raw_layer(write_layer(read_image(read_yaml(BASES["debian"], "base")).layers[-1]))
    program = ElfStandIn(type="program", interpreter="/lib64/ld-linux-x86-64.so.2", needed=("libc.so.6",))
    if java:
        image.layer({"usr/bin/java": File(write_elf(program), mode=0o755)})
    image.layer({name: File(data) for name, data in files.items()}, created_by="COPY libs /app")
    return write_layout(directory / "layout", {"latest": image})


def report(place: Path, **wishes: object) -> ScanReport:
    (result,) = scan(f"oci:{place}", ScanOptions(platform="linux/amd64", **wishes))  # type: ignore[arg-type]
    return result.report


def test_what_cannot_be_read_of_an_archive_makes_the_scan_incomplete(tmp_path: Path) -> None:
    jar = zipped({NATIVE: LIBRARY})
    encrypted = changed(jar, central(jar, NATIVE) + 8, "<H", 1)
    found = report(layout(tmp_path, {"app/x.jar": encrypted, "app/cut.jar": jar[:-9]}))
    reasons = {one.path: one.reason for one in found.incomplete}
    assert reasons["/app/x.jar"] == f"archive: {NATIVE}: it is encrypted, so it was not read"
    assert "no directory" in reasons["/app/cut.jar"]


def test_damaged_archives_among_test_data_are_left_alone(tmp_path: Path) -> None:
    found = report(layout(tmp_path, {"usr/lib/python3/test/bad.zip": zipped({NATIVE: LIBRARY})[:-9]}))
    assert found.incomplete == ()


def test_what_is_named_jar_and_is_something_else_is_left_alone(tmp_path: Path) -> None:
    found = report(layout(tmp_path, {"app/x.jar": b"not a zip", "app/y.jar": b"", "app/z.zip": b"\x1f\x8b"}))
    assert (found.incomplete, found.findings) == ((), ())


def test_a_library_that_is_missing_for_a_member_is_told_with_its_path_and_layer(tmp_path: Path) -> None:
    inner = zipped({NATIVE: LACKING})
    (finding,) = report(layout(tmp_path, {"app/shop.war": zipped({"WEB-INF/lib/x.jar": inner})})).findings
    assert finding.rule == "loader/library-missing"
    assert finding.object == f"/app/shop.war!/WEB-INF/lib/x.jar!/{NATIVE}"
    assert (finding.severity, finding.tier, finding.certainty) == ("warning", "plugin", "conditional")
    assert finding.condition == "when /usr/bin/java opens it"
    assert finding.items == ("libabsent.so.4",)
    assert [one.created_by for one in finding.blame] == ["COPY libs /app"]


def test_a_library_that_another_member_brings_is_not_missing(tmp_path: Path) -> None:
    brought = write_elf(ElfStandIn(soname="libabsent.so.4", needed=("libc.so.6",)))
    one = zipped({NATIVE: LACKING, "native/linux/x86_64/libabsent.so.4.2": brought})
    assert report(layout(tmp_path / "a", {"app/x.jar": one})).findings == ()
    two = {"app/x.jar": zipped({NATIVE: LACKING}), "app/y.jar": zipped({"n/libabsent.so.4.2": brought})}
    assert report(layout(tmp_path / "b", two)).findings == ()


def test_the_libraries_of_one_loader_in_one_archive_are_one_finding(tmp_path: Path) -> None:
    members = {f"ai/onnxruntime/native/linux-aarch64/lib{name}.so": ARM for name in ("a", "b", "c")}
    (finding,) = report(layout(tmp_path, {"app/onnx.jar": zipped(members)})).findings
    assert finding.rule == "bundle/no-usable-variant"
    assert len(finding.requesters) == 3


@pytest.mark.parametrize("java", [True, False])
def test_without_java_nothing_in_a_jar_is_ever_loaded(tmp_path: Path, java: bool) -> None:
    found = report(layout(tmp_path, {"app/x.jar": zipped({NATIVE: LACKING})}, java=java))
    assert bool(found.findings) == java


def test_a_plain_zip_is_nothing_that_a_program_loads(tmp_path: Path) -> None:
    assert report(layout(tmp_path, {"app/x.zip": zipped({NATIVE: LACKING})})).findings == ()


def test_a_layer_from_the_cache_says_the_same(tmp_path: Path) -> None:
    jar = zipped({NATIVE: LACKING, "a.jar": zipped({NATIVE: ARM}), "bad.so": LIBRARY})
    jar = changed(jar, central(jar, "bad.so") + 8, "<H", 1)
    place = layout(tmp_path, {"app/x.jar": jar})
    cold = report(place)
    cache = CacheOptions(tmp_path / "cache")
    filled = report(place, cache=cache)
    # Another wish, so that the layers and not the whole answer come from the cache.
    warm = report(place, cache=cache, user="root")
    assert cold.findings
    assert cold.incomplete
    assert cold.findings == filled.findings == warm.findings
    assert cold.incomplete == filled.incomplete == warm.incomplete
