"""What is found in archives of every shape that real tools write."""

from __future__ import annotations

import io
import random
import zipfile

import pytest

from imagescan.archives import directory
from tests.archives.zips import LIBRARY, paths, read, zipped
from tests.elf.compile import Body

NATIVE = "org/x/linux/x86_64/libx.so"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_library_is_read_as_if_it_were_extracted(method: int) -> None:
    found = read(zipped({NATIVE: LIBRARY, "a/B.class": b"\xca\xfe\xba\xbe"}, method))
    assert found is not None
    (binary,) = found.binaries
    assert (binary.path, binary.size) == (NATIVE, len(LIBRARY))
    assert binary.elf is not None
    assert (binary.elf.soname, binary.elf.needed) == ("libx.so.1", ("libc.so.6",))


def test_an_archive_without_native_code_leaves_nothing() -> None:
    assert read(zipped({f"a/B{number}.class": b"x" for number in range(500)})) is None


@pytest.mark.parametrize(
    "name",
    [
        *("libx.so", "libx.so.1", "libx.so.1.2.3", "x.node", "LIBX.SO", "bin/linux-x64/esbuild"),
        *("META-INF/native/libnetty_tcnative_linux_x86_64.so", "protoc-3.25-linux-x86_64.exe"),
    ],
)
def test_names_that_promise_native_code_are_looked_into(name: str) -> None:
    assert paths(zipped({name: LIBRARY})) == [name]


@pytest.mark.parametrize("name", ["a/B.class", "linux/x86_64/Note.txt", "LICENSE", "libx.so/", "libx.so.md"])
def test_other_names_are_not(name: str) -> None:
    assert paths(zipped({name: LIBRARY})) == []


def test_what_is_named_so_and_is_no_elf_file_is_passed_over() -> None:
    assert paths(zipped({"x/libx.so": b"MZ" + bytes(900), "x.so": b"", "linux/x64/notes": b"text"})) == []


def test_code_of_other_systems_is_listed_without_being_read() -> None:
    names = ["x.dll", "osx/x.dylib", "SunOS/x86/libx.so", "Linux/android-arm/libx.so"]
    found = read(zipped(dict.fromkeys(names, b"not looked at")))
    assert found is not None
    assert [(one.path, one.elf) for one in found.binaries] == [(name, None) for name in names]


def test_archives_in_archives_are_read_stored_and_deflated() -> None:
    inner = zipped({NATIVE: LIBRARY})
    boot = zipped({"BOOT-INF/lib/x.jar": inner}, zipfile.ZIP_STORED)
    war = zipped({"WEB-INF/lib/x.jar": inner, "web.war.txt": b""})
    ear = zipped({"shop.war": war, "boot.jar": boot})
    assert paths(ear) == [
        f"shop.war!/WEB-INF/lib/x.jar!/{NATIVE}",
        f"boot.jar!/BOOT-INF/lib/x.jar!/{NATIVE}",
    ]


def test_a_comment_and_a_script_in_front_do_not_hide_the_directory() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(NATIVE, LIBRARY)
        archive.comment = b"PK\5\6 in a comment"
    assert paths(b"#!/bin/sh\nexit\n" + stream.getvalue()) == [NATIVE]


def test_data_descriptors_and_zip64_fields_are_understood() -> None:
    class Pipe(io.RawIOBase):
        """A stream that cannot go back, so that sizes come behind the data."""

        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.data += bytes(data)  # type: ignore[call-overload]
            return len(data)  # type: ignore[arg-type]

    pipe = Pipe()
    with (
        zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(NATIVE, "w", force_zip64=True) as member,
    ):
        member.write(LIBRARY)
    assert paths(bytes(pipe.data)) == [NATIVE]


def test_a_zip64_end_record_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    data = zipped({"a": b"", "b": b"", NATIVE: LIBRARY})
    assert b"PK\6\6" in data
    assert paths(data) == [NATIVE]


def test_members_are_those_that_the_standard_library_finds() -> None:
    generator = random.Random(7)
    for _ in range(200):
        names = [f"{'d/' * generator.randrange(4)}n{number}.so" for number in range(generator.randrange(30))]
        data = zipped({name: generator.randbytes(generator.randrange(60)) for name in names})
        data = generator.randbytes(generator.randrange(50)) + data
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            expected = [
                (one.filename, one.file_size, one.compress_size, one.header_offset)
                for one in archive.infolist()
            ]
        body = Body(data)
        found = directory.read_directory(body)
        members = list(found.members(lambda _: True))
        assert [(one.name.decode(), one.size, one.compressed, one.offset) for one in members] == expected
        for one in members:
            start = directory.content_start(body, found, one)
            assert data[start - len(one.name) : start] == one.name
