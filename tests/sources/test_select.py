"""The user's words: transports, paths told by their content, and plain names."""

from __future__ import annotations

import gzip
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from imagescan.errors import (
    ImageFormatError,
    ImageScanError,
    InvalidReference,
    NotFound,
    Unavailable,
    UsageError,
)
from imagescan.sources.archive import ArchiveSource
from imagescan.sources.directory import DirectorySource
from imagescan.sources.engine import EngineSource
from imagescan.sources.layout import LayoutSource
from imagescan.sources.options import SourceOptions
from imagescan.sources.plain_name import PlainNameSource
from imagescan.sources.registry import RegistrySource
from imagescan.sources.select import open_source
from tests.sources.store import Store, tar_of

QUIET = SourceOptions(environment={}, attempts=1, retry_wait=0)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with one of each kind of path."""
    store = Store()
    store.image(tag="v1")
    store.write_layout(tmp_path / "layout")
    (tmp_path / "image.tar").write_bytes(tar_of(store.layout_files()))
    (tmp_path / "image.tar.gz").write_bytes(gzip.compress(tar_of(store.layout_files())))
    (tmp_path / "with:colon").mkdir()
    store.write_layout(tmp_path / "with:colon" / "layout")
    (tmp_path / "root/usr/bin").mkdir(parents=True)
    (tmp_path / "alpine").mkdir()
    (tmp_path / "notes").write_text("not an image")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("registry:alpine", RegistrySource), ("docker://alpine:3", RegistrySource),
        ("docker:alpine", EngineSource), ("podman:localhost/x:1", EngineSource),
        ("docker:sha256:" + "ab" * 32, EngineSource), ("docker:" + "ab" * 6, EngineSource),
        ("oci:layout", LayoutSource), ("oci:layout:v1", LayoutSource),
        ("oci:with:colon/layout:v1", LayoutSource), ("oci:layout@sha256:" + "ab" * 32, LayoutSource),
        ("oci-archive:image.tar", ArchiveSource), ("oci-archive:image.tar:v1", ArchiveSource),
        ("docker-archive:image.tar:app:1", ArchiveSource), ("dir:root", DirectorySource),
        ("dir:alpine", DirectorySource), ("layout", LayoutSource), ("./layout", LayoutSource),
        ("image.tar", ArchiveSource), ("./image.tar.gz", ArchiveSource), ("root", DirectorySource),
        ("alpine", PlainNameSource), ("notes", PlainNameSource), ("quay.io/a/b:1", PlainNameSource),
        ("localhost:5000/x", PlainNameSource),
    ],
)  # fmt: skip
def test_a_text_leads_to_its_source(text: str, kind: type) -> None:
    with open_source(text, QUIET) as source:
        assert type(source) is kind


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("", UsageError, "no image is named"),
        ("a\0b", UsageError, "no image is named"),
        ("foo bar", InvalidReference, "not an image reference"),
        ("registry:UPPER", InvalidReference, "lower case"),
        ("docker:a b", InvalidReference, "not an image reference"),
        ("./nothing", NotFound, "no such file or directory"),
        ("/nothing/at/all", NotFound, "no such file or directory"),
        ("oci:nothing:v1", NotFound, "no such file or directory"),
        ("dir:nothing", NotFound, "no such file or directory"),
        ("./notes", ImageFormatError, "not an image file"),
        ("docker-archive:notes", ImageFormatError, "not an image file"),
        ("oci-archive:layout", ImageFormatError, "not a regular file"),
        ("./alpine", NotFound, "write dir:./alpine to scan it nevertheless"),
        (".", NotFound, "neither an OCI layout nor a root file system"),
    ],
)
def test_a_text_that_leads_nowhere_is_one_clear_line(
    text: str, error: type[ImageScanError], says: str
) -> None:
    with pytest.raises(error) as caught:
        open_source(text, QUIET)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_layout_s_tag_is_passed_on() -> None:
    with open_source("oci:with:colon/layout:v1", QUIET) as source:
        assert source.images(None)[0].reference == "oci:with:colon/layout:v1"
    with open_source("oci:layout:v2", QUIET) as source, pytest.raises(NotFound, match="name one of: v1"):
        source.images(None)


def test_an_engine_that_is_not_running_is_named(tmp_path: Path) -> None:
    absent = SourceOptions(environment={"DOCKER_HOST": f"unix://{tmp_path}/absent.sock"})
    with open_source("docker:alpine", absent) as source, pytest.raises(Unavailable) as caught:
        source.images(None)
    assert "no docker engine is running" in str(caught.value)
    assert "registry:alpine" in str(caught.value)


def test_a_plain_name_that_nobody_has_tells_what_each_place_said(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead, socket.socket() as unused:
        dead.bind(str(tmp_path / "dead.sock"))
        unused.bind(("127.0.0.1", 0))
        options = SourceOptions(
            environment={"DOCKER_HOST": f"unix://{tmp_path}/dead.sock"}, attempts=1, retry_wait=0
        )
        name = f"127.0.0.1:{unused.getsockname()[1]}/x"
        with open_source(name, options) as source, pytest.raises(Unavailable) as caught:
            source.images(None)
    assert "no answer from 127.0.0.1: Connection refused" in str(caught.value)
    assert "the docker engine does not answer" in str(caught.value)


def test_choosing_a_source_loads_no_heavy_library() -> None:
    code = (
        "import sys, imagescan.sources.select as s; s.open_source('./root', s.SourceOptions());"
        "print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    ).stdout.split()
    assert not {"oras", "requests", "docker", "urllib3", "ssl", "http.client"} & set(loaded)
