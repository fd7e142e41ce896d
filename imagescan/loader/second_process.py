"""Numbers that a second process works out while this one does something else.

Work enters, columns of numbers leave, or None where the other process could not do it: then its work is still
to be done. What it met may be a bug, a damaged file or another's doing; doing the work here tells.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from contextlib import ExitStack

from imagescan.children import Children, UnexpectedError, may_fork
from imagescan.errors import ImageScanError
from imagescan.processors import usable_processors


def may_share() -> bool:
    """Whether there is another processor, and a way to use it."""
    return usable_processors() > 1 and may_fork()


class SecondProcess:
    """Does ``work`` from the start of this context on, unless it ``is_wanted`` by nobody."""

    def __init__(self, work: Callable[[], Iterable[array[int]]], is_wanted: bool) -> None:
        self._work = work
        self._is_wanted = is_wanted
        self._children = Children()
        self._context = ExitStack()

    def __enter__(self) -> SecondProcess:
        self._context.enter_context(self._children)
        if self._is_wanted:
            try:
                self._children.start(0, "symbols", lambda report: _packed(self._work(), report))
            except OSError:
                self._is_wanted = False
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()

    def result(self, columns: int) -> list[array[int]] | None:
        """So many columns; None where they are not to be had."""
        if not self._is_wanted:
            return [] if not columns else None
        try:
            data = self._children.wait().data
        except (ImageScanError, UnexpectedError):
            return None
        return _unpacked(data, columns)


def _packed(columns: Iterable[array[int]], report: Callable[[int], None]) -> bytes:
    """Each column after its length."""
    found = array("I")
    for column in columns:
        found.append(len(column))
        found += column
        report(0)
    return found.tobytes()


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
