"""What a second process works out is what this one would, also when the other is lost."""

from __future__ import annotations

import os
import signal
from array import array
from collections.abc import Iterator

import pytest

from imagescan.loader import binding, second_process
from imagescan.loader.closure_table import ClosureTable
from imagescan.loader.environment import ProcessEnvironment
from imagescan.loader.second_process import SecondProcess
from imagescan.loader.simulate import Simulation
from tests.loader.test_closures import TREES, view

COLUMNS = [array("I", one) for one in ([], [7, 8], [], [1 << 31])]


@pytest.fixture(autouse=True)
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_process, "usable_processors", lambda: 2)


def result(work: object, columns: int) -> list[array[int]] | None:
    with SecondProcess(work, True) as second:  # type: ignore[arg-type]
        return second.result(columns)


def test_columns_come_back_as_they_were() -> None:
    assert result(lambda: COLUMNS, 4) == COLUMNS
    assert result(list, 0) == []


def test_another_number_of_columns_is_no_result() -> None:
    assert result(lambda: COLUMNS, 3) is None


def killed() -> Iterator[array[int]]:
    yield COLUMNS[1]
    os.kill(os.getpid(), signal.SIGKILL)


def failing() -> Iterator[array[int]]:
    yield COLUMNS[1]
    raise ZeroDivisionError


def too_much() -> Iterator[array[int]]:
    yield array("I", bytes(4 << 20))


@pytest.mark.parametrize("work", [killed, failing, too_much])
def test_a_process_that_is_lost_leaves_its_work_to_this_one(work: object) -> None:
    assert result(work, 1) is None


def test_nobody_asks_for_nothing() -> None:
    with SecondProcess(killed, False) as second:
        assert (second.result(0), second.result(1)) == ([], None)


def tables(monkeypatch: pytest.MonkeyPatch, *, shared: bool) -> list[ClosureTable]:
    monkeypatch.setattr(binding, "may_share", lambda: shared)
    monkeypatch.setattr(binding, "PORTION", 1)
    monkeypatch.setattr(binding, "PORTIONS_FOR_TWO", 2)
    return [Simulation(view(tree), ProcessEnvironment()).closures() for tree in TREES.values()]


def test_link_maps_are_the_same_by_one_process_and_by_two(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = tables(monkeypatch, shared=False)
    assert [one.problems for one in alone] == [one.problems for one in tables(monkeypatch, shared=True)]
    assert any(problems.missing_symbols for one in alone for problems in one.problems.values())


def test_link_maps_are_the_same_when_the_second_process_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = tables(monkeypatch, shared=False)
    monkeypatch.setattr(binding.Binder, "_symbols", lambda self, portions: killed())
    assert [one.problems for one in alone] == [one.problems for one in tables(monkeypatch, shared=True)]
