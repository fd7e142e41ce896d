"""The documents of a docker-archive, as ``docker save`` writes it.

``manifest.json`` and a config enter; one ``ImageManifest`` leaves. Follows Docker's "Image
Specification v1.2"; the format before it (``repositories`` alone) is refused.
"""

from __future__ import annotations

from imagescan.dataclasses import dataclass, replace
from imagescan.errors import DigestMismatch, ImageFormatError, InvalidReference, NotFound
from imagescan.patterns import pattern
from imagescan.reference import ImageReference
from imagescan.sources.documents import (
    LAYER_LIMIT,
    OCI_LAYER,
    describe_layers,
    digest_of,
    parse_config,
)
from imagescan.sources.index import Wanted, check_platform, linux_only
from imagescan.sources.json_reader import JsonObject, parse_json
from imagescan.sources.tar_archive import normalised_name
from imagescan.sources.values import ImageManifest

MANIFEST_FILE = "manifest.json"
_CONFIG_NAME = pattern(r"(?:blobs/sha256/|sha256:)?([0-9a-f]{64})(?:\.json)?")
_NAMES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class ArchiveEntry:
    """One image of ``manifest.json``: names of members, base layer first."""

    config: str
    tags: tuple[str, ...]
    layers: tuple[str, ...]


def choose_entry(data: bytes, name: str, reference: str) -> ArchiveEntry:
    """The image of this name in ``manifest.json``; without a name, the only one.

    Raises:
        NotFound: no such name, or a name is needed; the message names those that exist.
        ImageFormatError: the document breaks its specification.
    """
    content = parse_json(data, MANIFEST_FILE)
    listing = JsonObject({MANIFEST_FILE: content}, "the archive").children(MANIFEST_FILE)
    entries = tuple(_read_entry(item) for item in listing)
    if not entries:
        raise NotFound("the archive holds no image", where=reference)
    matching = [entry for entry in entries if not name or _has_name(entry, name)]
    if len({entry.config for entry in matching}) == 1:
        return matching[0]
    names = sorted({tag for entry in entries for tag in (entry.tags or (entry.config,))})
    shown = ", ".join(names[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")
    message = "the archive holds no image of this name" if name else "the archive holds several images"
    raise NotFound(message, where=reference, advice=f"name one of: {shown}")


def image_of(
    entry: ArchiveEntry, config_data: bytes, compressions: tuple[str, ...], reference: str, wanted: Wanted
) -> ImageManifest:
    """The image that an entry and its config describe. ``compressions`` tells of each layer's
    member how it is compressed, which only its content says.

    Raises:
        DigestMismatch: the config is not the one that its name promises.
        NotFound: the image is for another platform than the one wanted.
        ImageFormatError: the config breaks its specification, or does not fit the entry.
    """
    digest = digest_of(config_data)
    promised = _CONFIG_NAME.fullmatch(entry.config)
    if promised is not None and promised.group(1) != digest.hex:
        raise DigestMismatch(
            f"the config has the digest {digest}, but its name is {entry.config}", where=reference
        )
    config = parse_config(config_data, f"the config {entry.config}")
    if len(config.diff_ids) != len(entry.layers):
        raise ImageFormatError(
            f"{MANIFEST_FILE} has {len(entry.layers)} layers, but the config {len(config.diff_ids)} diff IDs",
            where=reference,
        )
    check_platform(config.platform, wanted, reference)
    plain, aligned = describe_layers(config, None)
    layers = tuple(
        replace(layer, media_type=f"{OCI_LAYER}+{compression}") if compression else layer
        for layer, compression in zip(plain, compressions, strict=True)
    )
    return ImageManifest(
        reference=reference,
        digest=None,
        platform=linux_only(config.platform, reference),
        config=config,
        layers=layers,
        config_digest=digest,
        history_aligned=aligned,
    )


def _read_entry(content: JsonObject) -> ArchiveEntry:
    layers = content.texts("Layers") or ()
    if len(layers) > LAYER_LIMIT:
        raise ImageFormatError(f"{content.what} has {len(layers)} layers; {LAYER_LIMIT} are allowed")
    return ArchiveEntry(
        normalised_name(content.text("Config")),
        content.texts("RepoTags") or (),
        tuple(normalised_name(layer) for layer in layers),
    )


def _has_name(entry: ArchiveEntry, name: str) -> bool:
    config = _CONFIG_NAME.fullmatch(entry.config)
    image_id = name.removeprefix("sha256:")
    if name in entry.tags or (config and len(image_id) >= 12 and config.group(1).startswith(image_id)):
        return True
    try:
        wanted = ImageReference.parse(name)
        return any(ImageReference.parse(tag) == wanted for tag in entry.tags)
    except InvalidReference:
        return False
