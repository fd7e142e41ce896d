"""OCI layout directories: names, damage, and that nothing outside of them is opened."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from imagescan.errors import DigestMismatch, ImageFormatError, NotFound, SizeMismatch, SourceError
from imagescan.reference import Platform
from imagescan.sources.layout import LayoutSource
from tests.requirements import require_tool
from tests.sources.store import Store, platform, sha256, tar_of


def only(directory: Path, name: str = "") -> list[bytes]:
    """The inflated layers of the one image."""
    with LayoutSource(directory, name) as source:
        (image,) = source.images(None)
        return [gzip.decompress(source.open_layer(image, layer).read()) for layer in image.layers]


def test_the_only_image_needs_no_name(tmp_path: Path) -> None:
    store = Store()
    tars = (tar_of({"a": b"1"}), tar_of({"b": b"2"}))
    store.image(*tars, tag="latest")
    assert only(store.write_layout(tmp_path)) == list(tars)


def test_images_are_told_by_ref_name_or_digest(tmp_path: Path) -> None:
    store = Store()
    first, second = tar_of({"a": b"1"}), tar_of({"a": b"2"})
    store.image(first, tag="one")
    digest = store.image(second, tag="two")["digest"]
    store.write_layout(tmp_path)
    assert only(tmp_path, "one") == [first]
    assert only(tmp_path, "two") == only(tmp_path, digest) == [second]
    with pytest.raises(NotFound, match=r"several images .name one of: one, two"):
        only(tmp_path)
    with pytest.raises(NotFound, match=r"no image of this name .name one of: one, two"):
        only(tmp_path, "three")


def test_entries_of_one_name_are_one_image_s_platforms(tmp_path: Path) -> None:
    store = Store()
    entries = [platform(store.image(architecture=name), f"linux/{name}") for name in ("amd64", "arm64")]
    store.write_layout(tmp_path)
    for entry in entries:
        entry["annotations"] = {"org.opencontainers.image.ref.name": "v1"}
    other = {**store.image(architecture="s390x"), "annotations": {"org.opencontainers.image.ref.name": "v2"}}
    store.write_layout(tmp_path)
    for name, manifests in (("", entries), ("v1", [*entries, other])):
        (tmp_path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": manifests}))
        with LayoutSource(tmp_path, name) as source:
            (image,) = source.images(Platform.parse("arm64"))
            assert str(image.platform) == "linux/arm64"
            assert len(source.images("all")) == 2


def test_layers_are_read_by_several_threads_at_once(tmp_path: Path) -> None:
    store = Store()
    tars = [tar_of({"f": os.urandom(300_000)}) for _ in range(6)]
    store.image(*tars, tag="x")
    with LayoutSource(store.write_layout(tmp_path)) as source, ThreadPoolExecutor(6) as pool:
        (image,) = source.images(None)

        def digest(number: int) -> str:
            with source.open_layer(image, image.layers[number % 6]) as stream:
                seen = hashlib.sha256()
                buffer = bytearray(4096)
                while count := stream.readinto(buffer):  # type: ignore[attr-defined]
                    seen.update(buffer[:count])
                return f"sha256:{seen.hexdigest()}"

        assert list(pool.map(digest, range(24))) == [str(layer.digest) for layer in image.layers] * 4


def test_a_missing_blob_is_named(tmp_path: Path) -> None:
    store = Store()
    digest = store.image(tag="x")["digest"]
    store.write_layout(tmp_path)
    (tmp_path / "blobs" / digest.replace(":", "/")).unlink()
    with pytest.raises(NotFound, match=digest.removeprefix("sha256:")):
        only(tmp_path)


def test_a_truncated_layer_is_told_before_it_is_read(tmp_path: Path) -> None:
    store = Store()
    store.image(tar_of({"a": b"1"}), tag="x")
    store.write_layout(tmp_path)
    with LayoutSource(tmp_path) as source:
        (image,) = source.images(None)
        path = tmp_path / "blobs/sha256" / image.layers[0].digest.hex  # type: ignore[union-attr]
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(SizeMismatch):
            source.open_layer(image, image.layers[0])


def test_a_layer_that_shrinks_while_it_is_read_is_an_error_not_an_end(tmp_path: Path) -> None:
    store = Store()
    store.image(tar_of({"a": os.urandom(5000)}), tag="x")
    store.write_layout(tmp_path)
    with LayoutSource(tmp_path) as source:
        (image,) = source.images(None)
        path = tmp_path / "blobs/sha256" / image.layers[0].digest.hex  # type: ignore[union-attr]
        stream = source.open_layer(image, image.layers[0])
        stream.read(10)
        os.truncate(path, 100)
        with pytest.raises(ImageFormatError, match="truncated"):
            stream.read()


def test_a_changed_manifest_is_not_believed(tmp_path: Path) -> None:
    store = Store()
    digest = store.image(tag="x")["digest"]
    store.blobs[digest] = store.blobs[digest].replace(b"gzip", b"zstd")
    with pytest.raises(DigestMismatch):
        only(store.write_layout(tmp_path))


@pytest.mark.parametrize("part", ["blob", "blobs", "sha256", "index.json"])
def test_no_link_in_a_layout_is_followed(tmp_path: Path, part: str) -> None:
    store = Store()
    digest = store.image(tag="x")["digest"].removeprefix("sha256:")
    layout = store.write_layout(tmp_path / "layout")
    path = {"blob": layout / "blobs/sha256" / digest, "sha256": layout / "blobs/sha256"}.get(
        part, layout / part
    )
    path.rename(tmp_path / "outside")
    path.symlink_to(tmp_path / "outside")
    with pytest.raises(ImageFormatError, match="symbolic link"):
        only(layout)


def test_a_fifo_in_place_of_a_blob_does_not_hang(tmp_path: Path) -> None:
    store = Store()
    digest = store.image(tag="x")["digest"]
    store.write_layout(tmp_path)
    path = tmp_path / "blobs" / digest.replace(":", "/")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ImageFormatError, match="not a regular file"):
        only(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("oci-layout", b'{"imageLayoutVersion": "2.0.0"}'),
        ("oci-layout", b"{}"),
        ("index.json", b""),
        ("index.json", b'{"manifests": [{"digest": "sha256:../../../../etc/passwd", "size": 1}]}'),
        ("index.json", b" " * (4 * 1024 * 1024 + 1)),
    ],
)
def test_damaged_layout_files_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    store = Store()
    store.image(tag="x")
    store.write_layout(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageFormatError):
        only(tmp_path)


def test_an_empty_index_holds_no_image(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="holds no image"):
        only(Store().write_layout(tmp_path))


def test_a_layout_that_is_not_there_or_not_readable_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such file or directory"):
        LayoutSource(tmp_path / "nothing")
    if os.geteuid() != 0:
        tmp_path.chmod(0)
        with pytest.raises(SourceError, match="permission denied"):
            LayoutSource(tmp_path)


def test_no_descriptor_stays_open_after_an_error(tmp_path: Path) -> None:
    store = Store()
    store.image(tag="x")
    store.write_layout(tmp_path)
    (tmp_path / "index.json").write_bytes(b"{")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with pytest.raises(ImageFormatError), LayoutSource(tmp_path) as source:
            source.images(None)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.oracle
def test_what_umoci_writes_is_read(tmp_path: Path) -> None:
    require_tool("umoci")
    layout = tmp_path / "layout"
    root = tmp_path / "bundle"

    def umoci(*arguments: str | Path) -> None:
        subprocess.run(["umoci", *map(str, arguments)], check=True, capture_output=True)

    umoci("init", "--layout", layout)
    umoci("new", "--image", f"{layout}:base")
    umoci("config", "--image", f"{layout}:base", "--config.entrypoint", "/bin/true", "--config.env", "A=1")
    umoci("unpack", "--image", f"{layout}:base", root)
    (root / "rootfs/bin").mkdir()
    shutil.copy("/bin/true", root / "rootfs/bin/true")
    umoci("repack", "--image", f"{layout}:done", "--history.created_by", "add true", root)
    with LayoutSource(layout, "done") as source:
        (image,) = source.images(None)
        data = gzip.decompress(source.open_layer(image, image.layers[0]).read())
    assert image.config.entrypoint == ("/bin/true",)
    assert "A=1" in image.config.env
    assert (image.layers[0].created_by, image.history_aligned) == ("add true", True)
    assert sha256(data) == str(image.layers[0].diff_id)
