"""Layers that were read before: equal facts, nothing read twice, nothing believed without proof."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from imagescan.cache import layers as cached_layers
from imagescan.content import Content, FileInspector
from imagescan.elf.facts import ElfFacts
from imagescan.errors import DigestMismatch, NotFound
from imagescan.layers.parallel import index_image
from imagescan.layers.values import ImagePath
from imagescan.options import ScanOptions
from imagescan.reports.json_report import plain
from imagescan.scan import scan
from imagescan.sources.layout import LayoutSource
from imagescan.sources.select import SourceOptions, open_source
from samples.oci import File
from tests.cache.images import CachedScans, base_layer, known, layout, manifest_of, program_layer
from tests.sources.fake_engine import fake_engine
from tests.sources.store import sha256

LIBRARY = "usr/lib/x86_64-linux-gnu/libx.so.1"


@pytest.fixture
def scans(tmp_path: Path) -> CachedScans:
    return CachedScans(tmp_path / "cache")


def test_every_entry_and_every_kind_of_fact_comes_back(tmp_path: Path, scans: CachedScans) -> None:
    image = layout(tmp_path / "image")
    scans(image)
    with open_source(image, SourceOptions()) as source:
        (manifest,) = source.images(None)
        read = index_image(source, manifest, FileInspector)
    found = known(scans.directory, image)
    kinds = set()
    for number, layer in enumerate(read):
        assert list(found[number].entries()) == list(layer.entries())
        assert dict(found[number].contents()) == dict(layer.contents())
        assert found[number].summary == layer.summary  # type: ignore[attr-defined]
        kinds |= {type(content) for _, content in layer.contents()}
    assert kinds == set(Content.__args__)


def test_symbols_are_read_back_from_the_cache(tmp_path: Path, scans: CachedScans) -> None:
    image = layout(tmp_path / "image")
    scans(image)
    content = known(scans.directory, image)[0].entry(ImagePath(LIBRARY))
    assert content is not None and isinstance(content.content, ElfFacts) and content.content.symbols
    symbols = content.content.symbols
    assert [(one.name, one.version) for one in symbols.definitions()] == [(b"hello", b"V1")]
    assert symbols.hash_table() == symbols.columns().hash_table  # a part of what is kept for the file


def test_a_known_layer_is_not_even_opened(tmp_path: Path, scans: CachedScans, monkeypatch: Any) -> None:
    scans(layout(tmp_path / "one", base_layer(), program_layer("libx.so.1")))
    opened = []
    real = LayoutSource.open_layer
    monkeypatch.setattr(
        LayoutSource,
        "open_layer",
        lambda self, image, layer: opened.append(layer.index) or real(self, image, layer),
    )
    other = layout(tmp_path / "two", base_layer(), program_layer("libgone.so.2"))
    report = scans(other).report
    assert opened == [1]
    assert scans.known_layers == 1
    assert "loader/library-missing" in {one.rule for one in report.findings}


def test_a_scan_of_known_layers_with_another_config_gives_the_same_bytes_as_a_cold_one(
    tmp_path: Path, scans: CachedScans
) -> None:
    scans(layout(tmp_path / "one"))
    other = layout(tmp_path / "two", config={"Env": ["A=b"]})
    warm = scans(other)
    assert (scans.known_layers, scans.answered) == (2, False)
    cold = scan(other, scans.options.__class__(platform="linux/amd64"))[0]
    assert json.dumps(plain(warm.report)) == json.dumps(plain(cold.report))
    assert warm.links == cold.links


def test_the_blob_may_be_gone_when_its_layer_is_known(tmp_path: Path, scans: CachedScans) -> None:
    image = layout(tmp_path / "one")
    scans(image)
    other = layout(tmp_path / "two", config={"Env": ["A=b"]})
    for layer in manifest_of(other).layers:
        assert layer.digest
        (tmp_path / "two" / "blobs" / "sha256" / layer.digest.hex).unlink()
    assert scans(other).report.findings
    with pytest.raises(NotFound):
        scan(other, scans.options.__class__(platform="linux/amd64"))


def test_an_image_that_claims_the_diff_id_of_another_layer_is_refused_as_without_cache(
    tmp_path: Path, scans: CachedScans
) -> None:
    """The poisoner names the known layer's diff ID for a blob of its own, or the blob for its diff ID."""
    scans(layout(tmp_path / "one"))
    honest = manifest_of(layout(tmp_path / "one")).layers[0]
    layout(tmp_path / "two", {"etc/evil": File(b"evil")}, program_layer())
    claimed = _with_diff_id(tmp_path / "two", str(honest.diff_id))
    with pytest.raises(DigestMismatch):
        scans(claimed)
    with pytest.raises(DigestMismatch):  # and what was refused was not kept
        scans(claimed)
    honest_again = layout(tmp_path / "three", config={"Env": ["A=b"]})
    assert known(scans.directory, honest_again)[0].entry(ImagePath("etc/evil")) is None
    assert scans(honest_again).report.findings
    assert scans.known_layers == 2


