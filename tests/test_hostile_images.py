"""Images made to exhaust the scanner: each limit ends in one line or one incomplete entry."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from imagescan.elf import dynamic
from imagescan.elf.facts import ElfFacts
from imagescan.elf.reader import read_elf
from imagescan.errors import LimitExceeded
from imagescan.judging import ImageScan
from imagescan.layers.column_store import TemporaryColumnStore
from imagescan.loader import binding, closures, search, simulate
from imagescan.options import ScanOptions
from imagescan.plugins import hosts
from imagescan.rules.examples.elf_writer import ElfStandIn, write_elf
from imagescan.rules.examples.notation import GLIBC_MARKS
from imagescan.scan import scan
from samples.oci import File, ImageBuilder, write_layout
from tests.elf.compile import Body

LOADER = "/lib64/ld-linux-x86-64.so.2"


def scanned(directory: Path, files: dict[str, bytes]) -> ImageScan:
    loader = write_elf(ElfStandIn(soname="ld-linux-x86-64.so.2", marks=GLIBC_MARKS))
    image = ImageBuilder("linux/amd64", {"Entrypoint": ["/app"]})
    entries = {"lib64/ld-linux-x86-64.so.2": loader, **files}
    image.layer({name: File(data, mode=0o755) for name, data in entries.items()}, created_by="COPY . /")
    layout = write_layout(directory / "layout", {"latest": image})
    return scan(f"oci:{layout}", ScanOptions(platform="linux/amd64"))[0]


def program(**facts: object) -> bytes:
    return write_elf(ElfStandIn(type="program", interpreter=LOADER, **facts))  # type: ignore[arg-type]


def read(data: bytes) -> ElfFacts:
    return read_elf(Body(data), TemporaryColumnStore())


def test_a_name_longer_than_any_real_one_is_damage_and_is_not_copied_for_each_needed_entry() -> None:
    facts = read(program(needed=("B" * 3 * dynamic.MAXIMUM_NAME,) * 5))
    assert facts.damage == "a name in the dynamic string table is longer than any real one"
    assert facts.needed == ()


def test_needed_names_have_a_limit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamic, "MAXIMUM_NAMES", 1000)
    assert "needed libraries" in read(program(needed=("x" * 300,) * 4)).damage
    assert len(read(program(needed=("x" * 300,) * 3)).needed) == 3


def test_a_damaged_file_is_reported_and_the_rest_judged(tmp_path: Path) -> None:
    app = program(needed=("B" * 3 * dynamic.MAXIMUM_NAME,))
    assert [one.path for one in scanned(tmp_path, {"app": app}).report.incomplete] == ["/app"]


def test_run_paths_without_end_are_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MAXIMUM_STEPS", 100)
    run_path = ":".join(f"/opt/{number}" for number in range(60))
    with pytest.raises(LimitExceeded, match="more than 100 steps"):
        scanned(tmp_path, {"app": program(needed=("libone.so", "libtwo.so"), runpath=run_path)})


def test_libraries_that_all_need_each_other_are_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closures, "MAXIMUM_EDGES", 100)
    names = tuple(f"libm{number}.so" for number in range(8))
    mesh = {f"usr/lib/{name}": write_elf(ElfStandIn(soname=name, needed=names)) for name in names}
    with pytest.raises(LimitExceeded, match="more than 100 ways"):
        scanned(tmp_path, {"app": program(needed=names), **mesh})


@pytest.mark.parametrize("needed", [(), ("libgone.so",)], ids=["together", "one by one"])
def test_symbols_without_end_that_nothing_defines_are_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, needed: tuple[str, ...]
) -> None:
    monkeypatch.setattr(binding, "MAXIMUM_UNANSWERED", 100)
    wanted = tuple(f"nowhere_{number}" for number in range(60))
    asking = {f"bin/{number}": program(needed=needed, undefined=wanted) for number in range(2)}
    with pytest.raises(LimitExceeded, match="do not find more than 100 symbols"):
        scanned(tmp_path, {"app": program(), **asking})


@pytest.mark.parametrize("shared", [True, False])
def test_what_libraries_that_all_need_each_other_take_does_not_grow_with_their_link_maps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    monkeypatch.setattr(simulate, "REMEMBERED_REQUESTS", 3000)
    names = tuple(f"libm{number}.so" for number in range(60))
    rpath = None if shared else "/opt"
    mesh = {
        f"usr/lib/{name}": write_elf(ElfStandIn(soname=name, needed=names, rpath=rpath)) for name in names
    }
    files = {"app": program(needed=names), **mesh}
    tracemalloc.start()
    try:
        assert scanned(tmp_path, files).report.findings == ()
        assert tracemalloc.get_traced_memory()[1] < 16 << 20  # all resolutions together have 24 MB
    finally:
        tracemalloc.stop()


def test_plugins_that_all_need_each_other_end_as_incomplete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "MAXIMUM_OPENINGS", 200)
    mesh = {
        f"usr/lib/nginx/ngx_{number}.so": write_elf(
            ElfStandIn(
                defined=(f"s_{number}",),
                undefined=(*(f"s_{other}" for other in range(30) if other != number), "nowhere"),
            )
        )
        for number in range(30)
    }
    mesh |= {"nginx": program(needed=("libx.so",)), "usr/lib/libx.so": write_elf(ElfStandIn())}
    reasons = [one.reason for one in scanned(tmp_path, {"app": program(), **mesh}).report.incomplete]
    assert reasons == ["too many plugins to put all of them into their hosts"]


def test_a_long_chain_of_libraries_is_followed_to_its_end(tmp_path: Path) -> None:
    chain = {
        f"usr/lib/libc{number}.so": write_elf(
            ElfStandIn(soname=f"libc{number}.so", needed=(f"libc{number + 1}.so",))
        )
        for number in range(150)
    }
    (finding,) = scanned(tmp_path, {"app": program(needed=("libc0.so",)), **chain}).report.findings
    assert finding.items == ("libc150.so",)
