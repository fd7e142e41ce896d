"""``imagescan why`` for what ends a search and for what is preloaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagescan.cli.main import run_process
from imagescan.rules.examples.elf_writer import ElfStandIn, write_elf
from imagescan.rules.examples.notation import GLIBC_MARKS
from samples.oci import File, ImageBuilder, write_layout

LOADER = "/lib64/ld-linux-x86-64.so.2"


@pytest.fixture
def layout(tmp_path: Path) -> str:
    loader = ElfStandIn(soname="ld-linux-x86-64.so.2", marks=GLIBC_MARKS)
    program = ElfStandIn(type="program", interpreter=LOADER, needed=("libx.so.1",))
    image = ImageBuilder("linux/amd64", {"Entrypoint": ["/app"]})
    image.layer(
        {LOADER[1:]: File(write_elf(loader), mode=0o755), "app": File(write_elf(program), mode=0o755)}
    )
    image.layer(
        {"usr/lib/x86_64-linux-gnu/libx.so.1": File(b"INPUT(libx.so.2)\n" * 9)}, created_by="COPY libx"
    )
    image.layer({"opt/hook.so": File(write_elf(ElfStandIn(soname="hook.so")))}, created_by="COPY hook")
    listed = File(b"/opt/hook.so\n")
    image.layer({"etc/ld.so.preload": listed}, created_by="RUN echo > ld.so.preload")
    return f"oci:{write_layout(tmp_path / 'layout', {'latest': image})}"


def why(layout: str, name: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert run_process(["why", layout, name, "--platform", "linux/amd64", "--no-progress"]) == 0
    return capsys.readouterr().out


def test_why_knows_the_file_that_ends_the_search(layout: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = why(layout, "/usr/lib/x86_64-linux-gnu/libx.so.1", capsys)
    assert "/app  => not found" in text
    assert "layer 1 added /usr/lib/x86_64-linux-gnu/libx.so.1: COPY libx" in text


@pytest.mark.parametrize("name", ["/opt/hook.so", "hook.so"])
def test_why_knows_what_is_preloaded_and_by_which_file(
    name: str, layout: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = why(layout, name, capsys)
    assert "/app (preload)  => /opt/hook.so" in text
    assert "layer 3 added /etc/ld.so.preload: RUN echo > ld.so.preload" in text
