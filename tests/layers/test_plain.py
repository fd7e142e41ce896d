"""Plain members are read by a loop of their own: it gives what reading each header with all care gives."""

from __future__ import annotations

import io
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagescan.errors import ImageScanError
from imagescan.layers import index as index_module
from imagescan.layers.body import ChunkBody, Rope
from imagescan.layers.plain import PlainMembers
from imagescan.layers.values import Interest
from tests.layers.tars import (
    KeepNothing,
    directory,
    file,
    hard_link,
    header,
    index,
    layer,
    padded,
    pax,
    symlink,
)

NAMES = (
    b"usr/", b"./", b"usr/lib", b"usr/lib/", b"./usr/lib/", b"/usr/x", b"usr//x", b"./usr/../etc/x",
    b"usr/lib/a.so", b"usr/lib/.wh.a.so", b"usr/lib/.wh..wh..opq", b"usr/lib/..", b"usr/lib/.hidden",
    b"usr/lib/wanted", b"etc/x", b"usr/lib/" + b"n" * 92, b"usr/lib/" + b"n" * 91,
    "usr/lib/\u00fc".encode(), b"usr/lib/\xff", b"top", b"", b".", b"usr/lib/x/y/z", b"var/db/a", b"var/db/",
)  # fmt: skip
CONTENTS = (
    b"",
    b"#",
    b"#!",
    b"#!/bin/sh\n",
    b"\x7fELF",
    b"plain",
    b"#!" + bytes(600),
    bytes(5000),
    b"MZ" * 700,
)


class KeepSome:
    """Keeps files that begin like scripts, are named so, or are in a directory."""

    NAME, VERSION = "some", 1
    INTEREST = Interest(frozenset((b"#!",)), frozenset((b"ed",)), (b"var/db",))

    def wants(self, path, size, head):
        assert len(head) == min(size, 512)
        return head[:2] == b"#!" or path.endswith("wanted") or path == "var/db/a"

    def parts(self, path, start):
        return None

    def inspect(self, path, body, store):
        return body.read(0, body.size)


class Pieces(io.RawIOBase):
    """A stream that ends its reads where it likes."""

    def __init__(self, data: bytes, seed: int) -> None:
        self._data = io.BytesIO(data)
        self._random = random.Random(seed)

    def read(self, size=-1):
        return self._data.read(self._random.choice((1, 100, 511, 512, 513, 700, 4096, 100_000)))


@st.composite
def members(draw):
    name = draw(st.sampled_from(NAMES))
    mode = draw(st.sampled_from((0o644, 0o4755, 0o777)))
    kind = draw(st.sampled_from("fffffdddslxp"))
    if kind == "f":
        return file(name, draw(st.sampled_from(CONTENTS)), mode=mode, uid=draw(st.integers(0, 3)))
    if kind == "d":
        return directory(name, mode)
    if kind == "s":
        return symlink(name, draw(st.sampled_from((b"lib", b"../x", b"/usr/lib", b"", b"t" * 100))))
    if kind == "l":
        return hard_link(name, draw(st.sampled_from(NAMES)))
    if kind == "x":
        return pax(("mtime", "1.5")) + file(name, b"#!x")
    return file(name, b"#!", prefix=b"usr/lib", magic=draw(st.sampled_from((b"ustar\x0000", b"ustar  \0"))))


def outcome(data: bytes, seed: int, *, plainly: bool):
    """Everything that an index says, or how it is refused."""
    with pytest.MonkeyPatch.context() as patch:
        if not plainly:
            patch.setattr(PlainMembers, "read", lambda self, chunk, position: (position, None))
        try:
            found = index_module.index_layer(Pieces(data, seed), None, KeepSome())
        except ImageScanError as error:
            return type(error), error.message
    return list(found.entries()), found.whiteouts(), sorted(found.directories.opaque), found.unread


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(parts=st.lists(members(), max_size=12), seed=st.integers(0, 1000))
def test_any_tar_reads_the_same_with_and_without_the_short_way(parts, seed):
    data = layer(directory(b"usr"), directory(b"usr/lib"), directory(b"var"), directory(b"var/db"), *parts)
    assert outcome(data, seed, plainly=True) == outcome(data, seed, plainly=False)


@settings(max_examples=400, deadline=None)
@given(
    place=st.integers(0, 511),
    byte=st.integers(0, 255),
    is_honest=st.booleans(),
    kind=st.sampled_from((b"0", b"5", b"2")),
)
def test_any_byte_of_a_header_changed_reads_the_same_with_and_without_the_short_way(
    place, byte, is_honest, kind
):
    block = bytearray(header(b"usr/lib/name", size=700 if kind == b"0" else 0, type=kind, link=b"target"))
    block[place] = byte
    if is_honest and not 148 <= place < 156:
        block[148:156] = b" " * 8
        block[148:156] = f"{sum(block):06o}\0 ".encode()
    content = padded(b"x" * 700) if kind == b"0" else b""
    data = layer(directory(b"usr"), directory(b"usr/lib"), bytes(block), content, file(b"usr/lib/last", b"y"))
    assert outcome(data, 1, plainly=True) == outcome(data, 1, plainly=False)


def test_the_short_way_takes_files_directories_and_symlinks_of_an_ordinary_tar(monkeypatch):
    """Else the tests above compare one way with itself."""
    parts = [directory(b"./a")]
    parts += [
        part for n in range(50) for part in (file(b"./a/f%d" % n, b"x" * n), symlink(b"./a/s%d" % n, b"t"))
    ]
    parts += [directory(b"./a/d%d/" % n) for n in range(50)]
    rows = []
    read = PlainMembers.read

    def count(self, chunk, position):
        before = len(self._builder.rows.kinds)
        found = read(self, chunk, position)
        rows.append(len(self._builder.rows.kinds) - before)
        return found

    monkeypatch.setattr(PlainMembers, "read", count)
    index(layer(*parts), inspector=KeepNothing())
    assert max(rows) == 150  # all but the first: there is no chunk before it


@given(
    before=st.integers(0, 5),
    size=st.integers(0, 40),
    offset=st.integers(-5, 50),
    length=st.integers(-5, 60),
)
def test_content_within_one_chunk_reads_as_content_in_pieces_does(before, size, offset, length):
    chunk = bytes(range(100))
    rope = Rope()
    for place in range(0, size, 7):
        rope.append(memoryview(chunk)[before + place : before + min(place + 7, size)])
    assert ChunkBody(chunk, before, size).read(offset, length) == rope.read(offset, length)


def test_an_inspectors_own_error_is_not_taken_for_a_header_that_is_no_plain_one():
    class Broken(KeepSome):
        def inspect(self, path, body, store):
            raise ValueError(path)

    data = layer(directory(b"usr"), file(b"usr/a", b"x"), file(b"usr/b", b"#!/bin/sh"))
    with pytest.raises(ValueError, match="usr/b"):
        index(data, inspector=Broken())
