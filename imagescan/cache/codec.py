"""Frozen values as columns of bytes, and back: the form in which the cache keeps them.

Dataclasses and named tuples with type hints enter, bytes leave; and the reverse. The form follows from the
hints: each field of all values of a class is one column, texts and byte strings stand once in a table,
equal tuples and shared values once each. Building thousands of values from columns runs in loops of the
interpreter's own (``map`` over slot descriptors), some 50 ns for each field.

The bytes are believed no more than an image is: each length is checked against what is there before it
sizes anything, indices against their tables, and nothing but the classes of the hints is ever made.
"""

from __future__ import annotations

import sys
import types
import typing
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from itertools import chain, pairwise, repeat
from operator import attrgetter
from typing import Any

from imagescan.cache.columns import Codec, Damaged, Reader, Unstorable, Writer, positive

MAXIMUM_DEPTH = 16  # values of a class inside values of the same class
_NONE, _ALL, _SOME = 0, 1, 2  # how many values of an optional column are there
_EVERY, _SHARED = 0, 1  # whether each value stands by itself, or some stand for several

Hint = Any  # what an annotation evaluates to
Hints = Mapping[tuple[type, str], Hint]


class _Numbers(Codec):
    schema = "int"

    def write(self, values: Sequence[Any], out: Writer) -> None:
        out.numbers(values)

    def read(self, count: int, data: Reader) -> Sequence[Any]:
        return data.numbers(count)


class _Truths(Codec):
    schema = "bool"

    def write(self, values: Sequence[Any], out: Writer) -> None:
        out.raw(bytes(values))

    def read(self, count: int, data: Reader) -> Sequence[Any]:
        return list(map((False, True).__getitem__, data.raw(count)))


class _Texts(Codec):
    schema = "str"

    def write(self, values: Sequence[Any], out: Writer) -> None:
        out.numbers(map(out.texts.__getitem__, values))

    def read(self, count: int, data: Reader) -> Sequence[Any]:
        return list(map(data.texts.__getitem__, positive(data.numbers(count))))


class _Blobs(Codec):
    schema = "bytes"

    def write(self, values: Sequence[Any], out: Writer) -> None:
        out.numbers(map(out.blobs.__getitem__, values))

    def read(self, count: int, data: Reader) -> Sequence[Any]:
        return list(map(data.blobs.__getitem__, positive(data.numbers(count))))


class _Members(Codec):
    """Members of an enumeration, by their position in it."""

    def __init__(self, enumeration: type[Enum]) -> None:
        self._members = tuple(enumeration)
        self._positions = {member: position for position, member in enumerate(self._members)}
        members = ",".join(f"{one.name}={one.value!r}" for one in self._members)
        self.schema = f"{enumeration.__name__}({members})"

    def write(self, values: Sequence[Any], out: Writer) -> None:
        out.numbers(map(self._positions.__getitem__, values))

    def read(self, count: int, data: Reader) -> Sequence[Any]:
        return list(map(self._members.__getitem__, positive(data.numbers(count))))


class _Optional(Codec):
    def __init__(self, value: Codec) -> None:
        self._value = value
        self.schema = f"{value.schema}?"

    def write(self, values: Sequence[Any], out: Writer) -> None:
        there = [value for value in values if value is not None]
        amount = _ALL if len(there) == len(values) else _SOME if there else _NONE
        out.raw(bytes((amount,)))
        if amount == _SOME:
            out.raw(bytes(value is not None for value in values))
        if there:
            self._value.write(there, out)

    def read(self, count: int, data: Reader) -> Sequence[Any]:
        (amount,) = data.raw(1)
        if amount == _NONE or not count:
            return [None] * count
        if amount == _ALL:
            return self._value.read(count, data)
        mask = data.raw(count)
        there = iter(self._value.read(sum(mask), data))
        return [next(there) if one else None for one in mask]


class _Tuples(Codec):
    """Tuples of any length, and sets, whose order is that of writing; equal ones are written once."""

    def __init__(self, value: Codec, by_identity: bool, kind: Callable[[Iterable[Any]], Any] = tuple) -> None:
        self._value, self._by_identity, self._kind = value, by_identity, kind
        self.schema = f"{getattr(kind, '__name__', 'tuple')}[{value.schema}]"

    def write(self, values: Sequence[Any], out: Writer) -> None:
        if self._by_identity:
            known = {id(value): _identities(value) for value in values}
            shared = {known[id(value)]: value for value in values}
            keys: Iterable[Any] = (known[id(value)] for value in values)
        else:
            shared = {value: value for value in values}
            keys = values
        positions = {key: position for position, key in enumerate(shared)}
        out.numbers((len(shared),))
        out.numbers(map(positions.__getitem__, keys))
        out.numbers(map(len, shared.values()))
        elements = list(chain.from_iterable(shared.values()))
        if elements:
            self._value.write(elements, out)

    def read(self, count: int, data: Reader) -> Sequence[Any]:
        shared = data.count()
        chosen = positive(data.numbers(count))
        ends = data.ends(shared)
        elements = self._value.read(ends[-1], data) if ends[-1] else ()
        kind = self._kind
        made = [kind(elements[start:end]) for start, end in pairwise(ends)]
        return list(map(made.__getitem__, chosen))


