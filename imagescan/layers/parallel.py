"""An image's source and manifest enter; the index of each of its layers leaves, base first.

With more than one processor each large layer is read in a process of its own (``children``), which shares
neither the interpreter's lock nor the heap with others; where no process can be had, by threads: reading,
hashing and inflating release the lock. Streams that come in an order of their own are read one after the
other, and told apart by the digest of their uncompressed content (image specification, config.md, "Layer
DiffID").
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from imagescan.children import Children, may_fork
from imagescan.dataclasses import dataclass
from imagescan.errors import ImageFormatError
from imagescan.layers.compression import prepare
from imagescan.layers.drafts import HeapDraft
from imagescan.layers.index import index_layer, name_of
from imagescan.layers.values import ContentInspector, LayerDraft, LayerIndex, NotWritten
from imagescan.processors import usable_processors
from imagescan.reference import Digest
from imagescan.sources.values import ImageManifest, ImageSource, LayerDescriptor

MAXIMUM_WORKERS = 4  # layers that are read at a time, on however many processors: each needs memory
SMALL_LAYER_BYTES = 1 << 20  # as stored; reading so few takes no longer than starting a process
WORTH_PROCESSES_BYTES = 16 << 20  # as stored, of all layers that are not small

_REFUSED, _WRITTEN = b"-", b"+"  # what a child's answer starts with


@dataclass(frozen=True, slots=True)
class _Blob:
    """What makes two layers of one image the same bytes; a layer without digests is its own."""

    digest: Digest | None
    diff_id: Digest | None
    position: int


@dataclass(frozen=True, slots=True)
class _Task:
    """What is the same for all layers of an image."""

    source: ImageSource
    image: ImageManifest
    new_inspector: Callable[[], ContentInspector]
    new_draft: Callable[[LayerDescriptor | None], LayerDraft]
    on_bytes: Callable[[int], None] | None
    on_layer: Callable[[], None] | None
    meanwhile: Callable[[], object] | None


class _AbandonedError(Exception):
    """Another layer failed, so this one need not be read on."""


def index_image(
    source: ImageSource,
    image: ImageManifest,
    new_inspector: Callable[[], ContentInspector],
    workers: int | None = None,
    on_bytes: Callable[[int], None] | None = None,
    on_layer: Callable[[], None] | None = None,
    new_draft: Callable[[LayerDescriptor | None], LayerDraft] | None = None,
    meanwhile: Callable[[], object] | None = None,
) -> tuple[LayerIndex, ...]:
    """Index every layer of one image; a layer that the image has twice is read once.

    ``new_inspector`` makes what looks at the files of one layer. ``new_draft`` makes what takes a layer's
    index, by default on the heap; for None it is told by its content which layer it is. Only drafts that
    processes can share are filled by processes.

    ``workers`` is how many layers are read at a time where the source can open them in any order, by default
    one for each processor that may be used, up to ``MAXIMUM_WORKERS``; with 1 all is done in this thread.
    ``on_bytes`` is called with numbers of bytes read, ``on_layer`` after each layer that was read, from any
    thread; ``meanwhile`` once, while processes read, and never where none do.

    Raises:
        ImageFormatError: the source's streams do not have a layer that the manifest names.
        SourceError, BlobError, LayerError: a layer cannot be had or read; the first one that fails.
        ChildLost: a process that read a layer was ended by somebody else.
    """
    workers = workers or min(usable_processors(), MAXIMUM_WORKERS)
    task = _Task(source, image, new_inspector, new_draft or _on_heap, on_bytes, on_layer, meanwhile)
    if not source.random_access:
        return _index_streamed(task, pipelined=workers > 1)
    blobs = {_blob(layer): layer for layer in reversed(image.layers)}
    largest_first = sorted(blobs.values(), key=lambda layer: -_size(layer))
    if workers == 1:
        drafts = [_read_here(task, layer) for layer in largest_first]
    elif new_draft is not None and _is_worth_processes(largest_first) and may_fork():
        drafts = _read_in_processes(task, largest_first, workers)
    else:
        drafts = _read_in_threads(task, largest_first, workers)
    found: dict[_Blob, LayerIndex] = {}
    by_blob = {_blob(layer): draft for layer, draft in zip(largest_first, drafts, strict=True)}
    for layer in image.layers:
        blob = _blob(layer)
        if blob not in found:
            found[blob] = by_blob.pop(blob).load()
    return tuple(found[_blob(layer)] for layer in image.layers)


def _on_heap(_: LayerDescriptor | None) -> LayerDraft:
    return HeapDraft()


def _blob(layer: LayerDescriptor) -> _Blob:
    known = layer.digest is not None or layer.diff_id is not None
    return _Blob(layer.digest, layer.diff_id, -1 if known else layer.index)


def _size(layer: LayerDescriptor) -> int:
    """Bytes as stored; a layer whose size nobody knows is taken for a large one."""
    return WORTH_PROCESSES_BYTES if layer.size is None else layer.size


def _is_worth_processes(layers: Sequence[LayerDescriptor]) -> bool:
    sizes = map(_size, layers)
    return sum(size for size in sizes if size >= SMALL_LAYER_BYTES) >= WORTH_PROCESSES_BYTES


def _read(
    task: _Task,
    layer: LayerDescriptor,
    draft: LayerDraft,
    on_bytes: Callable[[int], None] | None,
    *,
    pipelined: bool,
) -> bytes:
    """Read one layer into its draft; returns the note for ``LayerDraft.keep``."""
    with task.source.open_layer(task.image, layer) as stream:
        index = index_layer(
            stream, layer, task.new_inspector(), store=draft.store, on_bytes=on_bytes, pipelined=pipelined
        )
    return draft.write(index)


def _read_here(
    task: _Task,
    layer: LayerDescriptor,
    on_bytes: Callable[[int], None] | None = None,
    *,
    pipelined: bool = False,
) -> LayerDraft:
    """Read one layer in this thread."""
    draft = task.new_draft(layer)
    on_bytes = on_bytes or task.on_bytes
    try:
        note = _read(task, layer, draft, on_bytes, pipelined=pipelined)
    except NotWritten as error:
        draft.give_up(str(error))
        draft = draft.on_heap()
        note = _read(task, layer, draft, on_bytes, pipelined=pipelined)
    _keep(task, draft, note, layer)
    return draft


def _keep(task: _Task, draft: LayerDraft, note: bytes, layer: LayerDescriptor | None) -> None:
    draft.keep(note, layer)
    if task.on_layer is not None:
        task.on_layer()


def _read_in_processes(task: _Task, layers: Sequence[LayerDescriptor], workers: int) -> list[LayerDraft]:
    """Layers of some size in processes, the next when one is done, the small ones meanwhile in this one."""
    drafts: dict[int, LayerDraft] = {}
    waiting = [number for number, layer in enumerate(layers) if _size(layer) >= SMALL_LAYER_BYTES][::-1]
    small = [number for number, layer in enumerate(layers) if _size(layer) < SMALL_LAYER_BYTES]
    total = sum(map(_size, layers))
    meanwhile = task.meanwhile
    prepare(layer.media_type for layer in layers)
    with Children(task.on_bytes) as children:
        while waiting or small or len(children):
            if waiting and len(children) < workers:
                number = waiting.pop()
                alone = _size(layers[number]) * workers > total
                if not _start(task, children, number, layers[number], drafts, pipelined=alone):
                    small.append(number)
            elif meanwhile is not None:
                meanwhile()
                meanwhile = None
            elif small:
                number = small.pop()
                drafts[number] = _read_here(task, layers[number])
            else:
                number, answer = children.wait()
                note = answer[1:]
                if answer.startswith(_REFUSED):
                    drafts[number].give_up(note.decode())
                    drafts[number] = drafts[number].on_heap()
                    note = _read(task, layers[number], drafts[number], None, pipelined=False)
                _keep(task, drafts[number], note, layers[number])
    return [drafts[number] for number in range(len(layers))]


def _start(
    task: _Task,
    children: Children,
    number: int,
    layer: LayerDescriptor,
    drafts: dict[int, LayerDraft],
    *,
    pipelined: bool,
) -> bool:
    """Begin a layer in a process; says whether that could be."""
    draft = task.new_draft(layer)

    def work(report: Callable[[int], None]) -> bytes:
        try:
            return _WRITTEN + _read(task, layer, draft, report, pipelined=pipelined)
        except NotWritten as error:
            return _REFUSED + str(error).encode()

    if not draft.is_shared:
        return False
    try:
        children.start(number, name_of(layer), work)
    except OSError:
        return False
    drafts[number] = draft
    return True


def _read_in_threads(task: _Task, layers: Sequence[LayerDescriptor], workers: int) -> list[LayerDraft]:
    """All layers by threads, each of them read and inflated in two more."""
    from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

    abandoned = threading.Event()

    def count(length: int) -> None:
        if abandoned.is_set():
            raise _AbandonedError
        if task.on_bytes is not None:
            task.on_bytes(length)

    def read(layer: LayerDescriptor) -> LayerDraft:
        if abandoned.is_set():
            raise _AbandonedError
        return _read_here(task, layer, count, pipelined=True)

    with ThreadPoolExecutor(workers, thread_name_prefix="imagescan-layer") as pool:
        futures: list[Future[LayerDraft]] = []
        try:
            futures = [pool.submit(read, layer) for layer in layers]
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            if any(not future.done() or future.exception() for future in futures):
                abandoned.set()
    failures = [future.exception() for future in futures]
    for failure in sorted(filter(None, failures), key=lambda error: isinstance(error, _AbandonedError)):
        raise failure
    return [future.result() for future in futures]


def _index_streamed(task: _Task, *, pipelined: bool) -> tuple[LayerIndex, ...]:
    wanted = {layer.diff_id: layer for layer in reversed(task.image.layers)}
    if None in wanted:
        missing = min(layer.index for layer in task.image.layers if layer.diff_id is None)
        raise ImageFormatError(f"the config has no diff ID for layer {missing}")
    drafts: dict[Digest | None, LayerDraft] = {}
    for stream in task.source.layer_streams(task.image):
        draft = task.new_draft(None)
        heap = draft.on_heap()  # no stream comes twice, so nothing may be refused
        index = index_layer(
            stream, None, task.new_inspector(), store=heap.store, on_bytes=task.on_bytes, pipelined=pipelined
        )
        try:
            note = draft.write(index)
        except NotWritten as error:
            draft.give_up(str(error))
            draft, note = heap, heap.write(index)
        drafts[index.diff_id] = draft
        _keep(task, draft, note, wanted.get(index.diff_id))
    found: dict[Digest | None, LayerIndex] = {}
    for layer in task.image.layers:
        if layer.diff_id not in drafts:
            raise ImageFormatError(
                f"layer {layer.index} ({layer.diff_id}) is not in the archive",
                advice="pull or save the image again",
            )
        if layer.diff_id not in found:
            found[layer.diff_id] = drafts[layer.diff_id].load()
    return tuple(found[layer.diff_id] for layer in task.image.layers)
