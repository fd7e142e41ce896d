"""What package databases hold and hand on: packages, their files, and the kept database files."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import cache, partial

from imagescan.dataclasses import dataclass
from imagescan.errors import ImageScanError, LimitExceeded
from imagescan.patterns import pattern

MAXIMUM_DATABASE = 128 << 20  # bytes of one database file; rpm's of 3,000 packages has 100 MiB
MAXIMUM_PACKAGES = 100_000
MAXIMUM_PATHS = 4_000_000  # files of all packages together
MAXIMUM_PATH_CHARACTERS = 256 << 20  # a directory may be named once and hold a million files
MAXIMUM_PATH = 4096  # characters; Linux's PATH_MAX

_RELATED = pattern(r"(?:^|[,|])\s*([a-z0-9][a-z0-9+.-]*)")


class DamagedDatabase(ImageScanError):
    """A package database that breaks its format; stays inside this room."""


class PackageManager(StrEnum):
    """Whose database says so."""

    DPKG = "dpkg"
    APK = "apk"
    RPM = "rpm"


@dataclass(frozen=True, slots=True)
class Package:
    """One installed package. ``source`` is the name of the source package that it was built from;
    ``version`` is whole, with epoch and revision; unknown texts are empty. ``depends`` and ``suggests``
    are the relationship fields (deb822; Debian Policy 7.1; dpkg only) that ``needed`` and ``optional`` read.
    """

    name: str
    version: str
    architecture: str
    source: str
    manager: PackageManager
    depends: str = ""
    suggests: str = ""

    @property
    def needed(self) -> tuple[str, ...]:
        """The names of packages that it depends on, alternatives too."""
        return tuple(dict.fromkeys(_RELATED.findall(self.depends)))

    @property
    def optional(self) -> tuple[str, ...]:
        """The names of packages that it only recommends or suggests."""
        needed = self.needed
        wanted = dict.fromkeys(_RELATED.findall(self.suggests))
        return tuple(name for name in wanted if name not in needed)

    def __str__(self) -> str:
        return f"{self.name} {self.version} ({self.manager})"


@dataclass(frozen=True, slots=True)
class InstalledPackage:
    """A package and the absolute paths that it installed, as its database writes them."""

    package: Package
    paths: Iterable[str]


@dataclass(frozen=True, slots=True)
class DatabaseFile:
    """A file of a package database, kept compressed: most are read only when something is wrong."""

    packed: bytes
    size: int

    @classmethod
    def pack(cls, data: bytes) -> DatabaseFile:
        """Keep these bytes.

        Raises:
            LimitExceeded: more than ``MAXIMUM_DATABASE``.
        """
        if len(data) > MAXIMUM_DATABASE:
            raise LimitExceeded(f"larger than {MAXIMUM_DATABASE >> 20} MiB, so it was not read")
        return cls(_compressor()(data), len(data))

    @property
    def data(self) -> bytes:
        """The bytes of the file."""
        return zlib.decompress(self.packed)


@cache
def _compressor() -> Callable[[bytes], bytes]:
    """What makes a zlib stream (RFC 1950) of some bytes, quickly."""
    try:
        from isal import igzip_lib
    except ImportError:  # no wheel for this platform: slower, equal otherwise
        return partial(zlib.compress, level=1)
    return partial(igzip_lib.compress, level=1, flag=igzip_lib.COMP_ZLIB)
