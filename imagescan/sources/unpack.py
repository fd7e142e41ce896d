"""A compressed archive as a plain stream, told by its first bytes and never by its name."""

from __future__ import annotations

import sys
from typing import Any, BinaryIO, cast

from imagescan.errors import ImageFormatError
from imagescan.sources.tar_archive import UNPACKED_SIZE_LIMIT, TranslatedReader

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = tuple(bytes([number]) + b"\x2a\x4d\x18" for number in range(0x50, 0x60))
_OTHER_MAGICS = {b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x04\x22\x4d\x18": "lz4"}
_TAR_MAGIC = b"ustar"
_TAR_MAGIC_OFFSET = 257


def compression_of(head: bytes) -> str:
    """``"gzip"``, ``"zstd"``, another compression's name, or ``""`` when there is none."""
    if head.startswith(GZIP_MAGIC):
        return "gzip"
    if head.startswith((ZSTD_MAGIC, *_ZSTD_SKIPPABLE)):
        return "zstd"
    return next((name for magic, name in _OTHER_MAGICS.items() if head.startswith(magic)), "")


def is_tar(head: bytes) -> bool:
    """Whether 512 bytes are the header of a POSIX or GNU tar (or the end mark of an empty one)."""
    return head[_TAR_MAGIC_OFFSET : _TAR_MAGIC_OFFSET + 5] == _TAR_MAGIC or (
        len(head) >= 512 and not any(head[:512])
    )


def looks_like_archive(head: bytes) -> bool:
    """Whether 512 bytes may begin an image archive: a tar, or a compressed one."""
    return is_tar(head) or bool(compression_of(head))


def unpack(stream: BinaryIO, compression: str, where: str) -> BinaryIO:
    """The content of a gzip or zstd stream, all members and frames of it.

    Raises, while reading:
        ImageFormatError: damaged or truncated.
        LimitExceeded: longer than ``UNPACKED_SIZE_LIMIT``.
    """
    inner: Any
    if compression == "gzip":
        from isal import igzip

        inner = igzip.IGzipFile(fileobj=stream, mode="rb")  # type: ignore[no-untyped-call]
    else:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd

        inner = zstd.ZstdFile(stream, "rb")

    def damaged(error: Exception) -> ImageFormatError:
        return ImageFormatError(f"the {compression} stream is damaged or truncated: {error}", where=where)

    return cast(BinaryIO, TranslatedReader(inner, damaged, UNPACKED_SIZE_LIMIT))
