"""One rpm header: name, version and files of an installed package.

The bytes of a header blob as every rpm database stores it enter (two counts, the index, the data,
all big-endian), an ``InstalledPackage`` leaves. rpm's documentation ("RPM v4 header format",
"tags") describes it. Only the dozen tags that are needed are looked at.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from imagescan.packages.values import (
    MAXIMUM_PATH,
    DamagedDatabase,
    InstalledPackage,
    Package,
    PackageManager,
)

MAXIMUM_ENTRIES = 65_536  # index entries of one header, as in rpm (HEADER_TAGS_MAX)

_ENTRY = struct.Struct(">IIII")
_STRING, _STRING_ARRAY, _I18N_STRING, _INT32 = 6, 8, 9, 4
_NAME, _VERSION, _RELEASE, _EPOCH, _ARCHITECTURE = 1000, 1001, 1002, 1003, 1022
_SOURCE_RPM, _OLD_NAMES, _DIRECTORY_INDEXES, _BASE_NAMES, _DIRECTORY_NAMES = 1044, 1027, 1116, 1117, 1118
_WANTED = frozenset(
    {_NAME, _VERSION, _RELEASE, _EPOCH, _ARCHITECTURE, _SOURCE_RPM}
    | {_OLD_NAMES, _DIRECTORY_INDEXES, _BASE_NAMES, _DIRECTORY_NAMES}
)


def read_header(blob: bytes) -> InstalledPackage:
    """One header.

    Raises:
        DamagedDatabase: counts or offsets that reach past the blob, or a package without a name.
    """
    if len(blob) < 8:
        raise DamagedDatabase("a header of less than 8 bytes")
    entries, size = struct.unpack_from(">II", blob)
    start = 8 + entries * _ENTRY.size
    if entries > MAXIMUM_ENTRIES or start + size > len(blob):
        raise DamagedDatabase("a header that reaches past its end")
    tags = _Tags(blob, entries, start, start + size)
    name, version, release = (tags.text(tag) for tag in (_NAME, _VERSION, _RELEASE))
    if not name or not version:
        raise DamagedDatabase("a package without name or version")
    epoch = tags.numbers(_EPOCH)
    whole = (f"{epoch[0]}:" if epoch and epoch[0] else "") + version + (f"-{release}" if release else "")
    source = tags.text(_SOURCE_RPM).removesuffix(".rpm").rpartition(".")[0]
    source = source.rpartition("-")[0].rpartition("-")[0] or name
    package = Package(name, whole, tags.text(_ARCHITECTURE), source, PackageManager.RPM)
    return InstalledPackage(package, tuple(_paths(tags)))


class _Tags:
    """The index of one header; values are decoded when asked for."""

    def __init__(self, blob: bytes, entries: int, start: int, end: int) -> None:
        self._blob, self._start, self._end = blob, start, end
        self._index: dict[int, tuple[int, int, int]] = {}
        for tag, kind, offset, count in _ENTRY.iter_unpack(blob[8:start]):
            if tag in _WANTED and offset < end - start:
                self._index.setdefault(tag, (kind, start + offset, count))

    def text(self, tag: int) -> str:
        kind, offset, _ = self._index.get(tag, (0, 0, 0))
        return next(self._texts(offset, 1), "") if kind in (_STRING, _I18N_STRING) else ""

    def texts(self, tag: int) -> Iterator[str]:
        kind, offset, count = self._index.get(tag, (0, 0, 0))
        return self._texts(offset, count) if kind == _STRING_ARRAY else iter(())

    def _texts(self, offset: int, count: int) -> Iterator[str]:
        for _ in range(count):
            stop = self._blob.find(b"\0", offset, self._end)
            if stop < 0:
                return
            yield self._blob[offset:stop].decode("utf-8", "surrogateescape")
            offset = stop + 1

    def numbers(self, tag: int) -> tuple[int, ...]:
        kind, offset, count = self._index.get(tag, (0, 0, 0))
        if kind != _INT32 or offset + 4 * count > self._end:
            return ()
        return struct.unpack_from(f">{count}I", self._blob, offset)


def _paths(tags: _Tags) -> Iterator[str]:
    """Base names with the directories that their indexes name; rpm 3 wrote whole paths."""
    directories = tuple(tags.texts(_DIRECTORY_NAMES))
    indexes = tags.numbers(_DIRECTORY_INDEXES)
    for index, name in zip(indexes, tags.texts(_BASE_NAMES), strict=False):
        if index < len(directories) and len(directories[index]) < MAXIMUM_PATH:
            yield directories[index] + name
    yield from tags.texts(_OLD_NAMES)
