"""Compressed layers: what gzip, zstd and libraries write is read; what is damaged is refused."""

from __future__ import annotations

import gzip
import io
import struct
import subprocess
import sys
import zlib

import pytest

from imagescan.errors import CorruptLayer, LimitExceeded
from imagescan.layers import compression
from imagescan.layers import index as index_module
from tests.layers.tars import KeepNothing, descriptor, file, index, layer, paths, sha256
from tests.requirements import require_tool

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

TAR = layer(*(file(b"f%d" % number, bytes(range(256)) * number) for number in range(40)))
HALF = len(TAR) // 1024 * 512
SKIPPABLE = struct.pack("<II", 0x184D2A53, 5) + b"hello"

FORMS = {
    "plain": TAR,
    "gzip": gzip.compress(TAR),
    "gzip with a name": None,
    "gzip in two members": gzip.compress(TAR[:HALF]) + gzip.compress(TAR[HALF:]),
    "gzip with an empty member at the end": gzip.compress(TAR) + gzip.compress(b""),
    "gzip with an empty member at the start": gzip.compress(b"") + gzip.compress(TAR),
    "gzip in a thousand members": b"".join(
        gzip.compress(TAR[at : at + 150], 1) for at in range(0, len(TAR), 150)
    ),
    "gzip with zeros behind it": gzip.compress(TAR) + bytes(300_000),
    "zstd": zstd.compress(TAR),
    "zstd in two frames": zstd.compress(TAR[:HALF]) + zstd.compress(TAR[HALF:]),
    "zstd in a thousand frames": b"".join(
        zstd.compress(TAR[at : at + 150]) for at in range(0, len(TAR), 150)
    ),
    "zstd behind a skippable frame": SKIPPABLE + zstd.compress(TAR),
    "zstd with skippable frames between and behind": SKIPPABLE.join(
        [zstd.compress(TAR[:HALF]), zstd.compress(TAR[HALF:]), b""]
    ),
}
_named = io.BytesIO()
with gzip.GzipFile("layer.tar", "wb", fileobj=_named) as _writer:
    _writer.write(TAR)
FORMS["gzip with a name"] = _named.getvalue()


class OneByteAtATime(io.RawIOBase):
    def __init__(self, data: bytes, step: int) -> None:
        self._data = io.BytesIO(data)
        self._step = step

    def read(self, size: int = -1) -> bytes:
        return self._data.read(self._step)


@pytest.fixture(params=["isal", "zlib"])
def decoder(request, monkeypatch):
    if request.param == "zlib":
        monkeypatch.setattr(compression, "_gzip_decoder", lambda: (compression._ZlibDecoder, zlib.error))
    return request.param


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_index(form, decoder):
    blob = FORMS[form]
    found = index(blob, descriptor(blob, TAR))
    assert paths(found) == sorted(f"f{number}" for number in range(40))
    assert found.entry("f7").content == bytes(range(256)) * 7
    assert found.diff_id == sha256(TAR)
    assert found.blob_digest == sha256(blob)
    assert (found.compressed_size, found.uncompressed_size) == (len(blob), len(TAR))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("step", [1, 7, 513])
def test_chunks_of_the_network_do_not_matter(form, step, decoder):
    blob = FORMS[form]
    stream = OneByteAtATime(blob, step)
    found = index_module.index_layer(stream, descriptor(blob, TAR), KeepNothing(), pipelined=step == 513)
    assert len(found) == 41


@pytest.mark.parametrize("form", ["gzip", "gzip in two members", "zstd", "zstd in two frames"])
def test_a_cut_blob_is_corrupt(form, decoder):
    blob = FORMS[form]
    for cut in [*range(1, 40), len(blob) // 2, *range(len(blob) - 12, len(blob))]:
        if form == "zstd in two frames" and cut == len(zstd.compress(TAR[:HALF])):
            continue
        with pytest.raises(CorruptLayer):
            index(blob[:cut])


@pytest.mark.parametrize("form", ["gzip", "zstd"])
@pytest.mark.parametrize("garbage", [b"x", b"garbage" * 100_000, b"\x1f\x8bx", b"\0\0x", b"\x1f"])
def test_garbage_behind_the_data_is_corrupt(form, garbage, decoder):
    with pytest.raises(CorruptLayer):
        index(FORMS[form] + garbage)


def test_zeros_behind_gzip_must_be_zeros_to_the_end(decoder):
    with pytest.raises(CorruptLayer, match="garbage"):
        index(gzip.compress(TAR) + bytes(600_000) + b"x")


def test_a_wrong_gzip_checksum_is_corrupt(decoder):
    for at in (-8, -1):
        blob = bytearray(FORMS["gzip"])
        blob[at] ^= 1
        with pytest.raises(CorruptLayer, match="gzip"):
            index(bytes(blob))


def test_a_wrong_zstd_checksum_is_corrupt():
    blob = bytearray(zstd.compress(TAR, options={zstd.CompressionParameter.checksum_flag: 1}))
    blob[-1] ^= 1
    with pytest.raises(CorruptLayer, match="zstd"):
        index(bytes(blob))


def test_a_zstd_window_larger_than_the_limit_is_corrupt():
    """A frame header that asks for 2 GiB of memory (window descriptor, RFC 8878 3.1.1.1.2)."""
    with pytest.raises(CorruptLayer, match="zstd"):
        index(b"\x28\xb5\x2f\xfd" + b"\x00" + bytes((21 << 3,)) + b"\x01\x00\x00" + bytes(600))


@pytest.mark.parametrize("compress", [gzip.compress, zstd.compress])
def test_a_bomb_ends_at_the_limit(compress, monkeypatch):
    monkeypatch.setattr(index_module, "MAXIMUM_LAYER_BYTES", 1024 * 1024)
    blob = compress(bytes(64 * 1024 * 1024))
    assert len(blob) < 100_000
    with pytest.raises(LimitExceeded):
        index(blob)


def test_zstd_under_the_media_type_of_gzip_is_read():
    blob = FORMS["zstd"]
    kind = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    assert len(index(blob, descriptor(blob, TAR, kind))) == 41


def test_the_empty_blob_is_the_empty_layer():
    assert paths(index(b"")) == []


@pytest.mark.parametrize(
    "command",
    [
        ["gzip", "-1"],
        ["gzip", "-9"],
        ["zstd", "-1"],
        ["zstd", "-19", "--check"],
        ["zstd", "-T2", "--long=27"],
    ],
    ids=" ".join,
)
@pytest.mark.oracle
def test_what_the_tools_write_is_read(command):
    require_tool(command[0])
    data = layer(*(file(b"%d" % number, bytes(range(number, 256)) * 300) for number in range(60)))
    blob = subprocess.run([*command, "-c"], input=data, capture_output=True, check=True).stdout
    assert index(blob).diff_id == sha256(data)
