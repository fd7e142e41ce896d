"""Windows on a file: what they give, where they end, and a file that becomes shorter meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from imagescan.errors import ImageFormatError
from imagescan.sources.streams import FileWindow, OpenFile

CONTENT = bytes(range(200))


@pytest.fixture
def window(tmp_path: Path) -> FileWindow:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return FileWindow(OpenFile(os.open(path, os.O_RDONLY), str(path)), 50, 100, owned=True)


def test_a_window_is_read_piece_by_piece_to_its_own_end(window: FileWindow) -> None:
    assert [window.read(40), window.read(40), window.read(40), window.read(40)] == [
        CONTENT[50:90],
        CONTENT[90:130],
        CONTENT[130:150],
        b"",
    ]


def test_reading_without_a_size_and_into_a_buffer_gives_the_same_bytes(window: FileWindow) -> None:
    buffer = bytearray(30)
    assert window.readinto(buffer) == 30
    assert bytes(buffer) + window.read() == CONTENT[50:150]


def test_nothing_is_read_behind_the_end_of_a_window(window: FileWindow) -> None:
    window.seek(500)
    assert window.read(10) == b""


def test_a_file_that_became_shorter_is_told(window: FileWindow, tmp_path: Path) -> None:
    os.truncate(tmp_path / "file", 60)
    assert window.read(40) == CONTENT[50:60]
    with pytest.raises(ImageFormatError, match="truncated"):
        window.read(40)
