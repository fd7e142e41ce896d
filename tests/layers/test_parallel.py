"""Indexing a whole image: layers in the manifest's order, each read once, from any kind of source."""

from __future__ import annotations

import gzip
import io
import threading
from dataclasses import replace

import pytest

from imagescan.errors import CorruptLayer, ImageFormatError, NotFound
from imagescan.layers.parallel import index_image
from imagescan.reference import Digest, Platform
from imagescan.sources.values import ImageConfig, ImageManifest
from tests.layers.tars import KeepEverything, descriptor, file, layer

LINUX = Platform("linux", "amd64")
TARS = [layer(file(b"name", b"layer %d" % number * 1000)) for number in range(5)]


def image(tars, compress=gzip.compress) -> tuple[ImageManifest, dict[int, bytes]]:
    blobs = {number: compress(tar) for number, tar in enumerate(tars)}
    layers = tuple(descriptor(blobs[number], tar, number=number) for number, tar in enumerate(tars))
    return ImageManifest("test", None, LINUX, ImageConfig(LINUX), layers), blobs


class Opened:
    random_access = True

    def __init__(self, blobs):
        self.blobs = blobs
        self.opened = []
        self.closed = 0

    def open_layer(self, image, layer):
        self.opened.append(layer.index)
        source = self

        class Stream(io.BytesIO):
            def close(self):
                source.closed += not self.closed
                super().close()

        return Stream(self.blobs[layer.index])


class Streamed:
    random_access = False

    def __init__(self, *tars):
        self.tars = tars

    def layer_streams(self, image):
        for tar in self.tars:
            stream = io.BytesIO(tar)
            yield stream
            assert stream.read() == b""


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_layers_keep_the_order_of_the_manifest(workers):
    manifest, blobs = image(TARS)
    source = Opened(blobs)
    counted = []
    found = index_image(source, manifest, KeepEverything, workers, counted.append)
    assert [index.entry("name").content for index in found] == [
        b"layer %d" % number * 1000 for number in range(5)
    ]
    assert sum(counted) == sum(map(len, blobs.values()))
    assert source.closed == 5


def test_a_layer_that_the_image_has_twice_is_read_once():
    manifest, blobs = image([TARS[0], TARS[1], TARS[0]])
    source = Opened(blobs)
    found = index_image(source, manifest, KeepEverything)
    assert found[0] is found[2]
    assert sorted(source.opened) == [0, 1]


def test_layers_without_digests_are_all_read():
    manifest, blobs = image(TARS[:3])
    manifest = replace(
        manifest,
        layers=tuple(replace(each, digest=None, diff_id=None, size=None) for each in manifest.layers),
    )
    found = index_image(Opened(blobs), manifest, KeepEverything)
    assert [index.entry("name").content[:7] for index in found] == [b"layer 0", b"layer 1", b"layer 2"]


@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_damaged_layer_is_reported_and_no_thread_is_left(workers):
    manifest, blobs = image([TARS[0], layer(file(b"../x")), *TARS[1:]])
    before = threading.active_count()
    with pytest.raises(CorruptLayer, match="climbs") as caught:
        index_image(Opened(blobs), manifest, KeepEverything, workers)
    assert caught.value.where.startswith("layer 1 ")
    assert threading.active_count() == before


def test_a_layer_that_cannot_be_opened_is_reported():
    class Missing(Opened):
        def open_layer(self, image, layer):
            if layer.index == 2:
                raise NotFound("no such blob")
            return super().open_layer(image, layer)

    manifest, blobs = image(TARS)
    with pytest.raises(NotFound):
        index_image(Missing(blobs), manifest, KeepEverything)


@pytest.mark.parametrize("workers", [1, 2])
def test_streams_in_another_order_are_matched_by_diff_id(workers):
    manifest, _ = image(TARS)
    found = index_image(Streamed(*reversed(TARS)), manifest, KeepEverything, workers)
    assert [index.entry("name").content[:7] for index in found] == [
        b"layer %d" % number for number in range(5)
    ]


def test_one_stream_answers_for_a_layer_that_the_image_has_twice():
    manifest, _ = image([TARS[0], TARS[1], TARS[0]])
    found = index_image(Streamed(TARS[1], TARS[0]), manifest, KeepEverything)
    assert found[0].diff_id == found[2].diff_id == manifest.layers[0].diff_id


def test_a_layer_that_no_stream_has_is_an_error():
    manifest, _ = image(TARS)
    with pytest.raises(ImageFormatError, match="layer 3"):
        index_image(Streamed(*TARS[:3], TARS[4]), manifest, KeepEverything)


def test_a_changed_stream_is_an_error():
    manifest, _ = image(TARS[:1])
    with pytest.raises(ImageFormatError, match="not in the archive"):
        index_image(Streamed(layer(file(b"name", b"changed"))), manifest, KeepEverything)


def test_a_config_without_diff_ids_cannot_be_matched():
    manifest, _ = image(TARS[:1])
    manifest = replace(manifest, layers=(replace(manifest.layers[0], diff_id=None),))
    with pytest.raises(ImageFormatError, match="no diff ID"):
        index_image(Streamed(TARS[0]), manifest, KeepEverything)


def test_a_wrong_diff_id_in_the_config_is_an_error():
    manifest, blobs = image(TARS[:1])
    wrong = replace(manifest.layers[0], diff_id=Digest("sha256", "1" * 64))
    with pytest.raises(Exception, match="uncompressed"):
        index_image(Opened(blobs), replace(manifest, layers=(wrong,)), KeepEverything)