def _with_diff_id(directory: Path, diff_id: str) -> str:
    """The layout with the first diff ID of its config replaced, and everything named anew."""

    def blob(digest: str) -> Path:
        return directory / "blobs" / "sha256" / digest.partition(":")[2]

    def put(document: Any) -> tuple[str, int]:
        data = json.dumps(document).encode()
        blob(sha256(data)).write_bytes(data)
        return sha256(data), len(data)

    index = json.loads((directory / "index.json").read_bytes())
    manifest = json.loads(blob(index["manifests"][0]["digest"]).read_bytes())
    config = json.loads(blob(manifest["config"]["digest"]).read_bytes())
    config["rootfs"]["diff_ids"][0] = diff_id
    manifest["config"]["digest"], manifest["config"]["size"] = put(config)
    index["manifests"][0]["digest"], index["manifests"][0]["size"] = put(manifest)
    (directory / "index.json").write_text(json.dumps(index))
    return f"oci:{directory}"


def test_an_engine_is_not_asked_for_an_archive_when_all_layers_are_known(
    tmp_path: Path, scans: CachedScans
) -> None:
    image = layout(tmp_path / "image")
    scans(image)
    manifest = manifest_of(image)
    inspected = {
        "Id": str(manifest.config_digest),
        "Os": "linux",
        "Architecture": "amd64",
        "Config": {"Entrypoint": ["/app"], "Env": ["NOT=seen"]},
        "RootFS": {"Type": "layers", "Layers": [str(layer.diff_id) for layer in manifest.layers]},
    }
    with fake_engine() as engine:
        engine.image("img", inspected, [], b"no archive at all")
        os.environ["DOCKER_HOST"] = engine.address
        try:
            report = scans("docker:img").report
        finally:
            del os.environ["DOCKER_HOST"]
    assert scans.known_layers == 2
    assert "loader/library-missing" in {one.rule for one in report.findings}