def _identities(value: Iterable[Any]) -> bytes:
    """The same for tuples and sets of the very same values in the same order; 8 bytes for each of them."""
    return array("Q", map(id, value)).tobytes()


class _Mappings(Codec):
    """Dictionaries, in their order."""

    def __init__(self, key: Codec, value: Codec) -> None:
        self._key, self._value = key, value
        self.schema = f"{{{key.schema}:{value.schema}}}"

    def write(self, values: Sequence[Any], out: Writer) -> None:
        out.numbers(map(len, values))
        keys = list(chain.from_iterable(values))
        if keys:
            self._key.write(keys, out)
            self._value.write(list(chain.from_iterable(value.values() for value in values)), out)

    def read(self, count: int, data: Reader) -> Sequence[Any]:
        ends = data.ends(count)
        keys = self._key.read(ends[-1], data) if ends[-1] else ()
        values = self._value.read(ends[-1], data) if ends[-1] else ()
        return [dict(zip(keys[start:end], values[start:end], strict=True)) for start, end in pairwise(ends)]


class _Column:
    """What ``array[int]`` means in an annotation; before Python 3.12 it cannot be evaluated."""

    def __class_getitem__(cls, item: object) -> type:
        return cls


class _Arrays(Codec):
    """``array`` columns, each in its own item size and this machine's byte order."""

    schema = "array"

    def write(self, values: Sequence[Any], out: Writer) -> None:
        for value in values:
            out.numbers((len(value),))
            out.raw(value.typecode.encode())
            out.raw(value.tobytes())

    def read(self, count: int, data: Reader) -> Sequence[Any]:
        found = []
        for _ in range(count):
            length = data.count()
            code = data.raw(1).decode("latin-1")
            if code not in "BHILQbhilq":
                raise Damaged("an array of no known kind")
            column = array(code)
            column.frombytes(data.raw(length * column.itemsize))
            found.append(column)
        return found


class _Outside(Codec):
    """A field that is not written: where the values are read, all of it is one value."""

    schema = "outside"

    def write(self, values: Sequence[Any], out: Writer) -> None:
        pass

    def read(self, count: int, data: Reader) -> Sequence[Any]:
        return [data.outside] * count


class _Union(Codec):
    """Values of several classes, told apart by their exact type."""

    def __init__(self, members: Sequence[tuple[type, Codec]]) -> None:
        self._members = members
        self._positions = {kind: position for position, (kind, _) in enumerate(members)}
        self.schema = "|".join(codec.schema for _, codec in members)

    def write(self, values: Sequence[Any], out: Writer) -> None:
        tags = bytes(map(self._positions.__getitem__, map(type, values)))
        out.raw(tags)
        for tag, (_, codec) in enumerate(self._members):
            chosen = [value for value, one in zip(values, tags, strict=True) if one == tag]
            if chosen:
                codec.write(chosen, out)

    def read(self, count: int, data: Reader) -> Sequence[Any]:
        tags = data.raw(count)
        parts = []
        for tag, (_, codec) in enumerate(self._members):
            number = tags.count(tag)
            parts.append(iter(codec.read(number, data) if number else ()))
        return list(map(next, map(parts.__getitem__, tags)))


class _Records(Codec):
    """Values of one dataclass or named tuple; one that stands in several places is written once.

    ``fields`` is filled after making, for classes that hold values of their own kind.
    """

    def __init__(self, kind: Any) -> None:  # noqa: ANN401 - a class of ours
        self._kind = kind
        self.fields: tuple[tuple[str, Codec], ...] = ()
        self.schema = kind.__name__

    def write(self, values: Sequence[Any], out: Writer) -> None:
        shared = {id(value): value for value in values}
        if len(shared) == len(values):
            out.raw(bytes((_EVERY,)))
        else:
            out.raw(bytes((_SHARED,)))
            positions = {key: position for position, key in enumerate(shared)}
            out.numbers((len(shared),))
            out.numbers(map(positions.__getitem__, map(id, values)))
        distinct = list(shared.values())
        for value in distinct:
            if type(value) is not self._kind:
                raise Unstorable(f"a {type(value).__name__} in place of a {self._kind.__name__}")
        for name, codec in self.fields:
            if type(codec) is _Outside:
                out.outside += distinct
            codec.write(list(map(attrgetter(name), distinct)), out)

    def read(self, count: int, data: Reader) -> Sequence[Any]:
        (form,) = data.raw(1)
        if form == _EVERY:
            return self._distinct(count, data)
        number = data.count()
        chosen = positive(data.numbers(count))
        return list(map(self._distinct(number, data).__getitem__, chosen))

    def _distinct(self, count: int, data: Reader) -> list[Any]:
        data.depth += 1
        if data.depth > MAXIMUM_DEPTH:
            raise Damaged("values nested too deeply")
        columns = [codec.read(count, data) for _, codec in self.fields] if count else []
        data.depth -= 1
        if issubclass(self._kind, tuple):
            return list(map(self._kind._make, zip(*columns, strict=True)))
        made = list(map(object.__new__, repeat(self._kind, count)))
        for (name, _), column in zip(self.fields, columns, strict=bool(count)):
            deque(map(self._kind.__dict__[name].__set__, made, column), maxlen=0)
        return made


