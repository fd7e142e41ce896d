"""What a second process works out is what this one would, also when the other is lost."""

from __future__ import annotations

import os
import signal
from array import array
from collections.abc import Callable, Iterable, Iterator

import pytest

from imagescan.loader import binding, second_process
from imagescan.loader.environment import ProcessEnvironment
from imagescan.loader.second_process import SecondProcess
from imagescan.loader.simulate import Simulation
from tests.loader.test_closures import TREES, view

COLUMNS = [array("I", one) for one in ([], [7, 8], [], [1 << 31])]


@pytest.fixture(autouse=True)
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_process, "usable_processors", lambda: 2)


def result(work: Callable[[int], Iterable[array[int]]], columns: int) -> list[array[int]] | None:
    """What comes of two pieces that are left to the second process."""
    with SecondProcess(2, work, is_wanted=True) as second:
        return second.result(columns)


def test_columns_come_back_as_they_were_and_in_the_order_of_the_pieces() -> None:
    assert result(lambda piece: COLUMNS[2 * piece : 2 * piece + 2], 4) == COLUMNS
    assert result(lambda piece: (), 0) == []


def test_each_piece_is_done_by_one_of_both_each_from_its_own_end() -> None:
    pieces = 400
    with SecondProcess(pieces, lambda piece: [array("I", [piece])], is_wanted=True) as second:
        done = 0
        while second.may_do_next():
            done += 1
        found = second.result(pieces - done)
    assert found == [array("I", [piece]) for piece in range(done, pieces)]


def test_another_number_of_columns_is_no_result() -> None:
    assert result(lambda piece: COLUMNS, 7) is None


def killed(piece: int) -> Iterator[array[int]]:
    yield COLUMNS[1]
    os.kill(os.getpid(), signal.SIGKILL)


def failing(piece: int) -> Iterator[array[int]]:
    yield COLUMNS[1]
    raise ZeroDivisionError


def too_much(piece: int) -> Iterator[array[int]]:
    yield array("I", bytes(4 << 20))


@pytest.mark.parametrize("work", [killed, failing, too_much])
def test_a_process_that_is_lost_leaves_its_work_to_this_one(
    work: Callable[[int], Iterable[array[int]]],
) -> None:
    assert result(work, 2) is None


@pytest.mark.parametrize(("pieces", "is_wanted"), [(9, False), (1, True), (1 << 20, True)])
def test_this_process_does_everything_where_no_other_is_wanted(pieces: int, is_wanted: bool) -> None:
    with SecondProcess(pieces, killed, is_wanted=is_wanted) as second:
        assert [second.may_do_next() for _ in range(5)] == [True] * 5
        assert (second.result(0), second.result(1)) == ([], None)


def problems(monkeypatch: pytest.MonkeyPatch, *, shared: bool, left: bool = False) -> list[object]:
    """What is wrong in each tree; ``left``: everything is left to the second process."""
    monkeypatch.setattr(binding, "may_share", lambda: shared)
    monkeypatch.setattr(binding, "PORTION", 1)
    if left:
        monkeypatch.setattr(SecondProcess, "may_do_next", lambda self: False)
    return [Simulation(view(tree), ProcessEnvironment()).closures().problems for tree in TREES.values()]


def test_link_maps_are_the_same_by_one_process_and_by_two(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = problems(monkeypatch, shared=False)
    assert "nowhere" in repr(alone)
    assert problems(monkeypatch, shared=True) == alone
    assert problems(monkeypatch, shared=True, left=True) == alone


def test_link_maps_are_the_same_when_the_second_process_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = problems(monkeypatch, shared=False)
    monkeypatch.setattr(binding.Binder, "_symbols", lambda self, portions: killed)
    assert problems(monkeypatch, shared=True, left=True) == alone
