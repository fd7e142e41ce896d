"""Archive files of both formats, plain and compressed, sound and damaged."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from imagescan.errors import DigestMismatch, ImageFormatError, ImageScanError, LimitExceeded, NotFound
from imagescan.reference import Platform
from imagescan.sources import archive as archive_module
from imagescan.sources import tar_archive
from imagescan.sources.archive import ArchiveSource
from imagescan.sources.values import ImageManifest
from tests.requirements import require_tool
from tests.sources.store import Store, sha256, tar_of

TARS = (tar_of({"a": b"1" * 3000}), tar_of({"b": b"2"}))


def zstd(data: bytes) -> bytes:
    try:
        from compression import zstd as library  # type: ignore[import-not-found]
    except ImportError:
        from backports import zstd as library
    # Two frames: a concatenation is one stream.
    half = len(data) // 2
    return bytes(library.compress(data[:half]) + library.compress(data[half:]))


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "gzip": lambda data: gzip.compress(data[:1000]) + gzip.compress(data[1000:]),
    "zstd": zstd,
}


def oci_archive(*tars: bytes) -> bytes:
    store = Store()
    store.image(*(tars or TARS), tag="v1")
    return tar_of(store.layout_files())


def docker_archive(
    tars: tuple[bytes, ...] = TARS,
    *,
    tags: tuple[str, ...] = ("app:1",),
    compress: Callable[[bytes], bytes] = bytes,
    **config: object,
) -> bytes:
    """As docker save writes it: layers first in directories, a link for a repeated layer."""
    content = {
        "os": "linux",
        "architecture": "amd64",
        "rootfs": {"diff_ids": [sha256(tar) for tar in tars]},
        **config,
    }
    data = json.dumps(content).encode()
    config_name = hashlib.sha256(data).hexdigest() + ".json"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        first: dict[bytes, int] = {}
        for number, tar in enumerate(tars):
            info = tarfile.TarInfo(f"{number:064x}/layer.tar")
            if tar in first:
                info.type, info.linkname = tarfile.SYMTYPE, f"../{first[tar]:064x}/layer.tar"
                archive.addfile(info)
                continue
            first[tar] = number
            stored = compress(tar)
            info.size = len(stored)
            archive.addfile(info, io.BytesIO(stored))
        listing = [
            {
                "Config": config_name,
                "RepoTags": list(tags),
                "Layers": [f"{number:064x}/layer.tar" for number in range(len(tars))],
            }
        ]
        for name, body in ((config_name, data), ("manifest.json", json.dumps(listing).encode())):
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return buffer.getvalue()


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "image"
    path.write_bytes(data)
    return path


def read(
    path: Path, name: str = "", format: archive_module.ArchiveFormat | None = None
) -> tuple[ImageManifest, set[str]]:
    """The image, and the digests of the streams of its layers."""
    with ArchiveSource(path, name, format) as source:
        (image,) = source.images(None)
        return image, {sha256(stream.read()) for stream in source.layer_streams(image)}


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_an_oci_archive_gives_each_layer_once(tmp_path: Path, compression: str) -> None:
    image, streams = read(written(tmp_path, COMPRESSIONS[compression](oci_archive())))
    assert image.reference.startswith("oci-archive:")
    assert streams == {str(layer.digest) for layer in image.layers}


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_docker_archive_gives_each_layer_once(tmp_path: Path, compression: str) -> None:
    data = docker_archive((TARS[0], TARS[1], TARS[0]))
    image, streams = read(written(tmp_path, COMPRESSIONS[compression](data)))
    assert image.reference.startswith("docker-archive:")
    assert [str(layer.diff_id) for layer in image.layers] == [
        sha256(TARS[0]),
        sha256(TARS[1]),
        sha256(TARS[0]),
    ]
    assert streams == {sha256(tar) for tar in TARS}


def test_a_plain_archive_is_read_at_random_by_several_threads(tmp_path: Path) -> None:
    tars = tuple(tar_of({"f": os.urandom(100_000)}) for _ in range(4))
    with ArchiveSource(written(tmp_path, docker_archive(tars))) as source, ThreadPoolExecutor(4) as pool:
        (image,) = source.images(None)
        assert source.random_access
        layers = image.layers * 5
        digests = pool.map(lambda layer: sha256(source.open_layer(image, layer).read()), layers)
        assert list(digests) == [str(layer.diff_id) for layer in layers]


def test_a_compressed_archive_says_that_it_cannot_be_read_at_random(tmp_path: Path) -> None:
    with ArchiveSource(written(tmp_path, gzip.compress(docker_archive()))) as source:
        (image,) = source.images(None)
        assert not source.random_access
        with pytest.raises(NotImplementedError):
            source.open_layer(image, image.layers[0])


def test_a_docker_archive_s_compressed_layers_are_told_by_their_content(tmp_path: Path) -> None:
    for outer in COMPRESSIONS.values():
        image, _ = read(
            written(tmp_path, outer(docker_archive(compress=lambda tar: gzip.compress(tar, mtime=0))))
        )
        assert {layer.media_type for layer in image.layers} == {"application/vnd.oci.image.layer.v1.tar+gzip"}


def test_a_docker_archive_s_image_is_told_by_its_name(tmp_path: Path) -> None:
    path = written(tmp_path, docker_archive(tags=("app:1", "example.org/app:2")))
    for name in ("app:1", "docker.io/library/app:1", "example.org/app:2", ""):
        assert read(path, name)[0].config.platform == Platform("linux", "amd64")
    image, _ = read(path)
    assert read(path, image.config_digest.hex[:12])[0].config == image.config  # type: ignore[union-attr]
    with pytest.raises(NotFound, match=r"name one of: app:1, example\.org/app:2"):
        read(path, "app:3")


def test_the_platform_wanted_must_be_the_archive_s(tmp_path: Path) -> None:
    with ArchiveSource(written(tmp_path, docker_archive())) as source:
        with pytest.raises(NotFound, match="choose with --platform from: linux/amd64"):
            source.images(Platform.parse("linux/arm64"))
        assert len(source.images("all")) == 1


def test_an_archive_that_is_both_is_read_as_what_is_asked(tmp_path: Path) -> None:
    """Docker 25 and later write both kinds of documents into one tar."""
    store = Store()
    descriptor = store.image(*TARS, tag="v1")
    content = json.loads(store.blobs[descriptor["digest"]])
    listing = [
        {
            "Config": "blobs/" + content["config"]["digest"].replace(":", "/"),
            "RepoTags": None,
            "Layers": ["blobs/" + layer["digest"].replace(":", "/") for layer in content["layers"]],
        }
    ]
    files = {**store.layout_files(), "manifest.json": json.dumps(listing).encode()}
    path = written(tmp_path, tar_of(files))
    assert str(read(path)[0].digest) == descriptor["digest"]
    assert read(path, format="docker-archive")[0].digest is None


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not an image file"),
        (b"#!/bin/sh\n", "not an image file"),
        (os.urandom(2000).replace(b"\x1f", b"x"), ""),
        (b"BZh91AY&SY", "compressed with bzip2"),
        (b"\xfd7zXZ\x00", "compressed with xz"),
        (gzip.compress(b"hello", mtime=0), "damaged"),
        (tar_of({"readme": b"x"}), "not an image archive"),
        (bytes(10240), "not an image archive"),
    ],
)
def test_other_files_are_refused_as_what_they_are(tmp_path: Path, data: bytes, says: str) -> None:
    with pytest.raises(ImageFormatError) as caught:
        read(written(tmp_path, data))
    assert says in str(caught.value)


def test_the_other_format_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageFormatError, match=r"not an oci-archive .*write docker-archive:"):
        read(written(tmp_path, docker_archive()), format="oci-archive")


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("make", [oci_archive, docker_archive])
def test_no_cut_archive_is_taken_for_a_whole_one(
    tmp_path: Path, make: Callable[[], bytes], compression: str
) -> None:
    whole = make()
    data = COMPRESSIONS[compression](whole)
    # tarfile ends an archive with two empty blocks and padding, which may be missing.
    end = len(whole.rstrip(b"\0")) if compression == "plain" else len(data)
    for cut in range(1, end, max(1, end // 60)):
        with pytest.raises(ImageScanError) as caught:
            read(written(tmp_path, data[:cut]))
        assert "\n" not in str(caught.value)


def test_a_damaged_header_is_never_an_end(tmp_path: Path) -> None:
    data = bytearray(docker_archive())
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        offsets = [member.offset for member in archive]
    for offset in offsets[1:]:
        for position in (0, 124, 148, 150):
            damaged = bytearray(data)
            damaged[offset + position] ^= 0x55
            with pytest.raises(ImageFormatError, match="damaged"):
                read(written(tmp_path, bytes(damaged)))


def test_a_changed_config_is_not_believed(tmp_path: Path) -> None:
    with pytest.raises(DigestMismatch):
        read(written(tmp_path, docker_archive().replace(b'"amd64"', b'"arm64"')))


def test_layers_and_diff_ids_must_be_as_many(tmp_path: Path) -> None:
    with pytest.raises(ImageFormatError, match="2 layers, but the config 0 diff IDs"):
        read(written(tmp_path, docker_archive(rootfs={"diff_ids": []})))


@pytest.mark.parametrize(
    "layers", [["../../../etc/passwd"], ["/etc/passwd"], ["missing/layer.tar"], [""], ["loop1"], "x", [1]]
)
def test_names_in_an_archive_lead_to_its_members_only(tmp_path: Path, layers: object) -> None:
    config = json.dumps({"architecture": "amd64", "rootfs": {"diff_ids": [sha256(b"")]}}).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, target in (("loop1", "loop2"), ("loop2", "loop1"), ("missing/layer.tar", "/etc/passwd")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
        listing = json.dumps([{"Config": "c.json", "Layers": layers}]).encode()
        for name, body in (("c.json", config), ("manifest.json", listing)):
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    for compression in COMPRESSIONS.values():
        with pytest.raises((NotFound, ImageFormatError)):
            read(written(tmp_path, compression(buffer.getvalue())))


def test_the_limits_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, docker_archive())
    compressed = tmp_path / "compressed"
    compressed.write_bytes(gzip.compress(docker_archive()))
    with monkeypatch.context() as patch:
        patch.setattr(tar_archive, "MEMBER_LIMIT", 2)
        for file in (path, compressed):
            with pytest.raises(LimitExceeded, match="more than 2 members"):
                read(file)
    with monkeypatch.context() as patch:
        patch.setattr("imagescan.sources.unpack.UNPACKED_SIZE_LIMIT", 2000)
        with pytest.raises(LimitExceeded, match="inflates to more"):
            read(compressed)
    with monkeypatch.context() as patch:
        patch.setattr(archive_module, "DOCUMENTS_SIZE_LIMIT", 100)
        with pytest.raises(LimitExceeded, match="bytes of documents"):
            read(compressed)


def test_a_header_of_a_gigabyte_is_refused_before_it_is_read(tmp_path: Path) -> None:
    for kind in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME):
        info = tarfile.TarInfo("x")
        info.type, info.size = kind, 1 << 30
        for data in (info.tobuf(tarfile.GNU_FORMAT), gzip.compress(info.tobuf(tarfile.GNU_FORMAT))):
            with pytest.raises(LimitExceeded, match="1073741824 bytes"):
                read(written(tmp_path, data))


def test_extended_headers_without_end_and_negative_sizes_are_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type = tarfile.GNUTYPE_LONGNAME
    info.size = 1
    chain = (info.tobuf(tarfile.GNU_FORMAT) + b"a" + bytes(511)) * 2000
    pax = tarfile.TarInfo("y")
    pax.pax_headers = {"size": "-1024"}
    shared = tarfile.TarInfo("z")
    shared.type = tarfile.XGLTYPE
    for data in (chain, pax.tobuf(tarfile.PAX_FORMAT) + bytes(1024), shared.tobuf(tarfile.GNU_FORMAT)):
        for compress in COMPRESSIONS.values():
            with pytest.raises(ImageFormatError):
                read(written(tmp_path, compress(data)))


@pytest.mark.oracle
@pytest.mark.parametrize("format", ["oci-archive", "docker-archive"])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_what_skopeo_writes_is_read(
    tmp_path: Path, format: archive_module.ArchiveFormat, compression: str
) -> None:
    require_tool("skopeo")
    store = Store()
    store.image(*TARS, tag="v1")
    layout = store.write_layout(tmp_path / "layout")
    path = tmp_path / "archive.tar"
    name = "v1" if format == "oci-archive" else "example.org/app:v1"
    subprocess.run(
        ["skopeo", "--insecure-policy", "copy", f"oci:{layout}:v1", f"{format}:{path}:{name}"],
        check=True,
        capture_output=True,
    )
    path.write_bytes(COMPRESSIONS[compression](path.read_bytes()))
    image, streams = read(path, name)
    assert image.reference == f"{format}:{path}:{name}"
    assert [str(layer.diff_id) for layer in image.layers] == [sha256(tar) for tar in TARS]
    assert streams == {str(layer.digest or layer.diff_id) for layer in image.layers}
    assert [layer.created_by for layer in image.layers] == ["COPY 0", "COPY 1"]