def test_facts_of_another_version_of_the_inspector_are_not_believed(
    tmp_path: Path, scans: CachedScans, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = layout(tmp_path / "image")
    scans(image)
    monkeypatch.setattr(FileInspector, "VERSION", FileInspector.VERSION + 1)
    scans(image, variables=("A=b",))
    assert scans.known_layers == 0
    scans(image, variables=("A=c",))
    assert scans.known_layers == 2
    assert len(scans.files("layers")) == 4


def test_a_blob_read_as_another_media_type_is_another_blob(tmp_path: Path, scans: CachedScans) -> None:
    image = layout(tmp_path / "image")
    scans(image)
    layer = manifest_of(image).layers[0]
    with_another_type = cached_layers._blob_name(layer.digest, "application/x.encrypted")  # type: ignore[arg-type]
    assert with_another_type != cached_layers._blob_name(layer.digest, layer.media_type)  # type: ignore[arg-type]


@pytest.mark.parametrize("place", [0, 12, 40, -1, -30, -200, 0.5, 0.7, 0.9])
def test_a_damaged_file_is_dropped_with_a_line_and_made_anew(
    tmp_path: Path, scans: CachedScans, place: float
) -> None:
    image = layout(tmp_path / "image")
    cold = scans(image).report
    for file in scans.files("layers"):
        data = bytearray(file.read_bytes())
        position = int(place * len(data)) if isinstance(place, float) else int(place)
        data[position] ^= 0xFF
        file.write_bytes(data)
    again = scans(image, variables=("A=b",))
    assert scans.warnings == []
    assert any("dropped layers/" in text for text in scans.details)
    assert again.report.findings == cold.findings
    scans(image, variables=("A=c",))
    assert scans.known_layers == 2
    assert not any("dropped" in text for text in scans.details)


@pytest.mark.parametrize("kind", ["layers", "blobs", "answers"])
@pytest.mark.parametrize("length", [0, 1, 50, -1])
def test_a_file_that_was_cut_is_dropped(tmp_path: Path, scans: CachedScans, kind: str, length: int) -> None:
    image = layout(tmp_path / "image")
    cold = scans(image).report
    for file in scans.files(kind):
        file.write_bytes(file.read_bytes()[:length])
    assert scans(image, variables=() if kind == "answers" else ("A=b",)).report.findings == cold.findings
    assert any(f"dropped {kind}/" in text for text in scans.details)


def test_a_file_of_zeros_as_a_crash_leaves_it_is_dropped(tmp_path: Path, scans: CachedScans) -> None:
    image = layout(tmp_path / "image")
    cold = scans(image).report
    for file in scans.files("layers"):
        file.write_bytes(bytes(file.stat().st_size))
    assert scans(image, variables=("A=b",)).report.findings == cold.findings


def test_a_file_put_under_another_layer_s_name_is_not_believed(tmp_path: Path, scans: CachedScans) -> None:
    image = layout(tmp_path / "image")
    cold = scans(image).report
    one, two = scans.files("layers")
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    assert scans(image, variables=("A=b",)).report.findings == cold.findings
    assert sum("of another layer" in text for text in scans.details) == 2


def test_facts_that_a_limit_of_this_machine_cut_short_are_not_kept(
    tmp_path: Path, scans: CachedScans, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine's layers, which come only once, wait where there is room for them."""
    inspected, archive = saved_by_an_engine(tmp_path)
    with fake_engine() as engine:
        engine.image("img", inspected, [], archive)
        monkeypatch.setenv("DOCKER_HOST", engine.address)
        with monkeypatch.context() as full:
            full.setattr("imagescan.layers.column_store.MAXIMUM_STORED_BYTES", 10)
            assert scans("docker:img").report.incomplete
        assert not scans("docker:img").report.incomplete
        assert (scans.known_layers, scans.answered) == (0, False)


def saved_by_an_engine(tmp_path: Path) -> tuple[dict[str, Any], bytes]:
    """What an engine says of the small image, and what it sends."""
    manifest = manifest_of(layout(tmp_path / "image"))
    tars = []
    for layer in manifest.layers:
        assert layer.digest
        blob = (tmp_path / "image" / "blobs" / "sha256" / layer.digest.hex).read_bytes()
        tars.append(gzip.decompress(blob) if blob.startswith(b"\x1f\x8b") else blob)
    config = {"Entrypoint": ["/app"]}
    inspected = {
        "Id": str(manifest.config_digest),
        "Os": "linux",
        "Architecture": "amd64",
        "Config": config,
        "RootFS": {"Type": "layers", "Layers": [str(layer.diff_id) for layer in manifest.layers]},
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for number, tar in enumerate(tars):
            member = tarfile.TarInfo(f"{number}/layer.tar")
            member.size = len(tar)
            archive.addfile(member, io.BytesIO(tar))
    return inspected, buffer.getvalue()


def test_databases_that_are_too_much_for_one_image_are_left_out_however_its_layers_are_read(
    tmp_path: Path, scans: CachedScans, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = b"Package: %s\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n"
    image = layout(
        tmp_path / "image",
        *(
            {f"var/lib/dpkg/status.d/{number}": File(status % number.to_bytes(1, "big") * 9)}
            for number in range(97, 101)
        ),
    )
    monkeypatch.setattr("imagescan.content.MAXIMUM_DATABASES", 100)
    cold = scans(image).report
    assert [one.path for one in cold.incomplete] == [
        f"/var/lib/dpkg/status.d/{number}" for number in (99, 100)
    ]
    assert scans(image, variables=("A=b",)).report.incomplete == cold.incomplete
    assert scans.known_layers == 4
    scans.files("layers")[1].unlink()
    assert scans(image, variables=("A=c",)).report.incomplete == cold.incomplete
    assert scans.known_layers == 3
    assert scan(image, ScanOptions(platform="linux/amd64"))[0].report.incomplete == cold.incomplete


def test_what_is_used_stays_and_what_is_not_goes_first(tmp_path: Path) -> None:
    scans = CachedScans(tmp_path / "cache", maximum_bytes=1 << 30)
    one = layout(tmp_path / "one")
    scans(one)
    old = time.time() - 20 * 86_400
    for kind in ("layers", "blobs", "answers"):
        for file in scans.files(kind):
            os.utime(file, (old, old))
    scans(one)  # a use
    scans(layout(tmp_path / "two", {"a": File(b"a")}))
    small = CachedScans(tmp_path / "cache", maximum_days=10)
    small(layout(tmp_path / "three", {"b": File(b"b")}))
    small(one)
    assert small.answered
    assert len(small.files("layers")) == 2  # those of ``two`` and ``three``; nobody used those of ``one``


def test_the_cache_stays_within_its_size(tmp_path: Path) -> None:
    scans = CachedScans(tmp_path / "cache", maximum_bytes=100_000)
    for number in range(12):
        noise = File(b"#!/bin/sh\n" + b"".join(os.urandom(1).hex().encode() for _ in range(15_000)))
        scans(layout(tmp_path / str(number), {f"bin/{number}": noise}))
    size = sum(file.stat().st_size for kind in ("layers", "blobs", "answers") for file in scans.files(kind))
    assert size <= 100_000