_SCALARS: Mapping[Any, Codec] = {
    int: _Numbers(),
    bool: _Truths(),
    str: _Texts(),
    bytes: _Blobs(),
    _Column: _Arrays(),
}


class Codecs:
    """Makes the codec of a hint, each class once.

    Args:
        hints: for a field (class, name), the hint that holds instead of the annotation.
        outside: annotations whose fields are not written, such as a live handle's.
    """

    def __init__(self, hints: Hints | None = None, outside: Sequence[Hint] = ()) -> None:
        self._hints = dict(hints or {})
        self._outside = tuple(outside)
        self._records: dict[type, _Records] = {}
        self._annotated: dict[tuple[str, Hint], Codec] = {}

    def of(self, hint: Hint) -> Codec:
        """The codec of a hint.

        Raises:
            TypeError: a hint that values cannot be written by.
        """
        if hint in _SCALARS:
            return _SCALARS[hint]
        if hint in self._outside:
            return _Outside()
        if hasattr(hint, "__supertype__"):  # typing.NewType
            return self.of(hint.__supertype__)
        origin: Any = typing.get_origin(hint)
        if origin is not None:
            return self._generic(hint, origin, typing.get_args(hint))
        if isinstance(hint, type) and issubclass(hint, Enum):
            return _Members(hint)
        if isinstance(hint, type) and "__annotations__" in vars(hint):
            return self._record(hint)
        raise TypeError(f"values of {hint!r} cannot be kept")

    def schema(self, codec: Codec) -> str:
        """The form of a codec and of every class below it."""
        fields = (
            f"{kind.__name__}({','.join(f'{name}:{field.schema}' for name, field in record.fields)})"
            for kind, record in sorted(self._records.items(), key=lambda item: item[0].__name__)
        )
        return ";".join((codec.schema, *fields))

    def _generic(self, hint: Hint, origin: Any, arguments: tuple[Any, ...]) -> Codec:  # noqa: ANN401
        if origin in (typing.Union, types.UnionType):
            members = [one for one in arguments if one is not type(None)]
            if len(members) == 1:
                value = self.of(members[0])
            else:
                value = _Union([(one, self.of(one)) for one in members])
            return _Optional(value) if len(members) < len(arguments) else value
        if origin is typing.Literal:
            return self.of(type(arguments[0]))
        if origin is frozenset:
            return _Tuples(self.of(arguments[0]), False, frozenset)
        if origin is tuple and arguments[-1:] == (Ellipsis,):
            value = self.of(arguments[0])
            return _Tuples(value, isinstance(value, _Records | _Union))
        if origin is tuple:
            return _Pairs([self.of(one) for one in arguments])
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return _Mappings(self.of(arguments[0]), self.of(arguments[1]))
        raise TypeError(f"values of {hint!r} cannot be kept")

    def _record(self, kind: type) -> _Records:
        if kind not in self._records:
            record = self._records[kind] = _Records(kind)
            record.fields = tuple((name, self._field(kind, name)) for name in kind.__annotations__)
        return self._records[kind]

    def _field(self, kind: type, name: str) -> Codec:
        """The codec of a field. Many fields of a module have the same annotation, which is evaluated once:
        ``typing.get_type_hints`` takes 40 us for each."""
        hint = self._hints.get((kind, name), kind.__annotations__[name])
        key = kind.__module__, hint
        if key not in self._annotated:
            if isinstance(hint, str):
                hint = eval(hint, vars(sys.modules[kind.__module__]), {"array": _Column})  # noqa: S307 - our own
            self._annotated[key] = self.of(hint)
        return self._annotated[key]


class _Pairs(Codec):
    """Tuples of a fixed length, each place of its own kind."""

    def __init__(self, places: Sequence[Codec]) -> None:
        self._places = places
        self.schema = f"({','.join(place.schema for place in places)})"

    def write(self, values: Sequence[Any], out: Writer) -> None:
        for place, column in zip(self._places, zip(*values, strict=True), strict=True):
            place.write(column, out)

    def read(self, count: int, data: Reader) -> Sequence[Any]:
        columns: Iterator[Sequence[Any]] = (place.read(count, data) for place in self._places)
        return list(zip(*columns, strict=True))
