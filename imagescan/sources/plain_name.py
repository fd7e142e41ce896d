"""A name without a transport: the engines of this machine first, then the registry.

A reference enters; the images of whichever place has them leave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

from imagescan.errors import ImageScanError, NotFound, SourceError
from imagescan.sources.index import Wanted
from imagescan.sources.values import ImageManifest, ImageSource, LayerDescriptor

OpenSource = Callable[[], ImageSource]


class PlainNameSource:
    """Asks each place in turn, and stays with the first that has the image for the platform.

    An engine holds one platform of an image, so all platforms are asked of the registry first.
    """

    def __init__(self, engines: Sequence[OpenSource], registry: OpenSource) -> None:
        self._engines = tuple(engines)
        self._registry = registry
        self._chosen: ImageSource | None = None

    def images(self, wanted: Wanted) -> tuple[ImageManifest, ...]:
        """See ``values.ImageSource.images``; the error told is the registry's."""
        if wanted == "all":
            order: tuple[OpenSource, ...] = (self._registry, *self._engines)
        else:
            order = (*self._engines, self._registry)
        told: ImageScanError | None = None
        engines: list[str] = []
        for place in order:
            source = place()
            try:
                images = source.images(wanted)
            except SourceError as error:
                source.close()
                if place is self._registry:
                    told = error
                else:
                    engines.append(error.message)
                continue
            except BaseException:
                source.close()
                raise
            self.close()
            self._chosen = source
            return images
        if told is None:
            raise NotFound("no engine and no registry has the image")
        told.message = "; ".join([told.message, *engines])
        raise told

    def open_layer(self, image: ImageManifest, layer: LayerDescriptor) -> BinaryIO:
        """See ``values.ImageSource.open_layer``."""
        return self._source().open_layer(image, layer)

    def layer_streams(self, image: ImageManifest) -> Iterator[BinaryIO]:
        """See ``values.ImageSource.layer_streams``."""
        return self._source().layer_streams(image)

    @property
    def random_access(self) -> bool:
        """Whether the place that has the image can read any layer at any time."""
        return self._source().random_access

    def close(self) -> None:
        """See ``values.ImageSource.close``."""
        if self._chosen is not None:
            self._chosen.close()
            self._chosen = None

    def __enter__(self) -> PlainNameSource:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _source(self) -> ImageSource:
        if self._chosen is None:
            raise RuntimeError("images() comes before its layers")
        return self._chosen
