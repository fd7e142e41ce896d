"""An image's source and manifest enter; the index of each of its layers leaves, base first.

Layers are read by threads: reading, hashing and inflating release the interpreter's lock. Streams
that come in an order of their own are told apart by the digest of their uncompressed content
(image specification, config.md, "Layer DiffID").
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

from imagescan.dataclasses import dataclass
from imagescan.errors import ImageFormatError
from imagescan.layers.column_store import TemporaryColumnStore
from imagescan.layers.index import index_layer
from imagescan.layers.values import ColumnStore, ContentInspector, LayerIndex
from imagescan.reference import Digest
from imagescan.sources.values import ImageManifest, ImageSource, LayerDescriptor


@dataclass(frozen=True, slots=True)
class _Blob:
    """What makes two layers of one image the same bytes; a layer without digests is its own."""

    digest: Digest | None
    diff_id: Digest | None
    position: int


class _AbandonedError(Exception):
    """Another layer failed, so this one need not be read on."""


def index_image(
    source: ImageSource,
    image: ImageManifest,
    inspector: ContentInspector,
    workers: int = 2,
    on_bytes: Callable[[int], None] | None = None,
    on_layer: Callable[[LayerIndex], None] | None = None,
    new_store: Callable[[], ColumnStore] | None = None,
) -> tuple[LayerIndex, ...]:
    """Index every layer of one image; a layer that the image has twice is read once.

    ``new_store`` makes the store of each layer's facts; without it all share a ``TemporaryColumnStore``.

    ``workers`` is how many layers are read at a time where the source can open them in any order;
    with more than one, each layer is also inflated in a thread of its own. ``on_bytes`` is called
    with numbers of bytes read, ``on_layer`` with each layer that was read, from any of these threads.

    Raises:
        ImageFormatError: the source's streams do not have a layer that the manifest names.
        SourceError, BlobError, LayerError: a layer cannot be had or read; the first one that fails.
    """
    shared = TemporaryColumnStore()
    make = new_store or (lambda: shared)
    if source.random_access:
        return _index_opened(source, image, inspector, workers, on_bytes, on_layer, make)
    return _index_streamed(source, image, inspector, workers, on_bytes, on_layer, make)


def _index_opened(
    source: ImageSource,
    image: ImageManifest,
    inspector: ContentInspector,
    workers: int,
    on_bytes: Callable[[int], None] | None,
    on_layer: Callable[[LayerIndex], None] | None,
    new_store: Callable[[], ColumnStore],
) -> tuple[LayerIndex, ...]:
    abandoned = threading.Event()

    def count(length: int) -> None:
        if abandoned.is_set():
            raise _AbandonedError
        if on_bytes is not None:
            on_bytes(length)

    def index(layer: LayerDescriptor) -> LayerIndex:
        if abandoned.is_set():
            raise _AbandonedError
        with source.open_layer(image, layer) as stream:
            found = index_layer(
                stream, layer, inspector, store=new_store(), on_bytes=count, pipelined=workers > 1
            )
        if on_layer is not None:
            on_layer(found)
        return found

    blobs = {_blob(layer): layer for layer in reversed(image.layers)}
    largest_first = sorted(blobs, key=lambda blob: -(blobs[blob].size or 0))
    with ThreadPoolExecutor(max(workers, 1), thread_name_prefix="imagescan-layer") as pool:
        futures: dict[_Blob, Future[LayerIndex]] = {}
        try:
            futures = {blob: pool.submit(index, blobs[blob]) for blob in largest_first}
            wait(futures.values(), return_when=FIRST_EXCEPTION)
        finally:
            if any(not future.done() or future.exception() for future in futures.values()):
                abandoned.set()
    failures = [future.exception() for future in futures.values()]
    for failure in sorted(filter(None, failures), key=lambda error: isinstance(error, _AbandonedError)):
        raise failure
    return tuple(futures[_blob(layer)].result() for layer in image.layers)


def _blob(layer: LayerDescriptor) -> _Blob:
    known = layer.digest is not None or layer.diff_id is not None
    return _Blob(layer.digest, layer.diff_id, -1 if known else layer.index)


def _index_streamed(
    source: ImageSource,
    image: ImageManifest,
    inspector: ContentInspector,
    workers: int,
    on_bytes: Callable[[int], None] | None,
    on_layer: Callable[[LayerIndex], None] | None,
    new_store: Callable[[], ColumnStore],
) -> tuple[LayerIndex, ...]:
    found: dict[Digest, LayerIndex] = {}
    for stream in source.layer_streams(image):
        index = index_layer(
            stream, None, inspector, store=new_store(), on_bytes=on_bytes, pipelined=workers > 1
        )
        found[index.diff_id] = index
        if on_layer is not None:
            on_layer(index)
    return tuple(_matching(found, layer) for layer in image.layers)


def _matching(found: dict[Digest, LayerIndex], layer: LayerDescriptor) -> LayerIndex:
    if layer.diff_id is None:
        raise ImageFormatError(f"the config has no diff ID for layer {layer.index}")
    index = found.get(layer.diff_id)
    if index is None:
        raise ImageFormatError(
            f"layer {layer.index} ({layer.diff_id}) is not in the archive",
            advice="pull or save the image again",
        )
    return index
