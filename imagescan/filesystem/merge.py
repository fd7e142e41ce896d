"""Layer indexes enter, base first; the root file system that a container would see leaves.

Follows the OCI image specification (layer.md) and overlayfs. Nothing is merged here: the view
looks each path up in the layers when it is asked for. Only what a layer's tar leaves open until
the layers below are known is settled: parents that no entry names, and hard links to files below.
"""

from __future__ import annotations

from collections.abc import Sequence

from imagescan.errors import CorruptLayer
from imagescan.filesystem.overlay import Overlay, Settled
from imagescan.filesystem.values import FileEntry
from imagescan.filesystem.view import MergedFilesystem
from imagescan.layers.values import EntryKind, ImagePath, LayerIndex


def merge(layers: Sequence[LayerIndex]) -> MergedFilesystem:
    """The merged view of layers, the base first; a ``RootFilesystem``.

    A parent directory that no entry of its layer names takes what is below it: the attributes of
    a lower directory stay, and a lower symlink to a directory is followed, so that ``lib/x`` on
    a base with ``lib -> usr/lib`` becomes ``usr/lib/x``. That is how containerd unpacks; Docker's
    overlay2 driver unpacks each layer by itself and so hides the symlink behind a new directory.
    A symlink that leads nowhere, to a file, or to what its layer itself takes away, is hidden by
    a directory.

    Raises:
        CorruptLayer: a hard link to a file that neither its layer nor those below have.
    """
    settled = Settled()
    every = tuple(layers)
    for number, layer in enumerate(every):
        if number:
            _graft(settled, Overlay(every[:number], settled), number, layer)
        if layer.hard_links():
            _link(settled, every[: number + 1], number, layer)
    return MergedFilesystem(Overlay(every, settled))


def _graft(settled: Settled, below: Overlay, number: int, layer: LayerIndex) -> None:
    """Find where implicit directories of a layer meet symlinks to directories of lower layers."""
    view = MergedFilesystem(below)
    absent: set[str] = set()  # directories of the layer that lower layers do not have
    for source in layer.implicit_directories():
        found = None
        if source.rpartition("/")[0] not in absent and not _hides_lower(layer, source):
            found = below.at(settled.location(number, source))
        if found is None:
            absent.add(source)
        elif found[0].kind is EntryKind.SYMLINK:
            followed = view.resolve(found[0].path).entry
            if followed is not None and followed.kind is EntryKind.DIRECTORY:
                target = followed.path.strip("/")
                if not _hides_lower(layer, target) and not _replaces(layer, target):
                    settled.graft(number, source, f"/{target}" if target else "")


def _hides_lower(layer: LayerIndex, source: str) -> bool:
    """Whether a layer itself removes what lower layers have at one of its directories."""
    while source:
        parent = source.rpartition("/")[0]
        if layer.is_whiteout(ImagePath(source)) or layer.is_opaque(ImagePath(parent)):
            return True
        source = parent
    return False


def _replaces(layer: LayerIndex, path: str) -> bool:
    """Whether a layer has something else than a directory at a path or on the way to it."""
    while path:
        entry = layer.entry(ImagePath(path))
        if entry is not None and entry.kind is not EntryKind.DIRECTORY:
            return True
        path = path.rpartition("/")[0]
    return False


def _link(settled: Settled, layers: tuple[LayerIndex, ...], number: int, layer: LayerIndex) -> None:
    """Find the files that a layer's hard links share.

    They are looked for below the layer first, because a file of the layer itself would have been
    found while it was read; then in the layer, where a lower symlink leads back into it.
    """
    below = MergedFilesystem(Overlay(layers[:number], settled))
    for source, target in layer.hard_links():
        linked = _linkable(below, target) or _linkable(MergedFilesystem(Overlay(layers, settled)), target)
        if linked is None:
            raise CorruptLayer(
                f"the hard link {source!r} points to {target!r}, which is no file of this or a lower layer",
                where=f"layer {number}",
                advice="build the image again",
            )
        settled.hard_links[number, source] = linked


def _linkable(view: MergedFilesystem, target: str) -> FileEntry | None:
    entry = view.resolve(f"/{target}", follow=False).entry
    return None if entry is None or entry.kind is EntryKind.DIRECTORY else entry
