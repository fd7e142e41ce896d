"""A root file system directory as an image of one layer without a config.

A directory that the user named enters; one ``ImageManifest`` and the tar of its tree leave.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from imagescan.errors import NotFound
from imagescan.reference import Platform
from imagescan.sources.documents import OCI_LAYER
from imagescan.sources.host_files import open_directory
from imagescan.sources.index import Wanted
from imagescan.sources.root_tar import RootTar, pseudo_mounts
from imagescan.sources.streams import PieceReader
from imagescan.sources.values import ImageConfig, ImageManifest, LayerDescriptor


class DirectorySource:
    """The tree below one directory."""

    random_access = True

    def __init__(self, root: Path) -> None:
        self._root = root
        self._descriptor = open_directory(root)

    def images(self, wanted: Wanted) -> tuple[ImageManifest, ...]:
        """See ``values.ImageSource.images``.

        A directory does not say what platform it is for: it is the one wanted, or this machine's.
        """
        with os.scandir(self._descriptor) as entries:
            if next(entries, None) is None:
                raise NotFound(
                    "the directory is empty",
                    where=f"dir:{self._root}",
                    advice="name the root of a file system",
                )
        platform = wanted if isinstance(wanted, Platform) else Platform.host()
        image = ImageManifest(
            reference=f"dir:{self._root}",
            digest=None,
            platform=platform,
            config=ImageConfig(platform),
            layers=(LayerDescriptor(0, None, None, OCI_LAYER, None),),
            history_aligned=False,
        )
        return (image,)

    def open_layer(self, image: ImageManifest, layer: LayerDescriptor) -> BinaryIO:
        """See ``values.ImageSource.open_layer``; each call reads the tree anew."""
        pieces = RootTar(str(self._root), pseudo_mounts(self._root)).pieces(self._descriptor)
        return cast(BinaryIO, PieceReader(pieces, pieces.close))

    def layer_streams(self, image: ImageManifest) -> Iterator[BinaryIO]:
        """See ``values.ImageSource.layer_streams``."""
        with self.open_layer(image, image.layers[0]) as stream:
            yield stream

    def close(self) -> None:
        """See ``values.ImageSource.close``."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> DirectorySource:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
