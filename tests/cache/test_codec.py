"""The cache's form of values: everything that facts are made of comes back, and nothing else is believed."""

from __future__ import annotations

import random
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagescan.cache.codec import Codecs
from imagescan.cache.columns import Codec, Damaged, Unstorable, pack, unpack
from imagescan.dataclasses import NamedTuple


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Pair(NamedTuple):
    left: int
    right: str


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    weak: bool = False


@dataclass(frozen=True, slots=True)
class Whole:
    number: int
    text: str
    raw: bytes
    colour: Colour
    maybe: str | None
    parts: tuple[Part, ...]
    pairs: tuple[Pair, ...]
    fixed: tuple[int, str]
    table: Mapping[int, str]
    many: frozenset[int]
    either: Part | Pair | None
    inner: tuple[Whole, ...] = ()


texts = st.text(st.characters(), max_size=8) | st.sampled_from(["", "a\0b", "\udc80", "\U0001f600"])
numbers = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 300)
part = st.builds(Part, texts, st.booleans())
pair = st.builds(Pair, numbers, texts)


def wholes(inner: st.SearchStrategy[tuple[Whole, ...]]) -> st.SearchStrategy[Whole]:
    return st.builds(
        Whole,
        numbers,
        texts,
        st.binary(max_size=8),
        st.sampled_from(Colour),
        st.none() | texts,
        st.lists(part, max_size=3).map(tuple),
        st.lists(pair, max_size=3).map(tuple),
        st.tuples(numbers, texts),
        st.dictionaries(numbers, texts, max_size=3),
        st.frozensets(numbers, max_size=3),
        st.none() | part | pair,
        inner,
    )


nested = wholes(st.just(()) | st.lists(wholes(st.just(())), max_size=2).map(tuple))


def packed_values(values: Sequence[object], codec: Codec) -> bytes:
    return b"".join(pack(values, codec)[0])


@settings(max_examples=300, deadline=None)
@given(st.lists(nested, max_size=5))
def test_what_was_written_is_read(values: list[Whole]) -> None:
    codec = Codecs().of(Whole)
    packed = packed_values(values, codec)
    assert list(unpack(packed, codec)) == values


def test_equal_texts_and_shared_values_stand_once() -> None:
    codec = Codecs().of(Part)
    shared = Part("long name " * 20)
    once, thousand = (len(packed_values([shared] * count, codec)) for count in (1, 1000))
    assert thousand < once + 1100


def test_numbers_up_to_64_bits_come_back_and_larger_ones_cannot_be_kept() -> None:
    codec = Codecs().of(int)
    values = [0, 255, 256, 2**32, 2**64 - 1]
    assert list(unpack(packed_values(values, codec), codec)) == values
    with pytest.raises(Unstorable):
        pack([2**64], codec)
    with pytest.raises(Unstorable):
        pack([-1, 2**64 - 1], codec)


@pytest.mark.parametrize("typecode", "BHILQbhilq")
def test_arrays_keep_their_item_size(typecode: str) -> None:
    @dataclass(frozen=True, slots=True)
    class Columns:
        column: array[int]

    codec = Codecs().of(Columns)
    (found,) = unpack(packed_values([Columns(array(typecode, [1, 2, 3]))], codec), codec)
    assert (found.column, found.column.typecode) == (array(typecode, [1, 2, 3]), typecode)


@pytest.mark.parametrize("value", [Part(1), Part(None), Part("x", None), Pair(1, "x"), "x"])  # type: ignore[arg-type]
def test_a_value_that_breaks_its_hint_is_not_kept(value: object) -> None:
    with pytest.raises(Unstorable):
        pack([value], Codecs().of(Part))


def test_a_hint_without_a_form_is_refused_when_the_program_starts() -> None:
    with pytest.raises(TypeError, match="cannot be kept"):
        Codecs().of(Path)


def test_another_field_or_member_is_another_form() -> None:
    def schema(kind: Any) -> str:
        codecs = Codecs()
        return codecs.schema(codecs.of(kind))

    @dataclass(frozen=True, slots=True)
    class Part:
        name: str
        strong: bool = False

    class Colour(StrEnum):
        RED = "red"
        GREEN = "green"

    assert len({schema(Part), schema(globals()["Part"]), schema(Colour), schema(globals()["Colour"])}) == 4


def sample() -> tuple[bytes, Any]:
    codec = Codecs().of(Whole)
    inner = Whole(1, "a", b"x", Colour.RED, None, (), (), (1, "z"), {}, frozenset(), None)
    value = Whole(
        70_000, "text", b"raw", Colour.BLUE, "y", (Part("p"), Part("q", True)), (Pair(-1, "r"),), (5, "s"),
        {1: "one"}, frozenset({3}), Pair(2, "two"), (inner, inner),
    )  # fmt: skip
    return packed_values([value, inner], codec), codec


def test_damage_is_an_error_or_other_values_never_a_traceback_or_a_bomb() -> None:
    packed, codec = sample()
    chance = random.Random(5)
    refused = 0
    for _ in range(20_000):
        damaged = bytearray(packed)
        for _ in range(chance.randrange(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.choice((0, 1, 127, 255, chance.randrange(256)))
        try:
            found = unpack(bytes(damaged), codec)
        except Damaged:
            refused += 1
        else:
            assert all(type(one) is Whole for one in found)
    assert refused > 5_000


def test_every_cut_is_an_error() -> None:
    packed, codec = sample()
    for length in range(len(packed)):
        with pytest.raises(Damaged):
            unpack(packed[:length], codec)
