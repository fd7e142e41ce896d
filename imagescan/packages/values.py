"""What package databases hold and hand on: packages, their files, and the kept database files."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from enum import StrEnum

from imagescan.dataclasses import dataclass
from imagescan.errors import ImageScanError, LimitExceeded

MAXIMUM_DATABASE = 128 << 20  # bytes of one database file; rpm's of 3,000 packages has 100 MiB
MAXIMUM_PACKAGES = 100_000
MAXIMUM_PATHS = 4_000_000  # files of all packages together
MAXIMUM_PATH_CHARACTERS = 256 << 20  # a directory may be named once and hold a million files
MAXIMUM_PATH = 4096  # characters; Linux's PATH_MAX


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
    ``version`` is whole, with epoch and revision; unknown texts are empty. ``needed`` are the names of
    packages that it depends on, ``optional`` those that it only recommends or suggests (dpkg only)."""

    name: str
    version: str
    architecture: str
    source: str
    manager: PackageManager
    needed: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()

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
        return cls(zlib.compress(data, 1), len(data))

    @property
    def data(self) -> bytes:
        """The bytes of the file."""
        return zlib.decompress(self.packed)
