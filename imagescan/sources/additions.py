"""Local files put on top of an image: ``--add LOCAL:PATH``.

The user's text enters; the layer that COPY would make leaves, as a stream and as what a manifest says
of it. The file or directory is the user's own, so links in its path are followed; those inside a
directory stay links. Follows the OCI image specification (layer.md).
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Generator, Iterator
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, cast

from imagescan.dataclasses import dataclass
from imagescan.errors import NotFound, SourceError, UsageError
from imagescan.reference import Digest
from imagescan.sources.documents import OCI_LAYER
from imagescan.sources.host_files import host_error, open_directory
from imagescan.sources.root_tar import RootTar
from imagescan.sources.streams import PieceReader
from imagescan.sources.values import LayerDescriptor

_ADVICE = "write LOCAL:PATH, such as ./app:/usr/local/bin/app"


@dataclass(frozen=True)
class Addition:
    """One local file or directory, and where in the image it goes (``place``, without leading slash;
    "" is the root). ``text`` is what the user wrote."""

    text: str
    local: Path
    place: str
    is_directory: bool
    is_executable: bool

    @property
    def created_by(self) -> str:
        """What blame says of the layer."""
        return f"imagescan --add {self.text}"

    @cached_property
    def diff_id(self) -> Digest:
        """Digest of the layer, so that it is told from others and known again. Reads the files."""
        digest = hashlib.sha256()
        for piece in self._pieces():
            digest.update(piece)
        return Digest("sha256", digest.hexdigest())

    def descriptor(self, index: int) -> LayerDescriptor:
        """The layer as a manifest would name it, at this position."""
        return LayerDescriptor(index, None, None, OCI_LAYER, self.diff_id, self.created_by)

    def open(self) -> BinaryIO:
        """The layer's bytes; each call reads the files anew.

        Raises:
            NotFound, SourceError: they cannot be read.
        """
        pieces = self._pieces()
        return cast(BinaryIO, PieceReader(pieces, pieces.close))

    def _pieces(self) -> Generator[bytes, None, None]:
        tar = RootTar(str(self.local), copied_to=self.place)
        if self.is_directory:
            descriptor = open_directory(self.local)
            try:
                yield from tar.pieces(descriptor)
            finally:
                os.close(descriptor)
        else:
            yield from self._file(tar)

    def _file(self, tar: RootTar) -> Iterator[bytes]:
        try:
            descriptor = os.open(self.local, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise host_error(error, str(self.local)) from None
        try:
            yield from tar.one_file(descriptor)
        finally:
            os.close(descriptor)


def parse_addition(text: str) -> Addition:
    """Read ``LOCAL:PATH``. A path that ends with a slash is a directory to put a file into.

    Raises:
        UsageError: it is not of this form.
        NotFound: there is no such local file.
        SourceError: it is neither a regular file nor a directory, or may not be looked at.
    """
    position = text.rfind(":/")
    if position < 1 or "\0" in text:
        raise UsageError(f"--add needs a local file and a path in the image, not {text!r}", advice=_ADVICE)
    local, place = Path(text[:position]), text[position + 1 :]
    try:
        mode = local.stat().st_mode
    except FileNotFoundError:
        raise NotFound("no such file or directory", where=str(local), advice=_ADVICE) from None
    except OSError as error:
        raise host_error(error, str(local)) from None
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise SourceError("neither a regular file nor a directory", where=str(local))
    if place.endswith("/") and stat.S_ISREG(mode):
        place += local.name
    parts = [part for part in place.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise UsageError(f"the path in the image must not have '..': {place!r}", advice=_ADVICE)
    return Addition(text, local, "/".join(parts), stat.S_ISDIR(mode), bool(mode & 0o111))
