"""Layers that lie: every one is an error with a place, never a short list."""

from __future__ import annotations

import io
import random
import tarfile

import pytest

from imagescan.errors import (
    CorruptLayer,
    DigestMismatch,
    LayerError,
    LimitExceeded,
    SizeMismatch,
    UnsupportedCompression,
)
from imagescan.layers import growing
from imagescan.layers import index as index_module
from imagescan.layers import pax as pax_module
from imagescan.layers.values import EntryKind
from imagescan.reference import Digest
from imagescan.sources.values import LayerDescriptor
from tests.layers.tars import (
    END,
    KeepNothing,
    descriptor,
    directory,
    file,
    hard_link,
    header,
    index,
    layer,
    paths,
    pax,
    record,
    sha256,
    symlink,
)

CORRUPT = {
    "climbs out": [file(b"../etc/passwd")],
    "climbs out after going down": [file(b"a/../../etc/passwd")],
    "climbs out as an absolute path": [file(b"/../x")],
    "hard link climbs out": [hard_link(b"x", b"../../etc/shadow")],
    "no name": [file(b"")],
    "NUL in a pax path": [pax(("path", b"a\0b")), file(b"a")],
    "root is a file": [file(b"./")],
    "root is a symlink": [symlink(b"/", b"usr")],
    "whiteout of nothing in the root": [file(b".wh.")],
    "whiteout of nothing in a directory": [file(b"a/.wh.")],
    "whiteout of the directory itself": [file(b"a/.wh..")],
    "whiteout of the parent": [file(b"a/.wh...")],
    "entry below a whiteout": [file(b".wh.a/b")],
    "entry below a file of the same layer": [file(b"a", b"x"), file(b"a/b")],
    "entry below a device": [header(b"null", type=b"3"), file(b"null/b")],
    "symlink parents in a circle": [symlink(b"a", b"b"), symlink(b"b", b"a"), file(b"a/x")],
    "symlink parent that points to itself": [symlink(b"a", b"a"), file(b"a/x")],
    "symlink parent that grows": [symlink(b"a", b"a/a"), file(b"a/x")],
    "symlink without target": [symlink(b"a", b"")],
    "hard link to itself": [hard_link(b"a", b"./a")],
    "hard link to a directory": [directory(b"a"), hard_link(b"b", b"a")],
    "hard link climbs out after going down": [directory(b"a"), file(b"x"), hard_link(b"b", b"x/../../x")],
    "unknown type": [header(b"a", type=b"Z")],
    "multi-volume continuation": [header(b"a", type=b"M")],
    "wrong checksum": [header(b"a", checksum=b"000001\0 ")],
    "checksum that is no number": [header(b"a", checksum=b"zzzzzz\0 ")],
    "size that is no number": [header(b"a", size=b"12x45678901\0")],
    "size with a sign": [header(b"a", size=b"-0000000001\0")],
    "size with an underscore": [header(b"a", size=b"0000_000001\0")],
    "size with an octal prefix": [header(b"a", size=b"0o0000000010"[:12])],
    "size with an eight": [header(b"a", size=b"00000000008\0")],
    "negative base-256 size": [header(b"a", size=b"\xff" * 12)],
    "size past the end": [header(b"a", size=5000)],
    "size of eight exabytes": [header(b"a", size=b"\x80" + (2**62).to_bytes(11, "big"))],
    "pax size past the end": [pax(("size", "5000")), file(b"a", b"x")],
    "negative pax size": [pax(("size", "-1")), file(b"a", b"x")],
    "pax size in hexadecimal": [pax(("size", "0x10")), file(b"a", b"x")],
    "pax record without length": [
        header(b"x", size=10, type=b"x") + b"path=abcd\n".ljust(512, b"\0"),
        file(b"a"),
    ],
    "pax record too long": [header(b"x", size=10, type=b"x") + b"99 path=a\n".ljust(512, b"\0"), file(b"a")],
    "pax record too short": [
        header(b"x", size=10, type=b"x") + b"5 path=a\n\n".ljust(512, b"\0"),
        file(b"a"),
    ],
    "pax record without equals": [
        header(b"x", size=9, type=b"x") + b"9 pathab\n".ljust(512, b"\0"),
        file(b"a"),
    ],
    "damaged global header": [header(b"x", size=9, type=b"g") + b"9 pathab\n".ljust(512, b"\0"), file(b"a")],
    "extended header with nothing behind it": [pax(("path", "a"))],
    "long name with nothing behind it": [header(b"L", size=2, type=b"L") + b"a\0".ljust(512, b"\0")],
    "extended headers without end": [pax(("path", "a")) * 20, file(b"a")],
    "zero block between members": [file(b"a"), bytes(512), file(b"b")],
    "data after the end": [file(b"a"), END, b"x"],
    "a second tar after the end": [file(b"a"), END, file(b"b")],
    "garbage before the first member": [b"garbage".ljust(512, b"!"), file(b"a")],
    "garbage between members": [file(b"a"), b"\1" * 512, file(b"b")],
    "sparse map that overlaps": [
        pax(("GNU.sparse.size", "100"), ("GNU.sparse.map", "0,10,5,10")),
        file(b"a", b"x" * 20),
    ],
    "sparse map past the end": [
        pax(("GNU.sparse.size", "10"), ("GNU.sparse.map", "0,20")),
        file(b"a", b"x" * 20),
    ],
    "sparse map that misses bytes": [
        pax(("GNU.sparse.size", "100"), ("GNU.sparse.map", "0,10")),
        file(b"a", b"x" * 20),
    ],
    "sparse map with half a segment": [
        pax(("GNU.sparse.size", "100"), ("GNU.sparse.map", "0,10,20")),
        file(b"a", b"x" * 10),
    ],
    "sparse file without size": [
        pax(
            ("GNU.sparse.map", "0,10"),
        ),
        file(b"a", b"x" * 10),
    ],
    "sparse file of an unknown version": [
        pax(("GNU.sparse.major", "2"), ("GNU.sparse.minor", "0")),
        file(b"a", b"x" * 10),
    ],
    "sparse map that never ends": [
        pax(("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", "9")),
        file(b"a", b"1" * 2048),
    ],
}


