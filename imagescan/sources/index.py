"""From the first document of an image to its images: the choice of platforms in an index.

A verified ``Document`` and a function that reads further ones enter; ``ImageManifest`` leaves.
Follows the OCI image specification (image-index.md) and, for variants, containerd's
``platforms.Only``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from imagescan.errors import ImageFormatError, NotFound, UnsupportedImage
from imagescan.reference import Platform
from imagescan.sources.documents import (
    CONFIG_SIZE_LIMIT,
    INDEX_ENTRY_LIMIT,
    INDEX_TYPES,
    MANIFEST_SIZE_LIMIT,
    Descriptor,
    Document,
    Index,
    Manifest,
    describe_layers,
    parse_config,
    parse_document,
    verified,
)
from imagescan.sources.values import ImageManifest

INDEX_DEPTH_LIMIT = 4
"""How many indexes may be nested in each other."""

Wanted = Platform | Literal["all"] | None
ReadBlob = Callable[[Descriptor, str], bytes]
"""Reads the blob of a descriptor; the second argument ("manifest" or "config") says what it is.
Raises NotFound or SourceError; whether the bytes are right is checked here."""

_ATTESTATION = "vnd.docker.reference.type"
_ARM_VARIANTS = ("v8", "v7", "v6", "v5")
_AMD64_VARIANTS = ("v4", "v3", "v2", "v1", "")


class ImageReader:
    """Reads the images below one document of one origin."""

    def __init__(self, reference: str, read: ReadBlob) -> None:
        self._reference = reference
        self._read = read

    def images(self, top: Document, wanted: Wanted) -> tuple[ImageManifest, ...]:
        """The images for the platform wanted, as ``values.ImageSource.images`` describes.

        Raises:
            NotFound: no such platform; the message names those that exist.
            SourceError, ImageFormatError, BlobError: a document cannot be had or read.
        """
        parsed = parse_document(top)
        if isinstance(parsed, Manifest):
            image = self._image(top, parsed)
            check_platform(image.platform, wanted, self._reference)
            return (image,)
        return self._choose(self._flatten(parsed, 1), wanted, top)

    def images_among(self, entries: Sequence[Descriptor], wanted: Wanted) -> tuple[ImageManifest, ...]:
        """As ``images``, for one descriptor, or for several that are one image's platforms."""
        if len({entry.digest for entry in entries}) == 1:
            return self.images(self._document(entries[0]), wanted)
        return self._choose(self._flatten(Index(tuple(entries)), 1), wanted, None)

    def _choose(
        self, entries: Sequence[Descriptor], wanted: Wanted, index: Document | None
    ) -> tuple[ImageManifest, ...]:
        platforms = tuple(self._platform_of(entry) for entry in entries)
        chosen = choose_platforms(platforms, wanted, self._reference)
        return tuple(self._image_of(entries[number], platforms[number], index) for number in chosen)

    def _flatten(self, index: Index, depth: int) -> list[Descriptor]:
        """Every entry that can be an image, entries of nested indexes in their index's place."""
        if depth > INDEX_DEPTH_LIMIT:
            raise ImageFormatError(
                f"indexes are nested more than {INDEX_DEPTH_LIMIT} deep", where=self._reference
            )
        found: list[Descriptor] = []
        for entry in index.entries:
            if _is_no_image(entry):
                continue
            if entry.media_type in INDEX_TYPES:
                parsed = parse_document(self._document(entry))
                found.extend(self._flatten(parsed, depth + 1) if isinstance(parsed, Index) else ())
            else:
                found.append(entry)
            if len(found) > INDEX_ENTRY_LIMIT:
                raise ImageFormatError(
                    f"the index has more than {INDEX_ENTRY_LIMIT} entries", where=self._reference
                )
        return list({entry.digest: entry for entry in found}.values())

    def _platform_of(self, entry: Descriptor) -> Platform | None:
        """What the entry says, or else what its config says; None for an artifact."""
        if entry.platform is not None:
            return entry.platform
        try:
            document = self._document(entry)
            parsed = parse_document(document)
            return self._image(document, parsed).platform if isinstance(parsed, Manifest) else None
        except UnsupportedImage:
            return None

    def _image_of(
        self, entry: Descriptor, platform: Platform | None, index: Document | None
    ) -> ImageManifest:
        document = self._document(entry)
        parsed = parse_document(document)
        if not isinstance(parsed, Manifest):
            raise ImageFormatError(f"{entry.digest} is an index where a manifest is promised")
        return self._image(document, parsed, platform, index)

    def _document(self, entry: Descriptor) -> Document:
        if entry.size > MANIFEST_SIZE_LIMIT:
            raise ImageFormatError(
                f"the manifest {entry.digest} has {entry.size} bytes; {MANIFEST_SIZE_LIMIT} are allowed"
            )
        return verified(self._read(entry, "manifest"), entry, "the manifest")

    def _image(
        self,
        document: Document,
        manifest: Manifest,
        platform: Platform | None = None,
        index: Document | None = None,
    ) -> ImageManifest:
        if manifest.config.size > CONFIG_SIZE_LIMIT:
            raise ImageFormatError(
                f"the config {manifest.config.digest} has {manifest.config.size} bytes;"
                f" {CONFIG_SIZE_LIMIT} are allowed"
            )
        raw = verified(self._read(manifest.config, "config"), manifest.config, "the config")
        config = parse_config(raw.data, f"the config {raw.digest}")
        layers, aligned = describe_layers(config, manifest.layers)
        return ImageManifest(
            reference=self._reference,
            digest=document.digest,
            platform=linux_only(platform or config.platform, self._reference),
            config=config,
            layers=layers,
            config_digest=raw.digest,
            index_digest=index.digest if index else None,
            history_aligned=aligned,
            annotations=manifest.annotations,
        )


