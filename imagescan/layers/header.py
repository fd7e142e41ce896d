"""One 512-byte header block of a tar enters; its fields leave.

Follows POSIX ustar (pax, "ustar Interchange Format"), GNU tar's base-256 numbers and old GNU
headers. Where readers differ, Go's archive/tar is the measure: containerd, Docker and umoci
unpack with it.
"""

from __future__ import annotations

import struct
from zlib import adler32

from imagescan.errors import CorruptLayer

BLOCK_BYTES = 512
ZERO_BLOCK = bytes(BLOCK_BYTES)

# name, mode+uid+gid, size, mtime (skipped), checksum, type, link name, magic,
# version, user, group and device (skipped), prefix, trailer
_HEADER = struct.Struct("100s 24s 12s 12x 8s B 100s 6s 82x 155s 8x 4s")
_POSIX_MAGIC = b"ustar\0"
_STAR_TRAILER = b"tar\0"  # star keeps times behind a prefix of 131 bytes
_FIELD_OF_SPACES = 8 * 0x20
_MAXIMUM_CACHED = 4096  # distinct fields remembered; layers repeat few modes and owners

Attributes = tuple[int, int, int]  # mode (permission bits), uid, gid

# Name, attributes, size as written (for a link it may be anything), code of the type flag, link;
# texts are bytes, cut at their first NUL. A plain tuple, because a tar has one for every entry.
Header = tuple[bytes, Attributes, int, int, bytes]


class HeaderDecoder:
    """Decodes header blocks, remembering the modes and owners that layers repeat."""

    def __init__(self) -> None:
        self._attributes: dict[bytes, Attributes] = {}

    def decode(self, block: bytes) -> Header:
        """Read one block of ``BLOCK_BYTES``.

        Raises:
            CorruptLayer: wrong checksum, or a number that is none or negative.
        """
        name, owner, size_field, sum_field, type_flag, link, magic, prefix, trailer = _HEADER.unpack(block)
        # adler32's low half is 1 + the sum of the bytes modulo 65521: exact for 256 bytes.
        total = (adler32(block[:256]) & 0xFFFF) + (adler32(block[256:]) & 0xFFFF) - 2
        digits = sum_field[:6]
        if not digits.isdigit() or total - sum(sum_field) + _FIELD_OF_SPACES != int(digits, 8):
            _check_sum(block, sum_field, total)
        digits = size_field[:11]
        plain = digits.isdigit() and size_field[11] in b"\0 "
        size = octal(digits) if plain else number(size_field)
        if not name[99]:
            name = name[: name.index(0)]
        if prefix[0] and magic == _POSIX_MAGIC:
            name = until_nul(prefix[:131] if trailer == _STAR_TRAILER else prefix) + b"/" + name
        attributes = self._attributes.get(owner) or self._decode_owner(owner)
        return name, attributes, size, type_flag, until_nul(link) if link[0] else b""

    def _decode_owner(self, field: bytes) -> Attributes:
        attributes = number(field[:8]) & 0o7777, number(field[8:16]), number(field[16:])
        if len(self._attributes) < _MAXIMUM_CACHED:
            self._attributes[field] = attributes
        return attributes


def _check_sum(block: bytes, field: bytes, total: int) -> None:
    """Compare a checksum that is not six octal digits, or was made of signed characters.

    The checksum counts its own field as spaces. Old writers summed signed characters.
    """
    stored = number(field)
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
