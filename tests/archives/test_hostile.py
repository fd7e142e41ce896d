"""Archives that lie, and archives that are made to exhaust who reads them: each limit, each lie."""

from __future__ import annotations

import random
import time
import zipfile
import zlib

import pytest

from imagescan.archives import directory, reader
from tests.archives.zips import LIBRARY, central, changed, paths, read, unread, zipped

NAME = "libx.so"
GOOD = zipped({NAME: LIBRARY})


@pytest.mark.parametrize("length", [4, 30, 100, len(GOOD) - 1, len(GOOD) - 22])
def test_a_cut_archive_is_told(length: int) -> None:
    assert "no directory" in unread(GOOD[:length])


def test_every_cut_and_every_changed_byte_is_survived() -> None:
    generator = random.Random(1)
    for position in range(0, len(GOOD), 3):
        read(GOOD[:position])
        read(changed(GOOD, position, "B", generator.randrange(256)))
    for _ in range(300):
        data = bytearray(zipped({NAME: LIBRARY, "a.jar": GOOD}))
        for _ in range(6):
            data[generator.randrange(len(data))] = generator.randrange(256)
        read(bytes(data))


def test_a_directory_that_lies_outside_the_file_is_told() -> None:
    assert "not where" in unread(changed(GOOD, len(GOOD) - 10, "<L", 0x7FFFFFFF))
    assert "not where" in unread(changed(GOOD, len(GOOD) - 6, "<L", 0x7FFFFFFF))


def test_a_directory_whose_entry_reaches_past_its_end_is_told() -> None:
    assert "damaged" in unread(changed(GOOD, central(GOOD, NAME) + 28, "<H", 60_000))


def test_a_local_header_of_another_name_is_refused() -> None:
    other = changed(GOOD, 30, "7s", b"liby.so")  # type: ignore[arg-type]
    assert f"{NAME}: its local header is another member's" in unread(other)


def test_a_member_that_points_into_the_directory_is_refused() -> None:
    place = central(GOOD, NAME)
    assert "local header is not where" in unread(changed(GOOD, place + 42, "<L", 5))
    assert "reaches into" in unread(changed(GOOD, place + 20, "<L", len(GOOD)))


def test_members_that_overlap_are_read_once() -> None:
    twice = zipped({NAME: LIBRARY, "liby.so": LIBRARY})
    place = central(twice, "liby.so")
    alias = changed(changed(twice, place + 42, "<L", 0), place + 46, "7s", NAME.encode())  # type: ignore[arg-type]
    found = read(alias)
    assert found is not None
    assert len(found.binaries) == 1
    assert "overlaps another member" in " ".join(found.unread)


def test_a_size_that_is_not_true_is_told() -> None:
    place = central(GOOD, NAME) + 24
    assert "more than the directory says" in unread(changed(GOOD, place, "<L", len(LIBRARY) - 1))
    assert "less than the directory says" in unread(changed(GOOD, place, "<L", len(LIBRARY) + 1))
    stored = zipped({NAME: LIBRARY}, zipfile.ZIP_STORED)
    assert "sizes differ" in unread(changed(stored, central(stored, NAME) + 24, "<L", 5))


def test_damaged_compressed_bytes_are_told() -> None:
    assert "damaged" in unread(changed(GOOD, 30 + len(NAME), "3s", b"\xff\xff\xff"))  # type: ignore[arg-type]


def test_encrypted_members_and_unknown_methods_are_told() -> None:
    place = central(GOOD, NAME)
    assert "encrypted" in unread(changed(GOOD, place + 8, "<H", 1))
    other = changed(changed(GOOD, place + 10, "<H", 93), 8, "<H", 93)
    assert "method 93" in unread(other)


def test_one_bad_member_does_not_hide_the_others() -> None:
    data = zipped({NAME: LIBRARY, "liby.so": LIBRARY})
    found = read(changed(data, central(data, NAME) + 8, "<H", 1))
    assert found is not None
    assert [one.path for one in found.binaries] == ["liby.so"]


def test_members_that_nobody_needs_may_be_what_they_like() -> None:
    data = zipped({"readme.txt": b"x" * 99, NAME: LIBRARY})
    assert paths(changed(data, central(data, "readme.txt") + 8, "<H", 1)) == [NAME]


def test_archives_are_followed_to_a_depth() -> None:
    nested = zipped({NAME: LIBRARY})
    for _ in range(reader.MAXIMUM_DEPTH - 1):
        nested = zipped({"a.jar": nested})
    assert len(paths(nested)) == 1
    assert f"nested more than {reader.MAXIMUM_DEPTH}" in unread(zipped({"a.jar": nested}))


def test_an_archive_that_holds_itself_ends() -> None:
    names = {f"{number}.jar": GOOD for number in range(4)}
    data = zipped({"a.jar": zipped({"b.jar": zipped(names)}), **names})
    assert len(paths(data)) == 8


def test_a_bomb_is_given_up_at_the_ratio() -> None:
    # Looks like a library at its start, and goes on for 400 times its stored size.
    bomb = zipped({NAME: LIBRARY + bytes(reader.FREE_BYTES * 4)})
    started = time.process_time()
    assert "inflates to more than archives do" in unread(bomb)
    assert time.process_time() - started < 20


def test_a_bomb_in_nested_archives_is_given_up_as_a_whole() -> None:
    bomb = zipped({"a.jar": zipped({NAME: LIBRARY + bytes(reader.FREE_BYTES * 4)}), "z.so": LIBRARY})
    found = read(bomb)
    assert found is not None
    assert found.binaries == ()
    assert any("inflates to more" in reason for reason in found.unread)


def test_each_limit_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    many = zipped({f"lib{number}.so": LIBRARY for number in range(5)})
    monkeypatch.setattr(reader, "MAXIMUM_BINARIES", 3)
    assert "more than 3 members with native code" in unread(many)
    monkeypatch.setattr(reader, "MAXIMUM_LOOKED_AT", 4)
    assert "more than 4 members that may be" in unread(many)
    monkeypatch.setattr(reader, "MAXIMUM_MEMBER", 100)
    assert "so it was not read" in unread(GOOD)
    monkeypatch.setattr(reader, "MAXIMUM_NESTED", 1)
    assert "nested more than" in unread(zipped({"a.jar": b"PK", "b.jar": b"PK"}))
    monkeypatch.setattr(directory, "MAXIMUM_DIRECTORY", 10)
    assert "directory has more than" in unread(GOOD)


def test_reasons_are_counted_after_some() -> None:
    members = {f"lib{number}.so": LIBRARY for number in range(reader.MAXIMUM_UNREAD + 7)}
    data = zipped(members, zipfile.ZIP_STORED)
    for name in members:
        data = changed(data, central(data, name) + 8, "<H", 1)
    assert unread(data).endswith("and 7 more")


def test_a_directory_of_long_names_is_passed_quickly() -> None:
    name = "linux/" * 10_000
    data = zipped({f"{name}{number}": b"" for number in range(300)})
    started = time.process_time()
    assert paths(data) == []
    assert time.process_time() - started < 20


def test_raw_deflate_is_what_members_hold() -> None:
    assert zlib.decompressobj(-15).decompress(GOOD[30 + len(NAME) :])[: len(LIBRARY)] == LIBRARY
