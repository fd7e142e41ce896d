"""One 512-byte header block of a tar enters; its fields leave.

Follows POSIX ustar (pax, "ustar Interchange Format"), GNU tar's base-256 numbers and old GNU
headers. Where readers differ, Go's archive/tar is the measure: containerd, Docker and umoci
unpack with it.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from zlib import adler32

from imagescan.errors import CorruptLayer

BLOCK_BYTES = 512
ZERO_BLOCK = bytes(BLOCK_BYTES)

# From byte 100 on: mode+uid+gid, size, mtime (skipped), checksum, type, first byte of the link name,
# magic, version, user, group and device (skipped), first byte of the prefix.
_FIELDS = struct.Struct("24s 12s 12x 8s B B 99x 6s 82x B")
_LINK, _PREFIX, _TRAILER = slice(157, 257), slice(345, 500), slice(508, 512)
_POSIX_MAGIC = b"ustar\0"
_STAR_TRAILER = b"tar\0"  # star keeps times behind a prefix of 131 bytes
_FIELD_OF_SPACES = 8 * 0x20

Attributes = tuple[int, int, int]  # mode (permission bits), uid, gid

# Name, attributes, size as written (for a link it may be anything), code of the type flag, link;
# texts are bytes, cut at their first NUL. A plain tuple, because a tar has one for every entry.
Header = tuple[bytes, Attributes, int, int, bytes]


def decode_header(block: bytes) -> Header:
    """Read one block of ``BLOCK_BYTES``.

    Raises:
        CorruptLayer: wrong checksum, or a number that is none or negative.
    """
    owner, size, checksum, type_flag, link, magic, prefix = _FIELDS.unpack_from(block, 100)
    _check_sum(block, checksum)
    name = until_nul(block[:100])
    if prefix and magic == _POSIX_MAGIC:
        field = block[_PREFIX]
        name = until_nul(field[:131] if block[_TRAILER] == _STAR_TRAILER else field) + b"/" + name
    return name, decode_attributes(owner), number(size), type_flag, until_nul(block[_LINK]) if link else b""


@lru_cache(maxsize=4096)
def decode_attributes(field: bytes) -> Attributes:
    """Mode, user and group from their three fields.

    Raises:
        CorruptLayer: a number that is none or negative.
    """
    return number(field[:8]) & 0o7777, number(field[8:16]), number(field[16:])


def _check_sum(block: bytes, field: bytes) -> None:
    """Compare the sum of a block's bytes with the checksum that stands in it.

    The checksum counts its own field as spaces. Old writers summed signed characters.
    """
    stored = number(field)
    # adler32's low half is 1 + the sum of the bytes modulo 65521: exact for 512 bytes of ASCII.
    total = (adler32(block) & 0xFFFF) - 1 if block.isascii() else sum(block)
    if total - sum(field) + _FIELD_OF_SPACES == stored:
        return
    signed = sum(byte - 256 if byte > 127 else byte for byte in block[:148] + block[156:])
    if signed + _FIELD_OF_SPACES != stored:
        raise CorruptLayer("a tar header with a wrong checksum")


def until_nul(field: bytes) -> bytes:
    """The bytes before the first NUL, or all."""
    return field.split(b"\0", 1)[0]


def octal(digits: bytes) -> int:
    """The value of octal digits.

    Raises:
        CorruptLayer: not octal digits.
    """
    try:
        return int(digits, 8)
    except ValueError:
        raise CorruptLayer(f"{digits!r} in a tar header is no octal number") from None


def number(field: bytes) -> int:
    """A numeric field: octal text, or base-256 when the first bit is set (GNU, star).

    Raises:
        CorruptLayer: not a number, or a negative one; no field in use can be negative.
    """
    if field[0] & 0x80:
        if field[0] & 0x40:
            raise CorruptLayer("a negative number in a tar header")
        return int.from_bytes(bytes((field[0] & 0x3F,)) + field[1:], "big")
    digits = until_nul(field).strip(b" ")
    if not digits:
        return 0
    if not digits.isdigit():
        raise CorruptLayer(f"{digits!r} in a tar header is no octal number")
    return octal(digits)