def _is_no_image(entry: Descriptor) -> bool:
    """BuildKit's attestations (``unknown/unknown``) and OCI artifacts stand beside the images."""
    unknown = entry.platform is not None and "unknown" in (entry.platform.os, entry.platform.architecture)
    return unknown or bool(entry.annotation(_ATTESTATION)) or bool(entry.artifact_type)


def linux_only(platform: Platform, reference: str) -> Platform:
    """The platform, when it is one whose programs a Linux loader starts.

    Raises:
        UnsupportedImage: another operating system.
    """
    if platform.os != "linux":
        raise UnsupportedImage(
            f"the image is for {platform}; only Linux images can be judged", where=reference
        )
    return platform


def choose_platforms(platforms: Sequence[Platform | None], wanted: Wanted, reference: str) -> tuple[int, ...]:
    """The positions of the entries that are wanted, best first only where one is wanted.

    None stands for an entry that is no image. ``"all"`` means every Linux entry.

    Raises:
        NotFound: none; the message names the platforms that exist.
    """
    present = {number: platform for number, platform in enumerate(platforms) if platform is not None}
    if wanted == "all":
        chosen = tuple(number for number, platform in present.items() if platform.os == "linux")
        if not chosen:
            raise _no_platform("Linux", present.values(), reference)
        return chosen
    if wanted is None and len(present) == 1:
        return tuple(present)
    asked = wanted or Platform.host()
    ranked = [
        (rank, number)
        for number, platform in present.items()
        if (rank := match_rank(asked, platform)) is not None
    ]
    if not ranked:
        raise _no_platform(str(asked), present.values(), reference)
    return (min(ranked)[1],)


def check_platform(actual: Platform, wanted: Wanted, reference: str) -> None:
    """Refuse an only image that is not for the platform wanted.

    Raises:
        NotFound: the message names the platform that exists.
    """
    if isinstance(wanted, Platform) and match_rank(wanted, actual) is None:
        raise _no_platform(str(wanted), (actual,), reference)


def match_rank(wanted: Platform, offered: Platform) -> int | None:
    """How well an offered platform runs on the one wanted: 0 is exact, None not at all.

    An arm v7 machine runs v7, then v6, then v5; an amd64 v3 machine v3, v2, v1. Another
    architecture that hardware may also run (386 on amd64, arm on arm64) is never chosen.
    """
    wanted, offered = wanted.normalised(), offered.normalised()
    if (wanted.os, wanted.architecture) != (offered.os, offered.architecture):
        return None
    if wanted.variant == offered.variant:
        return 0
    order: tuple[str, ...] = ()
    if wanted.architecture == "arm":
        order = _ARM_VARIANTS
    elif wanted.architecture == "amd64":
        order = _AMD64_VARIANTS
    elif not offered.variant:
        return 1
    if wanted.architecture == "amd64" and not wanted.variant:
        return 1 if offered.variant == "v1" else None
    if wanted.variant not in order or offered.variant not in order:
        return None
    distance = order.index(offered.variant) - order.index(wanted.variant)
    return distance if distance > 0 else None


def _no_platform(asked: str, present: Iterable[Platform], reference: str) -> NotFound:
    names = ", ".join(sorted({str(platform) for platform in present}))
    if not names:
        return NotFound("the index holds no image", where=reference)
    return NotFound(
        f"there is no image for {asked}", where=reference, advice=f"choose with --platform from: {names}"
    )
