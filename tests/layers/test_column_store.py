"""What facts keep off the heap comes back byte for byte, with a file, without one and with a full one."""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from imagescan.errors import LayerError, LimitExceeded
from imagescan.layers import column_store
from imagescan.layers.column_store import WAITING_BYTES, TemporaryColumnStore
from imagescan.layers.values import Place
from tests.full_disk import disk_of

PIECES = [os.urandom(size) for size in (0, 1, 100, WAITING_BYTES, 7, 3 * WAITING_BYTES, WAITING_BYTES - 1, 9)]


def assert_keeps(store: TemporaryColumnStore) -> None:
    places = [store.append(piece) for piece in PIECES]
    assert [store.read(place) for place in places] == PIECES
    assert [place.length for place in places] == [len(piece) for piece in PIECES]


def put_temporary_files_in(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(directory))
    monkeypatch.setattr(tempfile, "tempdir", str(directory))


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_pieces_come_back_and_leave_no_name_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_temporary_files_in(tmp_path, monkeypatch)
    before = open_files()
    store = TemporaryColumnStore()
    assert_keeps(store)
    assert list(tmp_path.iterdir()) == []
    assert open_files() == before + 1
    del store
    assert open_files() == before


def test_where_no_file_can_be_without_a_name_it_loses_it_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_temporary_files_in(tmp_path, monkeypatch)
    monkeypatch.delattr(os, "O_TMPFILE")
    before = open_files()
    store = TemporaryColumnStore()
    assert_keeps(store)
    assert list(tmp_path.iterdir()) == []
    assert open_files() == before + 1


def test_a_few_bytes_need_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_files()
    store = TemporaryColumnStore()
    assert store.read(store.append(b"symbols")) == b"symbols"
    assert open_files() == before


def test_without_a_directory_for_temporary_files_pieces_stay_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_temporary_files_in(tmp_path / "missing", monkeypatch)
    before = open_files()
    store = TemporaryColumnStore()
    assert_keeps(store)
    assert open_files() == before


def test_on_a_full_disk_pieces_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """``/dev/full`` refuses every write with ENOSPC, as the kernel does."""
    monkeypatch.setattr(column_store, "open_unnamed", lambda: os.open("/dev/full", os.O_RDWR))
    assert_keeps(TemporaryColumnStore())


def test_a_disk_that_fills_up_within_a_write_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    disk_of(2 * WAITING_BYTES, monkeypatch)
    assert_keeps(TemporaryColumnStore())


def test_both_amounts_have_a_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(column_store, "MAXIMUM_STORED_BYTES", 1000)
    store = TemporaryColumnStore()
    place = store.append(bytes(900))
    with pytest.raises(LimitExceeded, match="more than 4 GiB"):
        store.append(bytes(101))
    assert store.read(place) == bytes(900)
    monkeypatch.undo()
    monkeypatch.setattr(column_store, "MAXIMUM_BYTES_IN_MEMORY", 2 * WAITING_BYTES)
    put_temporary_files_in(tmp_path / "missing", monkeypatch)
    store = TemporaryColumnStore()
    store.append(bytes(2 * WAITING_BYTES))
    with pytest.raises(LimitExceeded, match="no temporary file"):
        store.append(b"x")


def test_a_file_that_was_cut_is_an_error_and_no_wrong_answer() -> None:
    store = TemporaryColumnStore()
    store.append(bytes(3 * WAITING_BYTES))
    with pytest.raises(LayerError, match="was cut"):
        column_store.read_at(store._file, 2 * WAITING_BYTES, 2 * WAITING_BYTES)


def test_threads_share_a_store() -> None:
    store = TemporaryColumnStore()

    def use(number: int) -> bool:
        places: list[tuple[Place, bytes]] = []
        for size in range(0, 3000, 7):
            data = bytes((number,)) * size
            places.append((store.append(data), data))
        return all(store.read(place) == data for place, data in places)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(use, range(8)))
