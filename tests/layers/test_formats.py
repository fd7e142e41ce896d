"""Tar dialects: the same facts from ustar, pax, GNU, v7 and star headers, and holes in files."""

from __future__ import annotations

import os
import subprocess
import tracemalloc

import pytest

from imagescan.errors import MalformedBinary
from imagescan.layers import body as body_module
from imagescan.layers import tar as tar_module
from imagescan.layers.body import NotKept, Rope, SparseBody
from imagescan.layers.values import EntryKind, UnreadFile
from tests.layers.tars import (
    KeepEverything,
    directory,
    file,
    hard_link,
    header,
    index,
    layer,
    octal,
    padded,
    paths,
    pax,
    symlink,
)
from tests.requirements import require_tool


def only(*parts):
    found = index(layer(*parts))
    (path,) = [path for path in paths(found) if found.entry(path).kind is not EntryKind.DIRECTORY]
    return found.entry(path)


def test_kinds():
    found = index(
        layer(
            file(b"file"),
            header(b"old", type=b"\0"),
            header(b"old directory/", type=b"\0"),
            header(b"contiguous", type=b"7"),
            symlink(b"symlink", b"file"),
            header(b"character", type=b"3"),
            header(b"block", type=b"4"),
            directory(b"directory/"),
            header(b"fifo", type=b"6"),
        )
    )
    assert {entry.path: entry.kind for entry in found.entries() if entry.path} == {
        "file": EntryKind.FILE,
        "old": EntryKind.FILE,
        "old directory": EntryKind.DIRECTORY,
        "contiguous": EntryKind.FILE,
        "symlink": EntryKind.SYMLINK,
        "character": EntryKind.CHARACTER_DEVICE,
        "block": EntryKind.BLOCK_DEVICE,
        "directory": EntryKind.DIRECTORY,
        "fifo": EntryKind.FIFO,
    }
    assert found.entry("symlink").target == "file"
    assert found.entry("symlink").size == 4


def test_mode_and_owner():
    entry = only(file(b"a", mode=0o4755, uid=1000, gid=2000))
    assert (entry.mode, entry.uid, entry.gid) == (0o4755, 1000, 2000)


def test_the_type_bits_of_a_mode_are_dropped():
    assert only(file(b"a", mode=0o100755)).mode == 0o755


def test_pax_overrides_name_size_owner_and_capability():
    records = ("path", "ü" * 80), ("size", "3"), ("uid", "3000000000"), ("gid", "7"), ("mtime", "-1.5")
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    entry = only(
        pax(*records, ("SCHILY.xattr.security.capability", capability)), header(b"", size=9), padded(b"abc")
    )
    assert (entry.path, entry.size, entry.content) == ("ü" * 80, 3, b"abc")
    assert (entry.uid, entry.gid, entry.capability) == (3_000_000_000, 7, capability)


def test_an_empty_pax_value_takes_the_record_back():
    assert only(pax(("path", "x"), ("path", "")), file(b"a")).path == "a"


def test_pax_link_path():
    assert only(pax(("linkpath", "t" * 300)), symlink(b"a", b"x")).target == "t" * 300


def test_a_name_of_only_nuls_under_a_pax_path_is_no_end():
    """Go writes an empty ustar name when no character of the path is ASCII."""
    assert only(pax(("path", "éé")), file(b"", b"x")).content == b"x"


def test_global_headers_are_ignored_as_container_runtimes_do():
    found = index(
        layer(pax(("comment", "abc"), ("uid", "5"), ("path", "p"), type=b"g"), file(b"a"), file(b"b"))
    )
    assert paths(found) == ["a", "b"]
    assert found.entry("a").uid == 0


def test_gnu_long_name_and_link():
    name, target = b"n" * 300, b"t" * 300
    entry = only(
        header(b"././@LongLink", size=301, type=b"L"),
        padded(name + b"\0"),
        header(b"././@LongLink", size=301, type=b"K"),
        padded(target + b"\0"),
        symlink(b"n", b"t"),
    )
    assert (entry.path, entry.target) == ("n" * 300, "t" * 300)


def test_prefix_only_counts_with_the_posix_magic():
    assert only(file(b"b", prefix=b"a")).path == "a/b"
    assert only(file(b"b", prefix=b"a", magic=b"ustar  \0")).path == "b"


def test_base_256_numbers():
    entry = only(header(b"a", size=b"\x80" + (5).to_bytes(11, "big")), padded(b"hello"))
    assert entry.content == b"hello"


