"""The hash of names in DT_GNU_HASH, for many names at once.

Names enter, their hashes leave. Mirrors ``_dl_new_hash`` (elf/dl-hash.h), which is Bernstein's hash modulo
2**32: 5381 and then each byte in turn, times 33 plus the byte. A name's hash is a polynomial in 33, so it can
be worked out of halves; here those of many names lie in one large number, and one multiplication brings all
of them a step further.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence
from functools import cache

_BYTES_AT_ONCE = 8192  # in one number; more takes no less time for each
_FEW = 8  # names that are hashed one by one
_WIDEST = 1024  # bytes of a name; longer ones are hashed one by one
_WORD = 0xFFFFFFFF


def gnu_hash(name: bytes) -> int:
    """The hash of one name."""
    value = 5381
    for byte in name:
        value = value * 33 + byte & _WORD
    return value


def gnu_hashes(names: Iterable[bytes]) -> dict[bytes, int]:
    """The hash of each of many names."""
    found: dict[bytes, int] = {}
    if len(some_names := [*names]) < _FEW:
        return {name: gnu_hash(name) for name in some_names}
    by_width: dict[int, list[bytes]] = {}
    for name in some_names:
        by_width.setdefault(4 << (len(name) - 1 >> 2).bit_length() if name else 4, []).append(name)
    for width, some in by_width.items():
        if width > _WIDEST:
            found.update((name, gnu_hash(name)) for name in some)
            continue
        for start in range(0, len(some), _BYTES_AT_ONCE // width):
            portion = some[start : start + _BYTES_AT_ONCE // width]
            found.update(zip(portion, _together(portion, width), strict=True))
    return found


def _together(names: Sequence[bytes], width: int) -> list[int]:
    """The hashes of names of at most ``width`` bytes each, which is a power of two."""
    size = width * len(names)
    number = int.from_bytes(b"".join([name.rjust(width, b"\0") for name in names]), "little")
    lane = 1  # bytes that one value takes
    while lane < width:
        mask = _mask(lane)
        number = (number & mask) * pow(33, lane, 1 << 32) + (number >> 8 * lane & mask)
        lane *= 2
    values = array("I", number.to_bytes(size, "little"))
    if sys.byteorder == "big":
        values.byteswap()
    return [
        value + _start(len(name)) & _WORD for value, name in zip(values[:: width // 4], names, strict=True)
    ]


@cache
def _start(length: int) -> int:
    """What 5381 is worth after so many bytes."""
    return 5381 * pow(33, length, 1 << 32) & _WORD


@cache
def _mask(lane: int) -> int:
    """Ones for the lowest 32 bits of each second value of ``lane`` bytes."""
    one = b"\xff" * min(lane, 4)
    return int.from_bytes(one.ljust(2 * lane, b"\0") * (_BYTES_AT_ONCE // (2 * lane)), "little")
