"""A file system from a few files, on the way that every image goes; and package databases of rpm's.

In: paths with bytes, or a link's target as text. Out: a merged file system.
"""

from __future__ import annotations

import sqlite3
import struct
import subprocess
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path

from imagescan.content import FileInspector
from imagescan.filesystem.merge import merge
from imagescan.filesystem.values import RootFilesystem
from imagescan.layers.index import index_layer
from tests.requirements import require_tool


def filesystem(files: Mapping[str, bytes | str]) -> RootFilesystem:
    """One layer with these files (bytes) and symbolic links (texts)."""
    stream = BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path.lstrip("/"))
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, BytesIO(content))
    return merge([index_layer(BytesIO(stream.getvalue()), None, FileInspector())])


SPEC = """\
Name: demo
Epoch: 2
Version: 1.2.3
Release: 4.el9
Summary: a program
License: none
%description
a program
%package libs
Summary: its library
%description libs
its library
%install
mkdir -p %{buildroot}/usr/lib64/demo %{buildroot}/usr/bin
echo program > %{buildroot}/usr/bin/demo
echo library > %{buildroot}/usr/lib64/libdemo.so.1.2
ln -s libdemo.so.1.2 %{buildroot}/usr/lib64/libdemo.so.1
for number in $(seq 1500); do echo $number > %{buildroot}/usr/lib64/demo/data-file-$number; done
%files
/usr/bin/demo
%files libs
/usr/lib64/*
"""


def rpm_database(directory: Path) -> Path:
    """An SQLite database as rpm writes it, with two packages that rpmbuild made."""
    require_tool("rpmbuild", "rpm")
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "demo.spec").write_text(SPEC)
    top = directory / "top"
    _quietly(["rpmbuild", "-bb", "--nodeps", "--target=x86_64", f"-D_topdir {top}", directory / "demo.spec"])
    packages = sorted(top.rglob("*.rpm"))
    database = directory / "database"
    options = ["--justdb", "--nodeps", "--noscripts", "--ignorearch", "--nosignature"]
    _quietly(["rpm", "--dbpath", database, "-D_db_backend sqlite", *options, "-i", *packages])
    return database


def headers(database: Path) -> list[bytes]:
    """The header blobs of an SQLite database."""
    with sqlite3.connect(database / "rpmdb.sqlite") as connection:
        return [blob for (blob,) in connection.execute("SELECT blob FROM Packages ORDER BY hnum")]


def hash_database(blobs: Iterable[bytes], directory: Path, page_size: int = 4096) -> Path:
    """The same in Berkeley DB's hash format, written by Berkeley DB."""
    require_tool("db5.3_load", "db5.3-util")
    directory.mkdir(parents=True, exist_ok=True)
    lines = ["VERSION=3", "format=bytevalue", "type=hash", f"db_pagesize={page_size}", "HEADER=END"]
    lines += [" 00000000", " 02000000"]  # key 0 counts the packages
    for number, blob in enumerate(blobs, 1):
        lines += [f" {number.to_bytes(4, 'little').hex()}", f" {blob.hex()}"]
    text = "\n".join([*lines, "DATA=END", ""])
    subprocess.run(["db5.3_load", directory / "Packages"], input=text, text=True, check=True)
    return directory / "Packages"


def ndb_database(blobs: Iterable[bytes]) -> bytes:
    """The same in rpm's ndb format (lib/backend/ndb/rpmpkg.c), with a free slot among the others."""
    slots, bodies, block = [struct.pack("<4sIII", b"Slot", 0, 0, 0)], [], 4096 // 16
    for number, blob in enumerate(blobs, 1):
        count = -(-(16 + len(blob) + 12) // 16)
        head = struct.pack("<4sIII", b"BlbS", number, 1, len(blob))
        tail = struct.pack("<II4s", zlib.adler32(head + blob), len(blob), b"BlbE")
        bodies.append((head + blob).ljust(16 * count - 12, b"\0") + tail)
        slots.append(struct.pack("<4sIII", b"Slot", number, block, count))
        block += count
    head = struct.pack("<4sIIII12x", b"RpmP", 0, 1, 1, len(slots))
    page = head + b"".join(slots)
    page += struct.pack("<4sIII", b"Slot", 0, 0, 0) * ((4096 - len(page)) // 16)
    return page + b"".join(bodies)


def _quietly(command: list[object]) -> None:
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
