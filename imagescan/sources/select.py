"""From the user's words to a source: a transport, a path, or a plain name.

Text enters; an ``ImageSource`` leaves. The transports are those of containers-transports(5), with
``docker:`` and ``podman:`` for engines and ``registry:`` (or ``docker://``) for registries.
"""

from __future__ import annotations

import os
import re
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from imagescan.errors import InvalidReference, NotFound, UsageError
from imagescan.patterns import pattern
from imagescan.reference import DOCKER_HUB, ImageReference
from imagescan.sources.layout import INDEX_FILE, LAYOUT_MARKER, LayoutSource
from imagescan.sources.options import SourceOptions
from imagescan.sources.values import ImageSource

if TYPE_CHECKING:  # each kind of source is imported where one of it is opened
    from imagescan.sources.archive import ArchiveFormat
    from imagescan.sources.engine import EngineKind
    from imagescan.sources.plain_name import OpenSource

__all__ = ["SourceOptions", "evidence_of", "open_source"]

_ENGINES: tuple[EngineKind, ...] = ("docker", "podman")
_ARCHIVES: tuple[ArchiveFormat, ...] = ("oci-archive", "docker-archive")
_TRANSPORTS = {
    "registry": "NAME", "docker": "NAME", "podman": "NAME", "oci": "DIR", "oci-archive": "FILE",
    "docker-archive": "FILE", "dir": "ROOT",
}  # fmt: skip
# What is a tag rather than a name: 2, 24.0-dind, latest. An image's ID has more digits.
_TAG_ONLY = pattern(r"v?[0-9]{1,8}(?:[._-][A-Za-z0-9._-]*)?|latest", re.ASCII)
_IMAGE_ID = pattern(r"(?:sha256:)?[0-9a-f]{12,64}", re.ASCII)
_ROOT_DIRECTORIES = ("usr", "bin", "etc", "lib", "sbin", "lib64", "opt", "app")
_HEAD_SIZE = 512


def open_source(text: str, options: SourceOptions) -> ImageSource:
    """The source that ``text`` names; nothing is asked of a registry or engine yet.

    Raises:
        UsageError: an empty name.
        InvalidReference: no name of an image.
        NotFound, SourceError, ImageFormatError: a path that is not there or holds no image.
    """
    if not text or "\0" in text:
        raise UsageError("no image is named", advice="give a name, or transport:name")
    if text.startswith("docker://"):
        return _registry(text.removeprefix("docker://"), options)
    transport, colon, rest = text.partition(":")
    if colon and transport in _TRANSPORTS:
        _check_named(transport, rest)
    if colon and rest:
        source = _by_transport(transport, rest, options)
        if source is not None:
            return source
    source = _by_path(text)
    return source if source is not None else _by_name(text, options)


def is_local(text: str) -> bool:
    """Whether a name says by its transport that neither a registry nor an engine is asked."""
    return text.partition(":")[0] in ("oci", "dir", *_ARCHIVES)


def _check_named(transport: str, rest: str) -> None:
    """Refuse a transport without a name, and what looks like an image of a transport's name with a tag.

    Raises:
        UsageError: nothing follows the colon, or only what must be a tag (``registry:2``).
    """
    holds = _TRANSPORTS[transport]
    if not rest:
        raise UsageError(f"nothing is named after {transport}:", advice=f"write {transport}:{holds}")
    if holds == "NAME" and _TAG_ONLY.fullmatch(rest):
        raise UsageError(
            f"{transport}:{rest} reads as the image {rest}, named by the transport {transport}",
            advice=f"for {transport} with the tag {rest} write {DOCKER_HUB}/library/{transport}:{rest}",
        )


def evidence_of(source: ImageSource, text: str) -> tuple[tuple[str, str], ...] | None:
    """The files of the host that say what ``text`` names: each with the SHA-256 of its content, or "" where
    it is essential that there is none. None where the image does not come from plain files alone.

    While they are the same, ``open_source(text)`` gives the same images.
    """
    if not isinstance(source, LayoutSource):
        return None
    rest = text.removeprefix("oci:")
    longer = [rest, *(rest[:place] for place in range(len(rest) - 1, 0, -1) if rest[place] in ":@")]
    absent = takewhile(lambda path: not os.path.lexists(path), longer)
    missing = ((os.path.abspath(path), "") for path in absent)  # noqa: PTH100 - links stay
    return (*missing, *source.evidence())


