"""Compressed chunks enter, inflated chunks of at most 256 KiB leave.

Follows RFC 1952 (gzip, with several members), RFC 8878 (Zstandard, with several and with
skippable frames) and the media types of the OCI image specification (layer.md). As in
containerd and Docker the first bytes decide, because old builders put Zstandard under gzip's
media type; the media type only rules out what can never be read.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from functools import cache
from itertools import chain
from typing import Any, Protocol

from imagescan.errors import CorruptLayer, UnsupportedCompression

CHUNK_BYTES = 256 * 1024  # inflated chunk: stays in the second-level cache between inflate, hash and walk
FIRST_PIECE_BYTES = 4 * 1024  # input given to a fresh decoder; doubles up to CHUNK_BYTES
MAXIMUM_ZSTD_WINDOW_LOG = 27  # 128 MiB, what the zstd tool accepts without being asked

_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_OTHER_MAGICS = {b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x04\x22\x4d\x18": "lz4", b"LZIP": "lzip"}


class Compression(StrEnum):
    """How the bytes of a layer blob are stored."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"


class _Decoder(Protocol):
    """One member or frame; the shape of bz2.BZ2Decompressor, isal and compression.zstd."""

    eof: bool
    needs_input: bool
    unused_data: bytes

    def decompress(self, data: memoryview | bytes, max_length: int) -> bytes: ...


def detect(head: bytes, media_type: str = "", where: str = "") -> Compression:
    """Tell the compression from the first bytes of a blob.

    Raises:
        UnsupportedCompression: the media type is encrypted, or the bytes are of a kind that the
            specification does not name.
    """
    if media_type.endswith("+encrypted"):
        raise UnsupportedCompression(
            "the layer is encrypted", where=where, advice="decrypt the image before scanning it"
        )
    if head.startswith(_GZIP_MAGIC):
        return Compression.GZIP
    if head.startswith(_ZSTD_MAGIC) or _is_skippable(head):
        return Compression.ZSTD
    for magic, name in _OTHER_MAGICS.items():
        if head.startswith(magic):
            raise UnsupportedCompression(
                f"the layer is compressed with {name}", where=where, advice="rebuild it with gzip or zstd"
            )
    if media_type.endswith(("+zstd", "+gzip", ".tar.gzip")) and not _looks_like_tar(head):
        raise CorruptLayer(
            f"the blob is neither compressed nor a tar, though its type is {media_type}", where=where
        )
    return Compression.NONE


def _is_skippable(head: bytes) -> bool:
    return len(head) >= 4 and 0x50 <= head[0] <= 0x5F and head[1:4] == b"\x2a\x4d\x18"


def _looks_like_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar" or not head.strip(b"\0")


def prepare(media_types: Iterable[str]) -> None:
    """Load what these types are inflated with, so that copies of this process need not."""
    types = tuple(media_types)
    if any("zstd" in one for one in types):
        _zstd_decoder()
    if any("zstd" not in one for one in types):
        _gzip_decoder()


def inflate(
    blocks: Iterator[bytes], media_type: str = "", where: str = ""
) -> tuple[Compression, Iterator[bytes]]:
    """Start reading a blob: how it is compressed, and its inflated chunks.

    Raises:
        UnsupportedCompression: as ``detect`` says; at once.
        CorruptLayer: from the iterator: damaged, cut short, or followed by something else.
    """
    head = b""
    for block in blocks:
        head += block
        if len(head) >= 512:
            break
    compression = detect(head, media_type, where)
    whole = chain((head,), blocks) if head else blocks
    if compression is Compression.NONE:
        return compression, whole
    return compression, _inflate(whole, compression, where)


def _inflate(blocks: Iterator[bytes], compression: Compression, where: str) -> Iterator[bytes]:
    """Run one decoder after the other, one for each member or frame.

    A decoder copies what it does not use, so a fresh one gets little: a blob with a frame for
    each file (zstd:chunked, eStargz) would otherwise be copied once for each of its frames.
    """
    new_decoder, damage = _gzip_decoder() if compression is Compression.GZIP else _zstd_decoder()
    decoder: _Decoder | None = None
    piece_bytes = 0
    for block in blocks:
        view = memoryview(block)
        position = 0
        while position < len(view):
            if decoder is None:
                if compression is Compression.GZIP and not view[position]:
                    _only_zeros(view[position:], blocks, where)
                    return
                decoder, piece_bytes = new_decoder(), FIRST_PIECE_BYTES
            piece = view[position : position + piece_bytes]
            position += len(piece)
            piece_bytes = min(2 * piece_bytes, CHUNK_BYTES)
            try:
                yield from _drain(decoder, piece)
            except damage as error:
                raise CorruptLayer(f"the {compression} data is damaged: {error}", where=where) from error
            if decoder.eof:
                position -= len(decoder.unused_data)
                decoder = None
    if decoder is not None:
        raise CorruptLayer(f"the {compression} data ends early", where=where, advice="fetch the image again")


def _drain(decoder: _Decoder, piece: memoryview) -> Iterator[bytes]:
    data: memoryview | bytes = piece
    while True:
        if chunk := decoder.decompress(data, CHUNK_BYTES):
            yield chunk
        if decoder.eof or decoder.needs_input:
            return
        data = b""


def _only_zeros(rest: memoryview, blocks: Iterator[bytes], where: str) -> None:
    """Accept the zeros that tapes and block devices leave behind the last member, and no more."""
    for block in chain((bytes(rest),), blocks):
        if block.count(0) != len(block):
            raise CorruptLayer("garbage follows the gzip data", where=where)


class _ZlibDecoder:
    """zlib's decompressobj in the shape of the other decoders; used where isal is missing."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: memoryview | bytes, max_length: int) -> bytes:
        chunk = self._inner.decompress(data or self._inner.unconsumed_tail, max_length)
        self.needs_input = not self._inner.unconsumed_tail and len(chunk) < max_length
        return chunk


@cache
def _gzip_decoder() -> tuple[Callable[[], Any], Any]:
    """What makes a decoder for one gzip member, and the exception it raises on damage."""
    try:
        from isal import igzip_lib
    except ImportError:  # no wheel for this platform: slower, equal otherwise
        return _ZlibDecoder, zlib.error
    return lambda: igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP), igzip_lib.IsalError


@cache
def _zstd_decoder() -> tuple[Callable[[], Any], Any]:
    """What makes a decoder for one Zstandard frame, and the exception it raises on damage."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: MAXIMUM_ZSTD_WINDOW_LOG}
    return lambda: zstd.ZstdDecompressor(options=options), zstd.ZstdError
