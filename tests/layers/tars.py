"""Tars for tests: written block by block, so that they can lie, and an inspector that keeps bytes."""

from __future__ import annotations

import hashlib
import io

from imagescan.layers.index import index_layer
from imagescan.layers.values import Body, ColumnStore, ImagePath, Interest, LayerIndex
from imagescan.reference import Digest
from imagescan.sources.values import LayerDescriptor

END = bytes(1024)


class KeepEverything:
    """Keeps the bytes of every file."""

    NAME = "keep"
    VERSION = 1
    INTEREST = Interest(frozenset(), frozenset(), (b"",))

    def wants(self, path: ImagePath, size: int, head: bytes) -> bool:
        self.head = head
        return True

    def parts(self, path: ImagePath, start: Body) -> None:
        return None

    def inspect(self, path: ImagePath, body: Body, store: ColumnStore) -> object:
        content = body.read(0, body.size)
        assert content[:512] == self.head
        return content


class KeepNothing:
    NAME = "nothing"
    VERSION = 1
    INTEREST = Interest(frozenset(), frozenset(), ())

    def wants(self, path: ImagePath, size: int, head: bytes) -> bool:
        return False

    def parts(self, path: ImagePath, start: Body) -> None:
        return None

    def inspect(self, path: ImagePath, body: Body, store: ColumnStore) -> object:
        raise AssertionError("not wanted")


def octal(value: int, width: int) -> bytes:
    return f"{value:0{width - 1}o}\0".encode()


def header(
    name: bytes,
    *,
    size: int | bytes = 0,
    type: bytes = b"0",
    link: bytes = b"",
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
    checksum: bytes | None = None,
) -> bytes:
    """One header block, behind an extended header where name or link are too long for it.

    ``size`` as bytes and ``checksum`` are taken as they are.
    """
    before = b""
    if len(name) > 100 or len(link) > 100:
        before = pax(("path", name), ("linkpath", link))
        name, link = name[:100], link[:100]
    size_field = size if isinstance(size, bytes) else octal(size, 12)
    block = bytearray(
        name.ljust(100, b"\0")
        + octal(mode, 8)
        + octal(uid, 8)
        + octal(gid, 8)
        + size_field.ljust(12, b"\0")
        + octal(0, 12)
        + b" " * 8
        + type
        + link.ljust(100, b"\0")
        + magic
        + bytes(64)
        + bytes(16)
        + prefix.ljust(155, b"\0")
    ).ljust(512, b"\0")
    block[148:156] = checksum if checksum is not None else f"{sum(block):06o}\0 ".encode()
    return before + bytes(block)


def file(name: bytes, content: bytes = b"", **fields) -> bytes:
    return header(name, size=len(content), **fields) + padded(content)


def directory(name: bytes, mode: int = 0o755, **fields) -> bytes:
    return header(name, type=b"5", mode=mode, **fields)


def symlink(name: bytes, target: bytes) -> bytes:
    return header(name, type=b"2", link=target, mode=0o777)


def hard_link(name: bytes, target: bytes, **fields) -> bytes:
    return header(name, type=b"1", link=target, **fields)


def pax(*records: tuple[str, str | bytes], type: bytes = b"x") -> bytes:
    """An extended header with these records."""
    data = b"".join(
        record(key.encode(), value.encode() if isinstance(value, str) else value) for key, value in records
    )
    return header(b"pax", size=len(data), type=type) + padded(data)


def record(key: bytes, value: bytes) -> bytes:
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length += 1
    return str(length).encode() + rest


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)


def layer(*parts: bytes) -> bytes:
    return b"".join(parts) + END


def index(data: bytes, descriptor: LayerDescriptor | None = None, inspector=None, **options) -> LayerIndex:
    return index_layer(io.BytesIO(data), descriptor, inspector or KeepEverything(), **options)


def descriptor(
    blob: bytes, tar: bytes | None = None, media_type: str = "", number: int = 0
) -> LayerDescriptor:
    return LayerDescriptor(
        index=number,
        digest=sha256(blob),
        size=len(blob),
        media_type=media_type,
        diff_id=None if tar is None else sha256(tar),
    )


def sha256(data: bytes) -> Digest:
    return Digest("sha256", hashlib.sha256(data).hexdigest())


def paths(layer_index: LayerIndex) -> list[str]:
    """Every path but the root's."""
    return sorted(entry.path for entry in layer_index.entries() if entry.path)