def _by_transport(transport: str, rest: str, options: SourceOptions) -> ImageSource | None:
    if transport == "registry":
        return _registry(rest, options)
    for kind in _ENGINES:
        if transport == kind:
            from imagescan.sources.engine import EngineSource

            return EngineSource(kind, _engine_name(rest), options)
    for format in _ARCHIVES:
        if transport == format:
            from imagescan.sources.archive import ArchiveSource

            path, name = _split_path(rest)
            return ArchiveSource(path, name, format)
    if transport == "oci":
        path, name = _split_path(rest)
        return LayoutSource(path, name)
    if transport == "dir":
        return _directory(Path(rest))
    return None


def _directory(path: Path) -> ImageSource:
    from imagescan.sources.directory import DirectorySource

    return DirectorySource(path)


def _registry(name: str, options: SourceOptions) -> ImageSource:
    from imagescan.sources.registry import RegistrySource

    return RegistrySource(ImageReference.parse(name), options)


def _engine_name(name: str) -> str:
    """A name or an image ID, in the user's words: Podman looks up short names in its own way."""
    if not _IMAGE_ID.fullmatch(name):
        ImageReference.parse(name)
    return name


def _split_path(text: str) -> tuple[Path, str]:
    """Part ``PATH[:NAME]`` or ``PATH[@DIGEST]``: the longest path that exists, both may hold colons."""
    if os.path.lexists(text):
        return Path(text), ""
    for position in range(len(text) - 1, 0, -1):
        if text[position] in ":@" and os.path.lexists(text[:position]):
            return Path(text[:position]), text[position + 1 :]
    raise NotFound("no such file or directory", where=text, advice="check the path")


def _by_path(text: str) -> ImageSource | None:
    """The source for an existing path by what it holds; None where the text may still be a name."""
    is_path_only = text.startswith(("/", "./", "../")) or text in (".", "..")
    path = Path(text)
    if not os.path.lexists(path):
        if is_path_only:
            raise NotFound("no such file or directory", where=text, advice="check the path")
        return None
    if path.is_dir():
        if (path / LAYOUT_MARKER).exists() or (path / INDEX_FILE).exists():
            return LayoutSource(path)
        if any((path / name).is_dir() for name in _ROOT_DIRECTORIES):
            return _directory(path)
    elif is_path_only or _looks_like_archive(path) or not _is_reference(text):
        from imagescan.sources.archive import ArchiveSource

        return ArchiveSource(path)
    if not is_path_only and _is_reference(text):
        return None
    raise NotFound(
        "the directory is neither an OCI layout nor a root file system",
        where=text,
        advice=f"write dir:{text} to scan it nevertheless",
    )


def _looks_like_archive(path: Path) -> bool:
    from imagescan.sources.unpack import looks_like_archive

    try:
        with path.open("rb") as file:
            return looks_like_archive(file.read(_HEAD_SIZE))
    except OSError:
        return False


def _is_reference(text: str) -> bool:
    try:
        ImageReference.parse(text)
    except InvalidReference:
        return False
    return True


def _by_name(text: str, options: SourceOptions) -> ImageSource:
    from imagescan.sources.plain_name import PlainNameSource

    ImageReference.parse(text)
    return PlainNameSource(_running_engines(text, options), lambda: _registry(text, options))


def _running_engines(name: str, options: SourceOptions) -> tuple[OpenSource, ...]:
    from imagescan.sources.engine import EngineSource, engine_addresses, sdk_is_installed

    if not sdk_is_installed():
        return ()
    return tuple(
        lambda kind=kind: EngineSource(kind, name, options)
        for kind in _ENGINES
        if any(address.may_listen for address in engine_addresses(kind, options.environment))
    )
