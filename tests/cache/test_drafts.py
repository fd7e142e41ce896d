"""Layers go to files while they are read: by whom they are read makes no difference, and a file that takes no
more is no loss."""

from __future__ import annotations

import base64
import gc
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagescan.cache.columns import Unstorable
from imagescan.cache.layers import LayerForm
from imagescan.cache.session import CacheSession
from imagescan.content import FileInspector
from imagescan.errors import BlobError, ChildLost, LimitExceeded
from imagescan.layers import column_store, index, parallel
from imagescan.layers.parallel import index_image
from imagescan.layers.values import ImagePath, LayerIndex
from imagescan.options import CacheOptions, Message, ScanOptions
from imagescan.scan import scan
from imagescan.sources.layout import LayoutSource
from imagescan.sources.select import SourceOptions, open_source
from samples.oci import File
from tests.cache.images import WAYS, base_layer, layout, manifest_of, program_layer, read_by
from tests.full_disk import disk_of
from tests.sources.faulty_registry import FaultyRegistry
from tests.sources.store import tar_of
from tests.test_children import child_processes, open_files


class Reading:
    """Reads images with one cache, or none, and remembers what it was told."""

    def __init__(self, directory: Path | None) -> None:
        self._wishes = CacheOptions(directory) if directory else None
        self.messages: list[Message] = []
        self.bytes = 0
        self.layers = 0
        self.met_a_limit = False
        self.meanwhile: list[int] = []  # how many processes there were when this one had nothing to do

    def __call__(self, image: str) -> tuple[LayerIndex, ...]:
        def on_bytes(count: int) -> None:
            self.bytes += count

        def on_layer() -> None:
            self.layers += 1

        with open_source(image, SourceOptions()) as source, CacheSession(self._wishes, self._hear) as session:
            (manifest,) = source.images(None)
            session.known_layers(manifest)
            with session.new_drafts() as drafts:
                try:
                    return index_image(
                        source,
                        manifest,
                        FileInspector,
                        on_bytes=on_bytes,
                        on_layer=on_layer,
                        new_draft=drafts.new,
                        meanwhile=lambda: self.meanwhile.append(len(child_processes())),
                    )
                finally:
                    self.met_a_limit = drafts.met_a_limit

    def _hear(self, message: Message) -> None:
        self.messages.append(message)


def plain(layers: tuple[LayerIndex, ...]) -> list[object]:
    return [(list(one.entries()), list(one.contents()), one.summary) for one in layers]  # type: ignore[attr-defined]


