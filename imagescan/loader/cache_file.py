"""The loader cache: bytes of an ``ld.so.cache`` enter, look-ups by name leave a path.

Mirrors glibc ``elf/dl-cache.c`` (``search_cache``, ``_dl_cache_libcmp``) and the formats of
``sysdeps/generic/dl-cache.h``; ``loader.md`` section 4.9. A file that glibc would reject reads
as None, which means: no cache.
"""

from __future__ import annotations

import struct

from imagescan.dataclasses import dataclass
from imagescan.patterns import pattern

_OLD_MAGIC = b"ld.so-1.7.0"
_NEW_MAGIC = b"glibc-ld.so.cache1.1"
_HEADER_SIZE = 48
_ENTRY_SIZE = 24
_EXTENSION_MAGIC = 0xEAA42174
_HWCAPS_TAG = 1
_HWCAPS_BIT = 1 << 62
_HWCAPS_MASK = 0xBFFFFC0000000000  # bits that a glibc-hwcaps entry must not have set
MAXIMUM_CACHE_ENTRIES = 1 << 20

_DIGITS = pattern(r"(\d+)")


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One line of ``ldconfig -p``. ``hwcaps`` is the glibc-hwcaps name, "" for an ordinary entry,
    None for a legacy hwcap word, which only glibc before 2.37 uses (``legacy``)."""

    key: str
    path: str
    flags: int
    hwcaps: str | None = ""
    legacy: int = 0


@dataclass(frozen=True, slots=True)
class LoaderCache:
    """A readable cache, entries by comparison key in file order; ``generator`` says who wrote it."""

    entries: dict[tuple[object, ...], tuple[CacheEntry, ...]]
    generator: str = ""

    def lookup(
        self, name: str, flags: frozenset[int], hwcaps: tuple[str, ...], legacy: int | None = None
    ) -> CacheEntry | None:
        """The one entry that answers for ``name``: the best usable hwcaps entry, else the first
        ordinary one with accepted flags. Mirrors ``search_cache``: never a second choice.

        ``legacy`` has the bits of the older hwcap words that the CPU satisfies, None from glibc 2.37
        on, which uses no such entry.
        """
        ordinary: CacheEntry | None = None
        best: CacheEntry | None = None
        for entry in self.entries.get(comparison_key(name), ()):
            if entry.flags not in flags:
                continue
            if entry.hwcaps is None:
                if legacy is not None and not entry.legacy & ~legacy:
                    ordinary = ordinary or entry
            elif not entry.hwcaps:
                ordinary = ordinary or entry
            elif entry.hwcaps in hwcaps and (
                best is None or hwcaps.index(entry.hwcaps) < hwcaps.index(best.hwcaps or "")
            ):
                best = entry
        return best or ordinary


def comparison_key(name: str) -> tuple[object, ...]:
    """A value that is equal where ``_dl_cache_libcmp`` calls two names equal: digit runs compare
    as integers, so ``libnum.so.01`` finds ``libnum.so.1``."""
    parts = _DIGITS.split(name)
    return tuple(int(part[-18:]) if index % 2 else part for index, part in enumerate(parts))


def read_cache(data: bytes) -> LoaderCache | None:
    """Parse a cache of any format that a current loader accepts; None where it would ignore it."""
    base = 0
    if data[: len(_OLD_MAGIC)] == _OLD_MAGIC:
        base = _embedded_image(data)
        if data[base : base + len(_NEW_MAGIC)] != _NEW_MAGIC:
            return _read_old(data)
    if data[base : base + len(_NEW_MAGIC)] != _NEW_MAGIC or len(data) < base + _HEADER_SIZE:
        return None
    encoding = data[base + 28] & 3
    if encoding == 1:
        return None
    order = ">" if encoding == 3 else "<"
    (count, _strings) = struct.unpack_from(order + "II", data, base + 20)
    if encoding == 0 and count > MAXIMUM_CACHE_ENTRIES:
        order = ">"
        (count, _strings) = struct.unpack_from(">II", data, base + 20)
    if count > MAXIMUM_CACHE_ENTRIES or base + _HEADER_SIZE + count * _ENTRY_SIZE > len(data):
        return None
    generator, names = _read_extensions(data, order, base)
    groups: dict[tuple[object, ...], list[CacheEntry]] = {}
    table = data[base + _HEADER_SIZE : base + _HEADER_SIZE + count * _ENTRY_SIZE]
    for flags, key, value, _system, hwcap in struct.iter_unpack(order + "iIIIQ", table):
        entry = _entry(data, base, flags, key, value, hwcap, names)
        groups.setdefault(comparison_key(entry.key), []).append(entry)
    return LoaderCache({key: tuple(group) for key, group in groups.items()}, generator)


def _read_old(data: bytes) -> LoaderCache | None:
    """The format before 2.2: no hwcaps, offsets from the end of the array; the loader's byte order."""
    if len(data) < 16:
        return None
    order = "<" if struct.unpack_from("<I", data, 12)[0] <= MAXIMUM_CACHE_ENTRIES else ">"
    (count,) = struct.unpack_from(order + "I", data, 12)
    strings = 16 + 12 * count
    if count > MAXIMUM_CACHE_ENTRIES or strings > len(data):
        return None
    groups: dict[tuple[object, ...], list[CacheEntry]] = {}
    for flags, key, value in struct.iter_unpack(order + "iII", data[16:strings]):
        entry = CacheEntry(_string(data, strings + key), _string(data, strings + value), flags)
        groups.setdefault(comparison_key(entry.key), []).append(entry)
    return LoaderCache({key: tuple(group) for key, group in groups.items()})