@pytest.mark.parametrize("field", [b"5", b"     5 ", b"5\0", b"0005 ", b"00000000005 ", b"000000000005"])
def test_numbers_as_old_writers_end_them(field):
    assert only(header(b"a", size=field), padded(b"hello")).size == 5


def test_a_checksum_of_signed_characters():
    block = bytearray(header("ü".encode()))
    block[148:156] = b" " * 8
    signed = sum(byte - 256 if byte > 127 else byte for byte in block)
    assert only(header("ü".encode(), checksum=b"%06o\0 " % signed)).path == "ü"


def test_a_name_that_is_not_utf_8_is_kept():
    entry = only(file(b"a\xff"))
    assert entry.path.encode("utf-8", "surrogateescape") == b"a\xff"


def test_the_size_of_a_link_is_not_followed_by_content():
    found = index(layer(file(b"a", b"xyz"), hard_link(b"b", b"a", size=5000), symlink(b"c", b"a")))
    assert paths(found) == ["a", "b", "c"]
    assert found.entry("b").content == b"xyz"


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (b"./a", "a"), (b"/a", "a"), (b"a//b", "a/b"), (b"a/./b", "a/b"), (b"a/../b", "b"), (b".a", ".a"),
        (b"a/.b", "a/.b"), (b"..a", "..a"), (b"...", "..."), (b".//a", "a"), (b"a/b/..", "a"),
    ],
)  # fmt: skip
def test_names_are_cleaned(name, path):
    assert only(file(name)).path == path


@pytest.mark.parametrize("name", [b".", b"./", b"/", b"a/.."])
def test_names_of_the_root(name):
    found = index(layer(directory(name, mode=0o700)))
    assert found.entry("").mode == 0o700
    assert not found.entry("").implicit
    assert len(found) == 1


HOLES = ((512, 100), (2048, 50))
STORED = b"x" * 100 + b"y" * 50
EXPANDED = bytes(512) + b"x" * 100 + bytes(1436) + b"y" * 50 + bytes(902)


def sparse_forms():
    size = ("GNU.sparse.size", "3000")
    pairs = [(key, str(value)) for offset, length in HOLES for key, value in
             (("GNU.sparse.offset", offset), ("GNU.sparse.numbytes", length))]  # fmt: skip
    yield "0.0", [pax(size, ("GNU.sparse.numblocks", "2"), *pairs), file(b"a", STORED)]
    yield (
        "0.1",
        [pax(size, ("GNU.sparse.map", "512,100,2048,50"), ("GNU.sparse.name", "a")), file(b"b", STORED)],
    )
    text = padded(b"2\n512\n100\n2048\n50\n")
    head = ("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", "3000")
    yield "1.0", [pax(*head, ("GNU.sparse.name", "a")), file(b"b", text + STORED)]
    old = bytearray(header(b"a", size=150, type=b"S", magic=b"ustar  \0"))
    old[386:434] = b"".join(octal(value, 12) for segment in HOLES for value in segment)
    old[483:495] = octal(3000, 12)
    old[148:156] = b" " * 8
    old[148:156] = b"%06o\0 " % sum(old)
    yield "old", [bytes(old), padded(STORED)]


@pytest.mark.parametrize(("form", "parts"), list(sparse_forms()))
def test_holes_are_zeros(form, parts):
    entry = index(layer(*parts, directory(b"d"))).entry("a")
    assert entry.size == 3000
    assert entry.content == EXPANDED


def test_a_sparse_file_of_a_terabyte_takes_no_memory():
    class Peek(KeepEverything):
        def inspect(self, path, body, store):
            return body.size, body.read(2**40 - 20, 100)

    parts = pax(("GNU.sparse.size", str(2**40)), ("GNU.sparse.map", f"{2**40 - 4},4")), file(b"a", b"tail")
    assert index(layer(*parts), inspector=Peek()).entry("a").content == (2**40, bytes(16) + b"tail")


def test_a_read_of_a_terabyte_is_recorded_not_done():
    parts = (
        pax(("GNU.sparse.size", str(2**40)), ("GNU.sparse.map", "0,4")),
        file(b"a", b"tail"),
        file(b"b", b"x"),
    )
    found = index(layer(*parts))
    assert [file.path for file in found.unread] == ["a"]
    assert found.entry("b").content == b"x"


