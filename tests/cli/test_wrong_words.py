"""What the user gets wrong is said in one line that names it and says what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagescan.cli.main import run_process
from imagescan.rules.examples.elf_writer import ElfStandIn, write_elf
from samples.oci import File, ImageBuilder, write_layout
from tests.cli.scanner import imagescan

LOADER = "/lib64/ld-linux-x86-64.so.2"


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    program = ElfStandIn(type="program", interpreter=LOADER, needed=("libx.so.1", "libgone.so.1"))
    image = ImageBuilder("linux/amd64", {"Entrypoint": ["/app"]})
    image.layer({"app": File(write_elf(program), mode=0o755)}, created_by="COPY app")
    return write_layout(tmp_path / "layout", {"latest": image})


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert run_process([*words, "--no-progress"]) == 2
    captured = capsys.readouterr()
    assert captured.out.strip().count("\n") <= 1
    assert captured.err.count("\n") == 1 and captured.err.startswith("imagescan: error: ")
    return captured.err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dir:/etc/passwd", "/etc/passwd: not a directory (name a directory, or check the path)"),
        ("oci:/etc/passwd", "/etc/passwd: not a directory"),
        ("dir:/nonexistent", "/nonexistent: no such file or directory (check the path)"),
        ("oci:", "nothing is named after oci: (write oci:DIR)"),
        ("dir:", "nothing is named after dir: (write dir:ROOT)"),
        ("docker-archive:", "nothing is named after docker-archive: (write docker-archive:FILE)"),
        ("registry:", "nothing is named after registry: (write registry:NAME)"),
        ("registry:2", "write docker.io/library/registry:2)"),
        ("docker:24.0-dind", "write docker.io/library/docker:24.0-dind)"),
        ("podman:latest", "write docker.io/library/podman:latest)"),
    ],
)
def test_a_wrong_name_says_what_to_write(name: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in said([name], capsys)


def test_a_digest_that_a_layout_has_not_is_named_as_it_was_written(
    layout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"oci:{layout}@sha256:{'0' * 64}"
    text = said([name], capsys)
    assert text.count(name) == 1 and "the layout holds no image of this name (name one of: latest)" in text


def test_the_archive_that_is_asked_for_has_its_article(
    layout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import tarfile

    archive = tmp_path / "image.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(layout, arcname=".")
    assert f"{archive}: not a docker-archive (write oci-archive:" in said(
        [f"docker-archive:{archive}"], capsys
    )


@pytest.mark.parametrize("platform", ["garbage", "linux/garbage", "plan9/amd64"])
def test_an_unknown_platform_lists_those_there_are(
    platform: str, layout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said([f"oci:{layout}", "--platform", platform], capsys)
    assert f"no such platform: '{platform}' (say all, or linux/ and one of amd64, 386, arm64," in text


def test_a_platform_that_the_image_is_not_for_lists_its_own(
    layout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said([f"oci:{layout}", "--platform", "linux/s390x"], capsys)
    assert "there is no image for linux/s390x (choose with --platform from: linux/amd64)" in text


def test_a_wrong_word_in_a_variable_names_the_variable() -> None:
    for variable in ("IMAGESCAN_FAIL_ON", "IMAGESCAN_OUTPUT"):
        outcome = imagescan("sound", environment={variable: "xx"})
        assert outcome.code == 2
        assert variable in outcome.stderr and "--" not in outcome.stderr


def test_why_of_what_the_image_has_not_is_an_error(layout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(["why", f"oci:{layout}", "nope", "--platform", "linux/amd64"], capsys)
    assert "nothing in the image has or needs 'nope' (give a soname or a path;" in text
    assert run_process(["why", f"oci:{layout}", "libgone.so.1", "--platform", "linux/amd64"]) == 0