def _embedded_image(data: bytes) -> int:
    """Where a compatibility cache holds its new-format image, or past the end."""
    if len(data) < 16:
        return len(data)
    count: int = struct.unpack_from("<I", data, 12)[0]
    if count > MAXIMUM_CACHE_ENTRIES:
        count = struct.unpack_from(">I", data, 12)[0]
    end = 16 + 12 * min(count, MAXIMUM_CACHE_ENTRIES)
    aligned = (end + 7) & ~7
    return aligned if data[aligned : aligned + len(_NEW_MAGIC)] == _NEW_MAGIC else end


def _entry(
    data: bytes, base: int, flags: int, key: int, value: int, hwcap: int, names: tuple[str, ...]
) -> CacheEntry:
    hwcaps: str | None = ""
    if hwcap:
        index = hwcap & 0xFFFFFFFF
        is_hwcaps = bool(hwcap & _HWCAPS_BIT) and not hwcap & _HWCAPS_MASK
        hwcaps = names[index] if is_hwcaps and index < len(names) else None
    return CacheEntry(
        _string(data, base + key), _string(data, base + value), flags, hwcaps, hwcap if hwcaps is None else 0
    )


def _read_extensions(data: bytes, order: str, base: int) -> tuple[str, tuple[str, ...]]:
    """The generator's text and the hwcaps names. Offsets are the file's, which is why a
    compatibility cache (base > 0) has no usable names."""
    (offset,) = struct.unpack_from(order + "I", data, base + 32)
    if not offset or base or offset % 4 or offset + 8 > len(data):
        return "", ()
    magic, count = struct.unpack_from(order + "II", data, offset)
    generator = ""
    names: tuple[str, ...] = ()
    if magic != _EXTENSION_MAGIC:
        return generator, names
    for index in range(min(count, 64)):
        place = offset + 8 + 16 * index
        if place + 16 > len(data):
            break
        tag, _flags, start, size = struct.unpack_from(order + "IIII", data, place)
        content = data[start : start + min(size, 4096)]
        if tag == 0:
            generator = content.decode("utf-8", "replace")
        elif tag == _HWCAPS_TAG:
            offsets = struct.iter_unpack(order + "I", content[: len(content) & ~3])
            names = tuple(_string(data, one) for (one,) in offsets)
    return generator, names


def _string(data: bytes, offset: int) -> str:
    end = data.find(b"\0", offset, offset + 4096)
    return data[offset : end if end >= 0 else offset].decode("utf-8", "surrogateescape")
