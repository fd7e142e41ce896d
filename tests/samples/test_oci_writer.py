import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from samples.oci import (
    Device,
    Directory,
    File,
    HardLink,
    ImageBuilder,
    Index,
    OpaqueWhiteout,
    Symlink,
    Whiteout,
    digest_of,
    layer_tar,
    write_archive,
    write_layout,
)
from tests.requirements import require_root, require_tool


def an_image(platform: str = "linux/amd64", compression: str = "gzip") -> ImageBuilder:
    image = ImageBuilder(platform, {"Entrypoint": ["/bin/app"], "Env": ["A=b"]})
    entries = {
        "bin": Directory(),
        "bin/app": File(b"#!/bin/sh\n", mode=0o755, uid=7),
        "bin/link": Symlink("app"),
        "bin/hard": HardLink("bin/app"),
        "etc": Directory(),
        "etc/old": b"old\n",
    }
    image.layer(entries, "COPY bin /bin", compression)
    return image.instruction("ENV A=b").layer({"etc/old": Whiteout()}, "RUN rm /etc/old", compression)


def members(tar: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return {member.name: member for member in archive}


def test_each_kind_of_entry_becomes_its_tar_member() -> None:
    tar = layer_tar(
        {
            "f": File(b"12", mode=0o4755, uid=1, gid=2, extended_attributes={"security.capability": "x"}),
            "d": Directory(0o700),
            "s": Symlink("../f"),
            "h": HardLink("f"),
            "c": Device("character", 1, 3),
            "p": Device("fifo"),
            "gone/file": Whiteout(),
            "opaque": OpaqueWhiteout(),
            "plain": b"text",
        }
    )
    found = members(tar)
    assert (found["f"].mode, found["f"].uid, found["f"].gid, found["f"].size) == (0o4755, 1, 2, 2)
    assert found["f"].pax_headers["SCHILY.xattr.security.capability"] == "x"
    assert found["d"].isdir()
    assert (found["s"].linkname, found["h"].linkname) == ("../f", "f")
    assert found["c"].ischr()
    assert found["p"].isfifo()
    assert "gone/.wh.file" in found
    assert "opaque/.wh..wh..opq" in found


def test_a_name_that_is_not_utf_8_keeps_its_bytes() -> None:
    assert b"caf\xe9" in layer_tar({b"caf\xe9".decode("utf-8", "surrogateescape"): b""})


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    first, second = (write_layout(tmp_path / name, {"x": an_image()}) for name in ("a", "b"))
    assert (first / "index.json").read_bytes() == (second / "index.json").read_bytes()


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_every_blob_has_the_digest_that_names_it(tmp_path: Path, compression: str) -> None:
    layout = write_layout(tmp_path, {"x": Index(an_image(compression=compression), attestation=True)})
    blobs = list((layout / "blobs" / "sha256").iterdir())
    assert len(blobs) >= 6
    assert all(digest_of(blob.read_bytes()) == f"sha256:{blob.name}" for blob in blobs)


def test_an_index_lists_its_platforms_and_attestations(tmp_path: Path) -> None:
    index = Index(an_image(), an_image("linux/arm/v7"), attestation=True)
    layout = write_layout(tmp_path, {"x": index})
    top = json.loads((layout / "index.json").read_bytes())["manifests"][0]
    listed = json.loads((layout / "blobs" / top["digest"].replace(":", "/")).read_bytes())["manifests"]
    assert [entry["platform"].get("variant") for entry in listed] == [None, "v7", None, None]
    assert [entry["platform"]["os"] for entry in listed] == ["linux", "linux", "unknown", "unknown"]


@pytest.mark.oracle
@pytest.mark.parametrize("archive", [False, True])
def test_skopeo_reads_what_was_written(tmp_path: Path, archive: bool) -> None:
    require_tool("skopeo")
    layout = write_layout(tmp_path / "layout", {"first": an_image(), "second": an_image(compression="zstd")})
    name = f"oci:{layout}:second"
    if archive:
        name = f"oci-archive:{write_archive(tmp_path / 'image.tar', layout)}:second"
    done = subprocess.run(["skopeo", "inspect", "--config", name], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["config"]["Entrypoint"] == ["/bin/app"]


@pytest.mark.oracle
def test_umoci_unpacks_what_was_written_whiteouts_included(tmp_path: Path) -> None:
    require_root()
    require_tool("umoci")
    layout = write_layout(tmp_path / "layout", {"x": an_image()})
    subprocess.run(["umoci", "unpack", "--image", f"{layout}:x", str(tmp_path / "out")], check=True)
    root = tmp_path / "out" / "rootfs"
    assert (root / "bin/app").stat().st_ino == (root / "bin/hard").stat().st_ino
    assert not (root / "etc/old").exists()
