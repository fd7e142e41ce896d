"""ZIP files for tests: written by the standard library, then broken on purpose."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping

from imagescan.archives.reader import read_archive
from imagescan.archives.values import Archive
from imagescan.layers.column_store import TemporaryColumnStore
from imagescan.rules.examples.elf_writer import ElfStandIn, write_elf
from tests.elf.compile import Body

LIBRARY = write_elf(ElfStandIn(soname="libx.so.1", needed=("libc.so.6",)))


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP file with these members."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def read(data: bytes) -> Archive | None:
    """What is found in a ZIP file."""
    return read_archive(Body(data), TemporaryColumnStore())


def paths(data: bytes) -> list[str]:
    """The native code of a ZIP file that is whole."""
    found = read(data)
    assert found is None or not found.unread
    return [] if found is None else [one.path for one in found.binaries]


def unread(data: bytes) -> str:
    """Why something of a ZIP file could not be read."""
    found = read(data)
    assert found is not None
    return " ".join(found.unread)


def central(data: bytes, name: str) -> int:
    """Where the central directory's entry of a member begins."""
    (start,) = struct.unpack("<L", data[-6:-2])
    while True:
        length, extra, comment = struct.unpack_from("<3H", data, start + 28)
        if data[start + 46 : start + 46 + length] == name.encode():
            return int(start)
        start += 46 + length + extra + comment


def changed(data: bytes, offset: int, layout: str, *values: int) -> bytes:
    """The bytes with a field written over."""
    size = struct.calcsize(layout)
    return data[:offset] + struct.pack(layout, *values) + data[offset + size :]
