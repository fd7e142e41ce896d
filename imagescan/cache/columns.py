"""Columns of bytes: what the cache's values are written as, and the guard at reading them.

Numbers, texts and byte strings enter a ``Writer``, bytes leave it, and a ``Reader`` gives them back in the
same order. Texts and byte strings stand once, in tables in front. The bytes are believed no more than an
image is: each length is checked against what is there before it sizes anything.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Any

from imagescan.errors import ImageScanError

_TYPECODES = "BHIQq"  # narrowest first; q for negative numbers
_TEXT_ERRORS = "surrogatepass"


class Damaged(ImageScanError):
    """Kept bytes are not what was written; stays inside this room."""


class Unstorable(ImageScanError):
    """A value that the form has no place for; stays inside this room."""


class Writer:
    """Gathers columns; ``context`` collects the values of fields that are not written (``Codec``)."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.texts = _Interner()
        self.blobs = _Interner()
        self.outside: list[object] = []

    def numbers(self, values: Iterable[int]) -> None:
        """One column of whole numbers, in as few bytes for each as the largest needs."""
        column = list(values)
        low, high = (min(column), max(column)) if column else (0, 0)
        code = (
            "q"
            if low < 0
            else "B"
            if high < 1 << 8
            else "H"
            if high < 1 << 16
            else "I"
            if high < 1 << 32
            else "Q"
        )
        try:
            packed = array(code, column).tobytes()
        except OverflowError:
            raise Unstorable("a number of more than 64 bits") from None
        self.parts += (code.encode(), packed)

    def raw(self, data: bytes) -> None:
        """Bytes whose number the reader knows."""
        self.parts.append(data)

    def finish(self) -> list[bytes]:
        """Everything, the tables first, part by part."""
        columns, self.parts = self.parts, []
        texts = "".join(self.texts)
        encoded = texts.encode("utf-8", _TEXT_ERRORS)
        self.numbers((len(self.texts), len(self.blobs), len(encoded)))
        self.numbers(map(len, self.texts))
        self.numbers(map(len, self.blobs))
        return [*self.parts, encoded, b"".join(self.blobs), *columns]


class Reader:
    """Hands out columns in the order in which they were written.

    ``outside`` stands for every value of a field that was not written.

    Raises:
        Damaged: from every method, when the bytes are not there.
    """

    def __init__(self, data: bytes, outside: object = None) -> None:
        self._data = data
        self._place = 0
        self.limit = len(data)
        self.depth = 0
        self.outside = outside
        texts, blobs, encoded = self.numbers(3)
        lengths, sizes = self.numbers(texts), self.numbers(blobs)
        self.texts = _cut(self.raw(encoded).decode("utf-8", _TEXT_ERRORS), lengths)
        self.blobs = [self.raw(size) for size in sizes]

    def numbers(self, count: int) -> array[int]:
        """A column of whole numbers."""
        code = self.raw(1).decode("latin-1")
        if code not in _TYPECODES:
            raise Damaged("a column of no known kind")
        column = array(code)
        column.frombytes(self.raw(count * column.itemsize))
        return column

    def raw(self, length: int) -> bytes:
        """The next bytes."""
        end = self._place + length
        if end > self.limit:
            raise Damaged("the columns end early")
        data = self._data[self._place : end]
        self._place = end
        return data

    def count(self) -> int:
        """A number of values that follow, never more than there are bytes in all."""
        (number,) = self.numbers(1)
        if not 0 <= number <= self.limit:
            raise Damaged("more values than bytes")
        return number

    def ends(self, count: int) -> list[int]:
        """Where each of so many values ends among their parts, whose numbers come next; a zero in front."""
        ends = [0, *accumulate(positive(self.numbers(count)))]
        if ends[-1] > self.limit:
            raise Damaged("more values than bytes")
        return ends


class Codec:
    """How all values of one hint are written and read. ``schema`` describes the form as text: values
    that were written under another schema are not to be read."""

    schema = ""

    def write(self, values: Sequence[Any], out: Writer) -> None:
        """Write a column of values.

        Raises:
            Unstorable: one of them has no place in the form.
        """
        raise NotImplementedError

    def read(self, count: int, data: Reader) -> Sequence[Any]:
        """Read a column of so many values.

        Raises:
            Damaged: it was not written so. IndexError, ValueError and the like mean the same.
        """
        raise NotImplementedError


def pack(values: Sequence[Any], codec: Codec) -> tuple[list[bytes], list[object]]:
    """Values as bytes, in parts; beside them what stood in fields that are not written.

    Raises:
        Unstorable: a value has no place in the form.
    """
    out = Writer()
    out.numbers((len(values),))
    try:
        if values:
            codec.write(values, out)
        return out.finish(), out.outside
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise Unstorable(f"a value of another kind than its hint says: {error}") from error


def unpack(data: bytes, codec: Codec, outside: object = None) -> Sequence[Any]:
    """The values again.

    Raises:
        Damaged: these are no such bytes.
    """
    try:
        reader = Reader(data, outside)
        count = reader.count()
        return codec.read(count, reader) if count else ()
    except (ValueError, IndexError, OverflowError, StopIteration, TypeError, RecursionError) as error:
        raise Damaged(f"columns that cannot be read ({type(error).__name__})") from error


class _Interner(dict[Any, int]):
    """Numbers each distinct value in the order of first sight."""

    def __missing__(self, value: Any) -> int:  # noqa: ANN401 - any hashable value
        self[value] = number = len(self)
        return number


def _cut(text: str, lengths: Iterable[int]) -> list[str]:
    ends = [0, *accumulate(lengths)]
    if ends[-1] != len(text):
        raise Damaged("texts of other lengths")
    return [text[start:end] for start, end in pairwise(ends)]


def positive(column: array[int]) -> array[int]:
    """A column that is no place for negative numbers: as an index they would count from the end."""
    if column.typecode == "q" and len(column) and min(column) < 0:
        raise Damaged("a negative index")
    return column
