"""Images in a registry.

A reference enters; manifests and layer streams leave. Follows the OCI distribution specification
("Pull"). Nothing is stored on disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from imagescan.errors import DigestMismatch, ImageFormatError, ImageScanError, InvalidReference
from imagescan.reference import Digest, ImageReference
from imagescan.sources.credentials import find_credential
from imagescan.sources.documents import (
    CONFIG_SIZE_LIMIT,
    INDEX_TYPES,
    MANIFEST_SIZE_LIMIT,
    MANIFEST_TYPES,
    Descriptor,
    Document,
    digest_of,
)
from imagescan.sources.index import ImageReader, Wanted
from imagescan.sources.options import SourceOptions
from imagescan.sources.registry_blob import RegistryBlob
from imagescan.sources.registry_session import RegistrySession
from imagescan.sources.values import ImageManifest, LayerDescriptor

_ACCEPTED = ", ".join((*MANIFEST_TYPES, *INDEX_TYPES))


class RegistrySource:
    """One reference in its registry."""

    random_access = True

    def __init__(
        self,
        reference: ImageReference,
        options: SourceOptions,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._reference = reference
        self._options = options
        self._sleep = sleep
        self._session = RegistrySession(
            reference.api_host,
            options,
            lambda _: find_credential(reference, options.environment, options.helper_timeout),
            sleep,
        )

    def images(self, wanted: Wanted) -> tuple[ImageManifest, ...]:
        """See ``values.ImageSource.images``."""
        with self._named():
            top = self._manifest(str(self._reference.digest or self._reference.tag))
            return ImageReader(str(self._reference), self._read_blob).images(top, wanted)

    def open_layer(self, image: ImageManifest, layer: LayerDescriptor) -> BinaryIO:
        """See ``values.ImageSource.open_layer``."""
        if layer.digest is None or layer.size is None:
            raise ImageFormatError("the layer has no digest", where=image.reference)
        where = f"{self._reference.name}, layer {layer.digest}"
        with self._named(where):
            blob = RegistryBlob(
                self._session,
                self._url(f"blobs/{layer.digest}"),
                layer.size,
                where,
                self._options.attempts,
                self._sleep,
            )
        return cast(BinaryIO, blob)

    def layer_streams(self, image: ImageManifest) -> Iterator[BinaryIO]:
        """See ``values.ImageSource.layer_streams``."""
        for layer in image.layers:
            with self.open_layer(image, layer) as stream:
                yield stream

    def close(self) -> None:
        """See ``values.ImageSource.close``."""
        self._session.close()

    def __enter__(self) -> RegistrySource:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @contextmanager
    def _named(self, where: str = "") -> Iterator[None]:
        """Give each error the name of the image that it is about."""
        try:
            yield
        except ImageScanError as error:
            error.where = error.where or where or str(self._reference)
            raise

    def _url(self, path: str) -> str:
        return f"{self._session.base_url()}/v2/{self._reference.repository}/{path}"

    def _manifest(self, name: str) -> Document:
        """The manifest or index of a tag or digest, checked against whatever promises its digest."""
        data, headers = self._session.fetch(self._url(f"manifests/{name}"), _ACCEPTED, MANIFEST_SIZE_LIMIT)
        promised = self._reference.digest or _digest_header(headers.get("Docker-Content-Digest", ""))
        digest = digest_of(data, promised.algorithm if promised else "sha256")
        if promised is not None and digest != promised:
            raise DigestMismatch(f"the manifest has the digest {digest}, but {promised} is promised")
        return Document(data, digest, headers.get("Content-Type", "").partition(";")[0].strip())

    def _read_blob(self, descriptor: Descriptor, what: str) -> bytes:
        if what == "config":
            url, accept, limit = f"blobs/{descriptor.digest}", "*/*", CONFIG_SIZE_LIMIT
        else:
            url, accept, limit = f"manifests/{descriptor.digest}", _ACCEPTED, MANIFEST_SIZE_LIMIT
        return self._session.fetch(self._url(url), accept, limit)[0]


def _digest_header(text: str) -> Digest | None:
    try:
        return Digest.parse(text)
    except InvalidReference:
        return None
