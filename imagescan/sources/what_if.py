"""An image as it would be: on another base, with local files on top.

A source and the user's wishes enter; a source leaves whose images have other layers. Each layer is still
read from where it lies. Follows the OCI image specification (manifest.md, config.md, and annotations.md
for ``org.opencontainers.image.base``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

from imagescan.dataclasses import dataclass, replace
from imagescan.errors import UsageError
from imagescan.reference import Platform
from imagescan.sources.additions import Addition
from imagescan.sources.index import Wanted
from imagescan.sources.values import HistoryEntry, ImageManifest, ImageSource, LayerDescriptor

BASE_NAME = "org.opencontainers.image.base.name"
BASE_DIGEST = "org.opencontainers.image.base.digest"

OpenImage = Callable[[str], ImageSource]


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What is to be different. ``rebase`` names the new base; ``base`` the old one, or how many layers
    it has; without it the image's annotations or labels say what it was built on."""

    additions: tuple[Addition, ...] = ()
    rebase: str | None = None
    base: str | None = None


@dataclass(frozen=True, slots=True)
class _Part:
    """Where one layer is: in an image of a source, or an addition."""

    source: ImageSource | None
    image: ImageManifest | None
    layer: LayerDescriptor
    addition: Addition | None = None


class WhatIfSource:
    """An ``ImageSource`` over another one."""

    def __init__(self, source: ImageSource, wishes: WhatIf, open_image: OpenImage) -> None:
        self._source = source
        self._wishes = wishes
        self._open_image = open_image
        self._opened: list[ImageSource] = []
        self._base: ImageSource | None = None
        self._parts: dict[Platform, tuple[_Part, ...]] = {}
        if wishes.base is not None and wishes.rebase is None:
            raise UsageError(
                "--base says what the image was built on, for --rebase", advice="say --rebase too"
            )

    @property
    def random_access(self) -> bool:
        """See ``values.ImageSource.random_access``."""
        return self._source.random_access and (self._base is None or self._base.random_access)

    def images(self, wanted: Wanted) -> tuple[ImageManifest, ...]:
        """See ``values.ImageSource.images``.

        Raises:
            UsageError: what the image was built on is not known, or is something else than was said.
            ImageScanError: the new base, or the old one, cannot be had.
        """
        return tuple(self._composed(image) for image in self._source.images(wanted))

    def _composed(self, image: ImageManifest) -> ImageManifest:
        parts = [_Part(self._source, image, layer) for layer in image.layers]
        history = image.config.history
        aligned = image.history_aligned
        if self._wishes.rebase is not None:
            own = self._base_length(image)
            base = self._new_base(image.platform)
            parts = [*(_Part(self._base, base, layer) for layer in base.layers), *parts[own:]]
            history = (*base.config.history, *_after(history, own))
            aligned = aligned and base.history_aligned
        for addition in self._wishes.additions:
            parts.append(_Part(None, None, addition.descriptor(len(parts)), addition))
            history = (*history, HistoryEntry(addition.created_by, empty_layer=False))
        layers = tuple(replace(part.layer, index=index) for index, part in enumerate(parts))
        self._parts[image.platform] = tuple(parts)
        diff_ids = tuple(layer.diff_id for layer in layers if layer.diff_id is not None)
        config = replace(image.config, history=history, diff_ids=diff_ids)
        # No such image exists, so it has no digest by which its result could be known again.
        return replace(
            image, digest=None, config_digest=None, config=config, layers=layers, history_aligned=aligned
        )

    def _new_base(self, platform: Platform) -> ImageManifest:
        assert self._wishes.rebase is not None
        self._base = self._base or self._open(self._wishes.rebase)
        (base,) = self._base.images(platform)
        return base

    def _base_length(self, image: ImageManifest) -> int:
        """How many of the image's layers are its base's."""
        said = self._wishes.base or _stated_base(image)
        count = len(image.layers)
        if not said:
            raise UsageError(
                "the image does not say what it was built on",
                where=image.reference,
                advice=f"say --base with that image, or how many of its {count} layers are the base's",
            )
        if said.isdecimal():
            if len(said) > 4 or not 0 < int(said) <= count:
                raise UsageError(f"--base {said}: the image has {count} layers", where=image.reference)
            return int(said)
        (old,) = self._open(said).images(image.platform)
        _check_base(image, old, said)
        return len(old.layers)

    def _open(self, text: str) -> ImageSource:
        source = self._open_image(text)
        self._opened.append(source)
        return source

    def open_layer(self, image: ImageManifest, layer: LayerDescriptor) -> BinaryIO:
        """See ``values.ImageSource.open_layer``."""
        return _open_part(self._parts[image.platform][layer.index])

    def layer_streams(self, image: ImageManifest) -> Iterator[BinaryIO]:
        """See ``values.ImageSource.layer_streams``; a source without random access gives all that it
        has, those included that were exchanged."""
        passed: list[ImageSource] = []
        for part in self._parts[image.platform]:
            if part.source is None or part.image is None or part.source.random_access:
                with _open_part(part) as stream:
                    yield stream
            elif part.source not in passed:
                passed.append(part.source)
                yield from part.source.layer_streams(part.image)

    def close(self) -> None:
        """See ``values.ImageSource.close``."""
        for source in (self._source, *self._opened):
            source.close()

    def __enter__(self) -> WhatIfSource:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _open_part(part: _Part) -> BinaryIO:
    if part.addition is not None:
        return part.addition.open()
    assert part.source is not None
    assert part.image is not None
    return part.source.open_layer(part.image, part.layer)


def _stated_base(image: ImageManifest) -> str:
    """The image's own word for its base, as a registry's reference; "" without one."""
    for pairs in (image.annotations, image.config.labels):
        said = dict(pairs)
        name, digest = said.get(BASE_NAME, ""), said.get(BASE_DIGEST, "")
        if name:
            pinned = f"@{digest}" if digest and "@" not in name else ""
            return f"registry:{name}{pinned}"
    return ""


def _check_base(image: ImageManifest, old: ImageManifest, said: str) -> None:
    """The old base's layers must be the image's first ones."""
    differing = next(
        (
            number
            for number, layer in enumerate(old.layers)
            if number >= len(image.layers) or not _same(layer, image.layers[number])
        ),
        None,
    )
    if differing is not None:
        raise UsageError(
            f"the image was not built on {said.removeprefix('registry:')}: layer {differing} is another one",
            where=image.reference,
            advice="say --base with the very image, by its digest, or how many layers are the base's",
        )


def _same(one: LayerDescriptor, other: LayerDescriptor) -> bool:
    if one.diff_id is not None and other.diff_id is not None:
        return one.diff_id == other.diff_id
    return one.digest is not None and one.digest == other.digest


def _after(history: tuple[HistoryEntry, ...], layers: int) -> tuple[HistoryEntry, ...]:
    """The history lines behind those of the first layers. Whether an empty one right behind is the
    base's own or the image's cannot be seen; it stays."""
    left = layers
    for position, entry in enumerate(history):
        if not left:
            return history[position:]
        left -= not entry.empty_layer
    return ()