@pytest.mark.parametrize("name", CORRUPT)
def test_a_lying_tar_is_refused(name):
    with pytest.raises(CorruptLayer):
        index(layer(*CORRUPT[name]))


def test_the_error_names_the_layer():
    blob = layer(file(b"../x"))
    with pytest.raises(CorruptLayer) as caught:
        index(blob, descriptor(blob, number=3))
    assert caught.value.where.startswith("layer 3 (sha256:")
    assert "\n" not in str(caught.value)


def real_tar() -> bytes:
    """What Python's tarfile makes of a small tree, extended headers included."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as writer:
        for name, size in (("a", 10), ("b/c", 700), ("d" * 120, 513), ("e", 0), ("é/ü", 1024)):
            info = tarfile.TarInfo(name)
            info.size = size
            writer.addfile(info, io.BytesIO(b"z" * size))
    return stream.getvalue()


def test_a_tar_cut_anywhere_is_refused_or_ends_on_a_member():
    """Only where a member ends may bytes end without an end marker; then all before is listed."""
    data = real_tar()
    boundaries = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as reader:
        members = reader.getmembers()
        for count, info in enumerate(members, 1):
            boundaries[info.offset_data + -(-info.size // 512) * 512] = count
    end = max(boundaries)
    cuts = sorted({*range(0, len(data), 512), *range(1, len(data), 97)})
    accepted = set()
    for cut in cuts:
        try:
            found = index(data[:cut], inspector=KeepNothing())
        except CorruptLayer:
            continue
        accepted.add(cut)
        files = [entry for entry in found.entries() if entry.kind is EntryKind.FILE]
        assert len(files) == max((count for at, count in boundaries.items() if at <= cut), default=0)
    assert accepted == {cut for cut in cuts if cut == 0 or cut in boundaries or cut >= end + 512}


def test_a_flipped_bit_in_a_header_is_noticed():
    data = layer(file(b"usr/bin/true", b"x" * 600), symlink(b"usr/bin/false", b"true"))
    rng = random.Random(1)
    for start in (0, 512 + 1024):
        for _ in range(400):
            position, bit = start + rng.randrange(512), rng.randrange(8)
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            if 148 <= position - start < 156:
                continue  # padding of the checksum field is no part of the number
            with pytest.raises(CorruptLayer):
                index(bytes(damaged))


def test_random_damage_never_raises_anything_but_a_layer_error():
    data = real_tar()
    rng = random.Random(2)
    for _ in range(600):
        damaged = bytearray(data)
        for _ in range(rng.randrange(1, 6)):
            start = rng.randrange(len(data) // 512) * 512
            field = rng.choice(
                [(0, 100), (100, 124), (124, 136), (156, 157), (157, 257), (257, 265), (345, 512)]
            )
            for position in range(*field):
                if rng.random() < 0.3:
                    damaged[start + position] = rng.choice(b"\0\xff/.0 7x")
            block = damaged[start : start + 512]
            block[148:156] = b" " * 8
            damaged[start + 148 : start + 156] = f"{sum(block):06o}\0 ".encode()
        try:
            index(bytes(damaged))
        except LayerError as error:
            assert error.message


def test_a_blob_with_another_digest_is_refused():
    blob = layer(file(b"a"))
    with pytest.raises(DigestMismatch, match="blob"):
        index(blob, LayerDescriptor(0, Digest("sha256", "0" * 64), len(blob), "", None))


@pytest.mark.parametrize("pipelined", [False, True])
@pytest.mark.parametrize("length", [600, 9_000_000])
def test_a_damaged_blob_is_a_digest_error_before_it_is_a_damaged_tar(length, pipelined):
    blob = layer(file(b"a", b"x" * 600), file(b"b", b"y" * length))
    damaged = bytearray(blob)
    damaged[1536] ^= 1
    with pytest.raises(DigestMismatch):
        index(bytes(damaged), descriptor(blob), pipelined=pipelined)


def test_another_diff_id_is_refused():
    blob = layer(file(b"a"))
    with pytest.raises(DigestMismatch, match="uncompressed"):
        index(blob, LayerDescriptor(0, None, None, "", Digest("sha256", "0" * 64)))


@pytest.mark.parametrize("difference", [-512, -1, 1, 512])
def test_a_blob_of_another_size_is_refused(difference):
    blob = layer(file(b"a"))
    with pytest.raises(SizeMismatch):
        index(blob, LayerDescriptor(0, sha256(blob), len(blob) + difference, "", None))


def test_more_bytes_than_promised_are_not_read_to_their_end():
    class Endless(io.RawIOBase):
        def __init__(self):
            self.given = 0

        def read(self, size=-1):
            self.given += size
            return bytes(size)

    stream = Endless()
    with pytest.raises(SizeMismatch):
        index_module.index_layer(stream, LayerDescriptor(0, None, 1000, "", None), KeepNothing())
    assert stream.given <= 1024 * 1024


def test_an_encrypted_layer_is_unsupported():
    blob = b"\x17" * 2048
    with pytest.raises(UnsupportedCompression, match="encrypted"):
        index(blob, descriptor(blob, media_type="application/vnd.oci.image.layer.v1.tar+gzip+encrypted"))


@pytest.mark.parametrize("magic", [b"BZh91AY", b"\xfd7zXZ\x00"])
def test_other_compressions_are_unsupported(magic):
    with pytest.raises(UnsupportedCompression):
        index(magic + bytes(2000))


def test_a_compressed_media_type_with_text_in_the_blob_is_corrupt():
    blob = b"<html>not found</html>"
    with pytest.raises(CorruptLayer, match="neither"):
        index(blob, descriptor(blob, media_type="application/vnd.oci.image.layer.v1.tar+gzip"))


class TestLimits:
    def test_extended_header(self):
        data = record(b"comment", b"x" * pax_module.MAXIMUM_EXTENDED_HEADER_BYTES)
        with pytest.raises(LimitExceeded, match="extended"):
            index(
                layer(header(b"x", size=len(data), type=b"x"), data.ljust(-(-len(data) // 512) * 512, b"\0"))
            )

    def test_extended_header_size_is_not_allocated(self):
        with pytest.raises(LimitExceeded):
            index(layer(header(b"x", size=8**11 - 1, type=b"L")))

    def test_path(self):
        with pytest.raises(LimitExceeded, match="path"):
            index(layer(pax(("path", "a/" * 2048)), file(b"a")))

    def test_symlink_target(self):
        with pytest.raises(LimitExceeded, match="target"):
            index(layer(pax(("linkpath", "a/" * 2048)), symlink(b"a", b"b")))

    def test_capability(self):
        with pytest.raises(LimitExceeded, match="capability"):
            index(layer(pax(("SCHILY.xattr.security.capability", "x" * 65)), file(b"a")))

    def test_entries(self, monkeypatch):
        monkeypatch.setattr(growing, "MAXIMUM_ENTRIES", 10)
        with pytest.raises(LimitExceeded, match="entries"):
            index(layer(*(file(b"%d" % number) for number in range(20))))

    def test_entries_count_parents_that_no_entry_names(self, monkeypatch):
        monkeypatch.setattr(growing, "MAXIMUM_ENTRIES", 10)
        with pytest.raises(LimitExceeded, match="entries"):
            index(layer(file(b"a/" * 20 + b"b")))

    def test_names(self, monkeypatch):
        monkeypatch.setattr(growing, "MAXIMUM_NAME_BYTES", 1000)
        with pytest.raises(LimitExceeded, match="names"):
            index(layer(*(file(b"%090d" % number) for number in range(20))))

    def test_names_count_deep_parents(self, monkeypatch):
        monkeypatch.setattr(growing, "MAXIMUM_NAME_BYTES", 1000)
        with pytest.raises(LimitExceeded, match="names"):
            index(layer(file(b"a/" * 48 + b"b")))

    def test_whiteouts(self, monkeypatch):
        monkeypatch.setattr(growing, "MAXIMUM_NAME_BYTES", 1000)
        with pytest.raises(LimitExceeded, match="names"):
            index(layer(*(file(b".wh.%090d" % number) for number in range(20))))

    def test_uncompressed_bytes(self, monkeypatch):
        monkeypatch.setattr(index_module, "MAXIMUM_LAYER_BYTES", 100_000)
        with pytest.raises(LimitExceeded, match="inflates"):
            index(layer(file(b"a", bytes(200_000))))

    def test_uncompressed_bytes_within_a_file_that_is_looked_at(self, monkeypatch):
        monkeypatch.setattr(index_module, "MAXIMUM_LAYER_BYTES", 600_000)
        with pytest.raises(LimitExceeded, match="inflates"):
            index(layer(file(b"a", bytes(2_000_000))), pipelined=True)

    def test_sparse_segments(self, monkeypatch):
        monkeypatch.setattr(pax_module, "MAXIMUM_SPARSE_SEGMENTS", 3)
        with pytest.raises(LimitExceeded, match="segments"):
            index(
                layer(
                    pax(("GNU.sparse.size", "100"), ("GNU.sparse.map", "0,1,2,1,4,1,6,1")),
                    file(b"a", b"xxxx"),
                )
            )

    def test_unread_files(self, monkeypatch):
        class Refuse(KeepNothing):
            def wants(self, path, size, head):
                return True

            def inspect(self, path, body, store):
                raise LimitExceeded("no")

        monkeypatch.setattr(index_module, "MAXIMUM_UNREAD_FILES", 3)
        with pytest.raises(LimitExceeded, match="cannot be read"):
            index(layer(*(file(b"%d" % number) for number in range(20))), inspector=Refuse())


def test_deep_paths_and_many_replacements_take_no_more_than_linear_time():
    """A directory that turns into a file and back, with a tree below it, thousands of times."""
    turn = file(b"a/b/c/d/e") + file(b"a")
    with pytest.raises(CorruptLayer):
        index(layer(turn, file(b"a/x")))
    again = directory(b"a") + file(b"a/b/c/d/e") + file(b"a")
    assert paths(index(layer(again * 3000))) == ["a"]


@pytest.mark.parametrize("chunk", [512, 1024, 1536])
def test_data_behind_an_end_that_falls_on_the_end_of_a_chunk(chunk):
    """The rest of the layer is read and checked however the bytes were cut into chunks."""

    class Cut(io.RawIOBase):
        def __init__(self, data):
            self._data = io.BytesIO(data)

        def read(self, size=-1):
            return self._data.read(chunk)

    with pytest.raises(CorruptLayer, match="follows"):
        index_module.index_layer(Cut(layer(file(b"a")) + bytes(4096) + b"x" * 512), None, KeepNothing())
