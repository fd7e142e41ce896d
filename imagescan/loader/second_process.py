"""Pieces of work that two processes do together: this one from the first on, a second from the last back.

Work enters, columns of numbers leave for the pieces that the second process did, or None where it could not:
then they are still to be done. What it met may be a bug, a damaged file or another's doing; doing the work
here tells.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial

from imagescan.children import MAXIMUM_TURNS, Children, Turns, UnexpectedError, may_fork
from imagescan.errors import ImageScanError
from imagescan.processors import usable_processors


def may_share() -> bool:
    """Whether there is another processor, and a way to use it."""
    return usable_processors() > 1 and may_fork()


class SecondProcess:
    """Does some of ``pieces`` from the start of this context on, if it ``is_wanted``: what ``work`` makes of
    them, the last first.

    For each piece there is a turn: who takes it does the next one, each process from its own end. So they
    meet where both have been busy to the end.
    """

    def __init__(self, pieces: int, work: Callable[[int], Iterable[array[int]]], *, is_wanted: bool) -> None:
        self._pieces, self._work = pieces, work
        self._is_wanted = is_wanted and 1 < pieces <= MAXIMUM_TURNS
        self._turns: Turns | None = None
        self._children = Children()
        self._context = ExitStack()

    def __enter__(self) -> SecondProcess:
        self._context.enter_context(self._children)
        if self._is_wanted:
            try:
                self._start()
            except OSError:
                self._is_wanted = False
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()

    def may_do_next(self) -> bool:
        """Whether the next piece from the first on is left for this process."""
        return self._turns is None or self._turns.take()

    def result(self, columns: int) -> list[array[int]] | None:
        """So many columns; None where they are not to be had."""
        if not self._is_wanted:
            return [] if not columns else None
        try:
            data = self._children.wait().data
        except (ImageScanError, UnexpectedError):
            return None
        return _unpacked(data, columns)

    def _start(self) -> None:
        turns = Turns(self._pieces)
        self._context.callback(turns.close)
        self._children.start(0, "symbols", partial(self._do_theirs, turns))
        self._turns = turns

    def _do_theirs(self, turns: Turns, report: Callable[[int], None]) -> bytes:
        """Each column after its length."""
        done: list[array[int]] = []
        while turns.take():
            done.append(array("I"))
            for column in self._work(self._pieces - len(done)):
                done[-1].append(len(column))
                done[-1] += column
            report(0)
        return b"".join(piece.tobytes() for piece in reversed(done))


def _unpacked(data: bytes, columns: int) -> list[array[int]] | None:
    numbers = array("I")
    if len(data) % numbers.itemsize:
        return None
    numbers.frombytes(data)
    found, place = [], 0
    while place < len(numbers):
        end = place + 1 + numbers[place]
        found.append(numbers[place + 1 : end])
        place = end
    return found if place == len(numbers) and len(found) == columns else None