def files(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    gc.collect()
    before = open_files(), child_processes(), threading.active_count()
    yield
    gc.collect()
    assert (open_files(), child_processes(), threading.active_count()) == before


@pytest.fixture
def image(tmp_path: Path) -> str:
    return layout(tmp_path / "image", base_layer(), {"etc/x": File(b"x")}, program_layer(), {"y": File(b"")})


@pytest.fixture
def expected(image: str) -> list[object]:
    """What reading gives that keeps everything on the heap."""
    with open_source(image, SourceOptions()) as source:
        (manifest,) = source.images(None)
        return plain(index_image(source, manifest, FileInspector, 1))


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_layers_are_the_same_whoever_reads_them(
    tmp_path: Path, image: str, expected: list[object], way: str, cached: bool
) -> None:
    reading = Reading(tmp_path / "cache" if cached else None)
    with read_by(way):
        assert plain(reading(image)) == expected
    assert reading.layers == 4
    assert reading.bytes == sum(layer.size or 0 for layer in manifest_of(image).layers)
    assert reading.messages == []
    assert reading.meanwhile == ([2] if way == "processes" else [])
    if cached:
        names = files(tmp_path / "cache")
        assert sum(name.startswith("layers/sha256-") for name in names) == 4
        assert len(names) == 9  # four layers, four blobs that point to them, and the directory's tag


def test_the_file_of_a_layer_is_the_same_whoever_reads_it(tmp_path: Path, image: str) -> None:
    kept = []
    for way in WAYS:
        with read_by(way):
            Reading(tmp_path / way)(image)
        kept.append({path.name: path.read_bytes() for path in (tmp_path / way / "layers").iterdir()})
    assert kept[0] == kept[1] == kept[2]


def test_each_large_layer_has_a_process_and_small_ones_none(
    tmp_path: Path, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = tmp_path / "where"
    real = LayoutSource.open_layer

    def open_layer(self: LayoutSource, image: object, layer: object) -> object:
        with where.open("a") as file:
            file.write(f"{layer.index} {os.getpid()}\n")  # type: ignore[attr-defined]
        return real(self, image, layer)  # type: ignore[arg-type]

    monkeypatch.setattr(LayoutSource, "open_layer", open_layer)
    sizes = [layer.size or 0 for layer in manifest_of(image).layers]
    with read_by("processes"), monkeypatch.context() as patch:
        patch.setattr(parallel, "SMALL_LAYER_BYTES", sorted(sizes)[2])
        Reading(None)(image)
    processes = dict(map(int, line.split()) for line in where.read_text().splitlines())
    assert [processes[number] == os.getpid() for number in range(4)] == [
        size < sorted(sizes)[2] for size in sizes
    ]
    assert len(set(processes.values())) == 3


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("damage", ["blob", "limit"])
def test_a_layer_that_cannot_be_read_is_the_same_error_and_leaves_no_file(
    tmp_path: Path, image: str, monkeypatch: pytest.MonkeyPatch, way: str, damage: str
) -> None:
    kind: type[Exception] = LimitExceeded
    if damage == "blob":
        kind = BlobError
        digest = manifest_of(image).layers[2].digest
        assert digest
        blob = tmp_path / "image" / "blobs" / "sha256" / digest.hex
        blob.write_bytes(blob.read_bytes()[:-9] + b"123456789")
    else:
        monkeypatch.setattr(index, "MAXIMUM_LAYER_BYTES", 100)
    with read_by(way), pytest.raises(kind, match=r"^layer [0-3] .*sha256:") as caught:
        Reading(tmp_path / "cache")(image)
    assert caught.value.where.startswith("layer 2 " if damage == "blob" else "layer ")
    assert not [name for name in files(tmp_path / "cache") if ".unfinished" in name]


def test_a_process_that_is_killed_is_one_error(
    tmp_path: Path, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileInspector, "inspect", lambda *_: os.kill(os.getpid(), 9))
    with read_by("processes"), pytest.raises(ChildLost, match=r"^layer \d \(sha256:.*SIGKILL.*out of memory"):
        Reading(tmp_path / "cache")(image)
    assert not [name for name in files(tmp_path / "cache") if ".unfinished" in name]


@pytest.mark.parametrize("room", [0, 50, 400])
@pytest.mark.parametrize("way", WAYS)
def test_a_full_disk_is_one_warning_and_no_loss(
    tmp_path: Path, image: str, expected: list[object], monkeypatch: pytest.MonkeyPatch, way: str, room: int
) -> None:
    disk_of(room, monkeypatch)
    reading = Reading(tmp_path / "cache")
    with read_by(way):
        assert plain(reading(image)) == expected
    assert [message.detail for message in reading.messages] == [False]
    assert "No space left on device" in reading.messages[0].text
    assert not [name for name in files(tmp_path / "cache") if name.startswith("layers/")]
    assert reading.layers == 4


@pytest.mark.parametrize("way", WAYS)
def test_without_cache_and_without_any_file_layers_wait_on_the_heap(
    tmp_path: Path, image: str, expected: list[object], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "missing"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with read_by(way):
        assert plain(Reading(None)(image)) == expected
    monkeypatch.setattr(column_store, "MAXIMUM_STORED_BYTES", 1)
    reading = Reading(None)
    with read_by(way):
        reading(image)
    assert reading.met_a_limit


@pytest.mark.parametrize("way", WAYS)
def test_facts_without_a_form_are_not_kept_but_not_lost(
    tmp_path: Path, image: str, expected: list[object], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    def refuse(*_: object) -> None:
        raise Unstorable("a number of more than 64 bits")

    monkeypatch.setattr(LayerForm, "write", refuse)
    reading = Reading(tmp_path / "cache")
    with read_by(way):
        assert plain(reading(image)) == expected
    assert all(message.detail and "64 bits" in message.text for message in reading.messages)
    assert len(reading.messages) == 4


def test_without_room_for_processes_layers_are_read_here(
    image: str, expected: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    with read_by("processes"):
        assert plain(Reading(None)(image)) == expected


@pytest.mark.parametrize("way", WAYS)
def test_symbols_have_a_limit_in_each_layer(
    tmp_path: Path, image: str, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(column_store, "MAXIMUM_STORED_BYTES", 100)
    with read_by(way):
        found = Reading(tmp_path / "cache")(image)
    assert [len(one.unread) for one in found] == [1, 0, 1, 0]


def test_a_layer_that_the_image_has_twice_is_read_once(tmp_path: Path) -> None:
    image = layout(tmp_path / "image", base_layer(), program_layer(), base_layer())
    reading = Reading(tmp_path / "cache")
    with read_by("processes"):
        found = reading(image)
    assert found[0] is found[2]
    assert reading.layers == 2


def test_processes_read_one_archive_at_once(tmp_path: Path, image: str, expected: list[object]) -> None:
    archive = tmp_path / "image.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(tmp_path / "image", ".")
    with read_by("processes"):
        assert plain(Reading(None)(f"oci-archive:{archive}")) == expected


def test_processes_read_a_directory_and_what_is_added_to_it(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / "root" / str(number)).mkdir(parents=True)
        (tmp_path / "root" / str(number) / "run").write_text(f"#!/bin/{number}\n")
    (tmp_path / "added").mkdir()
    (tmp_path / "added" / "run").write_text("#!/bin/added\n")
    wishes = ScanOptions(added=(f"{tmp_path}/added:/opt", f"{tmp_path}/root/1/run:/usr/bin/one"))
    found = []
    for way in WAYS:
        with read_by(way):
            found.append(scan(f"dir:{tmp_path}/root", wishes)[0].report)
    assert found[0].counts.scripts == 52
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("auth", ["", "token"])
@pytest.mark.parametrize("way", WAYS)
def test_each_process_asks_a_registry_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, auth: str
) -> None:
    tars = [tar_of({f"name-{number}": os.urandom(700_000)}) for number in range(6)]
    with FaultyRegistry(auth=auth, users={"me": "secret"}) as registry:
        registry.store.image(*tars, tag="latest")
        (tmp_path / "config.json").write_text(
            json.dumps({"auths": {registry.host: {"auth": base64.b64encode(b"me:secret").decode()}}})
        )
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        with read_by(way):
            found = Reading(None)(f"registry:{registry.host}/x:latest")
    assert [one.children(ImagePath("")) for one in found] == [(f"name-{number}",) for number in range(6)]
    assert len(registry.requests("/blobs/")) == 7