@pytest.mark.parametrize("version", ["0.0", "0.1", "1.0", "gnu"])
@pytest.mark.oracle
def test_what_gnu_tar_writes_of_a_file_with_holes(version, tmp_path):
    require_tool("tar")
    with open(tmp_path / "f", "wb") as sparse:
        for number in range(60):
            sparse.seek(number * 100_000)
            sparse.write(b"%d" % number * 3000)
        sparse.truncate(7_000_000)
    form = ["--format=gnu"] if version == "gnu" else ["--format=pax", f"--sparse-version={version}"]
    command = ["tar", "-C", str(tmp_path), "--sparse", *form, "-cf", "-", "f"]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    assert len(data) < 2_000_000
    assert index(data).entry("f").content == (tmp_path / "f").read_bytes()


class TestBodies:
    def test_a_file_over_many_chunks_reads_as_one(self):
        content = os.urandom(3_000_000)
        found = index(layer(file(b"a", content), file(b"b", b"after")))
        assert found.entry("a").content == content
        assert found.entry("b").content == b"after"

    def test_ranges(self, monkeypatch):
        monkeypatch.setattr(body_module, "MEMORY_BYTES", 150)
        content = bytes(range(250)) * 2
        rope = Rope()
        for at in range(0, 500, 37):
            rope.append(memoryview(content)[at : at + 37])
        assert rope.size == 500
        for offset in range(0, 510, 7):
            for length in (0, 1, 36, 37, 38, 200, 1000):
                assert rope.read(offset, length) == content[offset : offset + length]
        assert rope.read(-1, 5) == b""

    def test_ranges_of_a_file_with_holes(self):
        rope = Rope()
        for at in range(0, 150, 40):
            rope.append(memoryview(STORED)[at : at + 40])
        sparse = SparseBody(rope, HOLES, 3000)
        for offset in range(0, 3100, 83):
            for length in (1, 99, 700, 4000):
                assert sparse.read(offset, length) == EXPANDED[offset : offset + length]

    def test_a_large_file_waits_in_a_file_and_not_in_memory(self):
        content = os.urandom(1_000_000) * 40
        data = layer(file(b"a", content))
        tracemalloc.start()
        found = index(data, inspector=Size())
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert found.entry("a").content == (len(content), content[30_000_000:30_000_010])
        assert peak < body_module.MEMORY_BYTES + 5_000_000

    def test_of_a_large_file_only_the_ranges_that_the_inspector_names_are_kept(self, monkeypatch):
        monkeypatch.setattr(tar_module, "LARGE_FILE_BYTES", 1_000_000)
        monkeypatch.setattr(body_module, "MAXIMUM_HELD_BYTES", 1_500_000)
        content = os.urandom(8_000_000)
        found = index(layer(file(b"a", content), file(b"b", b"x")), inspector=Parts()).entry("a").content
        assert found[0] == content[:100] + content[3_000_000:3_200_000] + content[7_999_990:]
        assert "not where they are looked for" in found[1]

    @pytest.mark.parametrize("size", (10, 1_000_000))
    def test_of_a_small_file_everything_is_kept(self, size):
        content = os.urandom(size)
        assert index(layer(file(b"a", content)), inspector=Whole()).entry("a").content == content

    def test_a_file_that_holds_too_much_is_recorded_and_the_layer_goes_on(self, monkeypatch):
        monkeypatch.setattr(body_module, "MAXIMUM_HELD_BYTES", 1_000_000)
        found = index(layer(file(b"a", bytes(2_000_000)), file(b"b", b"x")))
        assert [file.path for file in found.unread] == ["a"]
        assert "holds more" in found.unread[0].reason
        assert found.entry("b").content == b"x"
        assert found.entry("a").size == 2_000_000

    def test_what_the_inspector_cannot_read_is_recorded(self):
        class Refuse(KeepEverything):
            def inspect(self, path, body, store):
                raise MalformedBinary("damaged")

        found = index(layer(file(b"a", b"old"), file(b"b"), file(b"a", b"new")), inspector=Refuse())
        assert found.unread == (UnreadFile("b", "damaged"), UnreadFile("a", "damaged"))


class Size(KeepEverything):
    def inspect(self, path, body, store):
        return body.size, body.read(30_000_000, 10)


class Parts(KeepEverything):
    """Names two ranges of a large file, and tries to read beside them."""

    def parts(self, path, start):
        assert start.size >= 65_536
        return range(3_000_000, 3_200_000), range(7_999_990, 9_000_000)

    def inspect(self, path, body, store):
        if body.size < 1_000_000:
            return None
        with pytest.raises(NotKept) as beyond:
            body.read(3_199_999, 2)
        with pytest.raises(NotKept):
            body.read(2_999_999, 2)
        kept = body.read(0, 100) + body.read(3_000_000, 200_000) + body.read(7_999_990, 100)
        return kept, str(beyond.value)


class Whole(KeepEverything):
    def parts(self, path, start):
        return ()
