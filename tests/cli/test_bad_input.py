"""Bad input through the whole tool: one line that says what, where and what to do, and exit code 2."""

import io
import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from imagescan.cli.main import run
from samples.oci import File, ImageBuilder, Index, LayerBlob, layer_tar, write_layout
from tests.cli.scanner import Outcome

ENVIRONMENT = {
    "DOCKER_HOST": "unix:///nonexistent/engine.sock",
    "CONTAINER_HOST": "unix:///nonexistent/podman.sock",
}


def imagescan(*words: str) -> Outcome:
    stdout, stderr = io.StringIO(), io.StringIO()
    code = run(words, ENVIRONMENT, Path("/nonexistent"), stdout, stderr)
    return Outcome(code, stdout.getvalue(), stderr.getvalue())


def image(platform: str = "linux/amd64") -> ImageBuilder:
    return ImageBuilder(platform, {"Cmd": ["/hello"]}).layer({"hello": b"x" * 5000}, "COPY hello /", "none")


def refused(*words: str) -> str:
    done = imagescan(*words)
    assert (done.code, done.stdout) == (2, ""), done.stdout
    assert done.stderr.startswith("imagescan: error: ")
    assert done.stderr.count("\n") == 1
    assert "bug in imagescan" not in done.stderr
    return done.stderr


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    return write_layout(
        tmp_path / "layout", {"latest": image(), "both": Index(image(), image("linux/arm64"))}
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("oci:/nonexistent/layout", "/nonexistent/layout"),
        ("dir:/nonexistent/root", "/nonexistent/root"),
        ("docker-archive:/nonexistent.tar", "/nonexistent.tar"),
        ("oci-archive:/dev/null", "/dev/null"),
        ("UPPER/Case", "UPPER/Case"),
        ("foo:bad tag!", "foo:bad tag!"),
        ("alpine@sha256:zz", "sha256:zz"),
        ("", "image"),
        ("docker:alpine", "engine"),
        ("registry:127.0.0.1:1/nothing/here:1", "127.0.0.1:1"),
    ],
)
def test_an_image_that_is_not_there(name: str, message: str) -> None:
    assert message in refused(name)


def test_an_unknown_tag_names_those_that_exist(layout: Path) -> None:
    message = refused(f"oci:{layout}:newest")
    assert "newest" in message
    assert "latest" in message


def test_an_absent_platform_names_those_that_exist(layout: Path) -> None:
    message = refused(f"oci:{layout}:both", "--platform", "linux/s390x")
    assert "linux/amd64" in message
    assert "linux/arm64" in message


def test_a_platform_that_is_none(layout: Path) -> None:
    assert "not a platform" in refused(f"oci:{layout}:latest", "--platform", "linux//")


def test_a_cpu_level_that_is_none(layout: Path) -> None:
    assert "x86-64-v9" in refused(f"oci:{layout}:latest", "--cpu", "x86-64-v9")


def layer_blob(layout: Path) -> Path:
    blobs = (layout / "blobs" / "sha256").iterdir()
    return next(blob for blob in blobs if b"x" * 5000 in blob.read_bytes())


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda blob: blob.write_bytes(blob.read_bytes().replace(b"xxxx", b"yyyy", 1)), "digest"),
        (lambda blob: blob.write_bytes(blob.read_bytes()[:-1024]), "10240 are promised"),
        (lambda blob: blob.unlink(), "blob"),
    ],
)
def test_a_blob_that_is_not_what_the_manifest_promised(
    layout: Path, harm: Callable[[Path], object], message: str
) -> None:
    harm(layer_blob(layout))
    assert message in refused(f"oci:{layout}:latest").lower()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schemaVersion": 2}', b"\xff\xfe", b"[" * 100_000])
def test_an_index_that_is_none(layout: Path, content: bytes) -> None:
    (layout / "index.json").write_bytes(content)
    assert str(layout) in refused(f"oci:{layout}:latest")


def test_a_manifest_of_schema_1(layout: Path) -> None:
    index = json.loads((layout / "index.json").read_bytes())
    index["manifests"][0]["mediaType"] = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    (layout / "index.json").write_text(json.dumps(index))
    assert "schema 1" in refused(f"oci:{layout}:latest").lower()


def scan_of(tmp_path: Path, builder: ImageBuilder) -> str:
    return refused(f"oci:{write_layout(tmp_path / 'made', {'x': builder})}:x")


def test_a_tar_that_is_cut_short(tmp_path: Path) -> None:
    tar = layer_tar({"a": b"1" * 5000, "b": b"2"})
    assert "layer 0" in scan_of(tmp_path, ImageBuilder().raw_layer(tar[:3000]))


def test_a_tar_with_garbage_between_members(tmp_path: Path) -> None:
    tar = layer_tar({"a": b"1"})[:1024] + b"garbage!" * 64 + layer_tar({"b": b"2"})
    assert "layer 0" in scan_of(tmp_path, ImageBuilder().raw_layer(tar))


def test_a_damaged_compression(tmp_path: Path) -> None:
    builder = ImageBuilder().layer({"a": b"1" * 100_000})
    made = builder.layers[0]
    builder.layers[0] = LayerBlob(made.blob[:-20], made.media_type, made.diff_id)
    assert "layer 0" in scan_of(tmp_path, builder)


def test_a_wrong_diff_id(tmp_path: Path) -> None:
    builder = image()
    made = builder.layers[0]
    builder.layers[0] = LayerBlob(made.blob, made.media_type, "sha256:" + "0" * 64)
    assert "layer 0" in scan_of(tmp_path, builder)


def test_an_encrypted_layer(tmp_path: Path) -> None:
    builder = image()
    made = builder.layers[0]
    builder.layers[0] = LayerBlob(made.blob, f"{made.media_type}+encrypted", made.diff_id)
    assert "encrypted" in scan_of(tmp_path, builder)


def damaged_elf() -> bytes:
    header = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 3, 62, 1, 0, 64, 0, 0, 64, 56, 900, 64, 0, 0
    )
    return header + b"\0" * 100


def test_a_damaged_file_inside_the_image_is_not_the_end_of_the_scan(tmp_path: Path) -> None:
    builder = ImageBuilder(config={"Cmd": ["/sound"]}).layer(
        {"sound": File(damaged_elf()[:4], 0o755), "damaged": File(damaged_elf(), 0o755)}
    )
    layout = write_layout(tmp_path / "made", {"x": builder})
    done = imagescan(f"oci:{layout}:x", "--fail-on", "never")
    assert (done.code, done.stderr) == (2, "")
    assert done.stdout.startswith("NOT JUDGED  ")
    assert "/damaged" in done.stdout
    assert imagescan(f"oci:{layout}:x", "--fail-on", "never", "--allow-incomplete").code == 0


def test_of_all_platforms_attestations_are_none(tmp_path: Path) -> None:
    both = Index(image(), image("linux/arm64"), attestation=True)
    layout = write_layout(tmp_path / "made", {"x": both})
    done = imagescan(f"oci:{layout}:x", "--platform", "all", "-o", "json")
    assert [one["image"]["platform"] for one in json.loads(done.stdout)] == ["linux/amd64", "linux/arm64"]
