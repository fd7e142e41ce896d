"""Light data classes behave as the standard library's, and the standard library's functions take them."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

import pytest

from imagescan import light_dataclasses as light
from tests.cache.images import layout


class Plain:
    a: int
    b: str = "x"
    c: list[int] = light.field(default_factory=list)
    d: int = light.field(default=3, repr=False, compare=False)

    def double(self) -> int:
        return 2 * self.a

    @property
    def shout(self) -> str:
        return self.b.upper()


def standard(**options: bool) -> Any:
    body = {"__annotations__": Plain.__annotations__, "double": Plain.double, "shout": Plain.shout, "b": "x"}
    body["c"] = dataclasses.field(default_factory=list)
    body["d"] = dataclasses.field(default=3, repr=False, compare=False)
    return dataclasses.dataclass(**options)(type("Plain", (), body))


def lightly(**options: bool) -> Any:
    return light.dataclass(**options)(type("Plain", (), dict(vars(Plain))))


OPTIONS = [
    {"frozen": frozen, "slots": slots, "eq": eq} for frozen in (0, 1) for slots in (0, 1) for eq in (0, 1)
]


@pytest.mark.parametrize("options", OPTIONS)
def test_values_behave_as_the_standard_library_s(options: dict[str, bool]) -> None:
    for kind in (lightly(**options), standard(**options)):
        one, same, other = kind(1), kind(1, "x", d=4), kind(a=2, b="y", c=[5])
        assert (one.a, one.b, one.c, one.d, one.double(), other.shout) == (1, "x", [], 3, 2, "Y")
        assert one.c is not same.c
        assert (one == same) is bool(options["eq"])
        assert one != other
        assert one.__eq__(5) is NotImplemented if options["eq"] else True
        assert repr(one) == "Plain(a=1, b='x', c=[])"
        assert hasattr(one, "__dict__") is not bool(options["slots"])
        assert kind.__match_args__ == ("a", "b", "c", "d")
        with pytest.raises(TypeError, match=r"__init__\(\) missing 1 required positional argument: 'a'"):
            kind()
        with pytest.raises(TypeError, match="unexpected keyword"):
            kind(1, nothing=2)
        if options["frozen"]:
            for change in (lambda value: setattr(value, "a", 5), lambda value: delattr(value, "a")):
                with pytest.raises(dataclasses.FrozenInstanceError):
                    change(one)
        else:
            one.a = 5
            assert one.a == 5


@pytest.mark.parametrize("options", OPTIONS)
def test_hashes_follow_the_standard_library_s_rules(options: dict[str, bool]) -> None:
    for kind in (lightly(**options), standard(**options)):
        one, same = kind(1, "x", ()), kind(1, "x", (), 9)
        if options["eq"] and not options["frozen"]:
            with pytest.raises(TypeError, match="unhashable"):
                hash(one)
        else:
            assert (hash(one) == hash(same)) is bool(options["eq"])


def test_functions_of_the_standard_library_take_light_values() -> None:
    value = lightly(frozen=True, slots=True)(1, c=[2])
    assert dataclasses.is_dataclass(value)
    assert [one.name for one in dataclasses.fields(value)] == ["a", "b", "c", "d"]
    assert dataclasses.asdict(value) == {"a": 1, "b": "x", "c": [2], "d": 3}
    assert dataclasses.replace(value, b="z") == light.replace(value, b="z") != value
    assert [one.name for one in light.fields(standard()(1))] == ["a", "b", "c", "d"]


def test_a_field_of_a_base_comes_first() -> None:
    base = lightly(frozen=True, slots=True)
    derived = light.dataclass(frozen=True, slots=True)(
        type("Derived", (base,), {"__annotations__": {"e": "int"}, "e": 7})
    )
    assert derived.__match_args__ == ("a", "b", "c", "d", "e")
    assert (derived(1).a, derived(1).e, derived(1, e=8).e) == (1, 7, 8)


@light.dataclass(frozen=True, slots=True)
class Importable:
    a: int
    b: str = ""


def test_values_can_be_copied_and_pickled() -> None:
    value = Importable(1, "x")
    assert copy.copy(value) == copy.deepcopy(value) == pickle.loads(pickle.dumps(value)) == value


def test_a_scan_needs_neither_the_standard_library_s_data_classes_nor_inspect(tmp_path: Path) -> None:
    words = [layout(tmp_path / "image"), "-o", "json", "--no-cache", "--platform", "linux/amd64"]
    heavy = {"dataclasses", "inspect", "rich", "docker", "oras", "requests"}
    program = "import sys; from imagescan.cli.main import run_process;"
    program += f"run_process({words}); sys.exit(str(sorted({heavy} & set(sys.modules))))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.strip() == "[]"


class Span(light.NamedTuple):
    """A docstring."""

    start: int
    end: int = 5

    @property
    def length(self) -> int:
        return self.end - self.start


class StandardSpan(typing.NamedTuple):
    """A docstring."""

    start: int
    end: int = 5

    @property
    def length(self) -> int:
        return self.end - self.start


@pytest.mark.parametrize("kind", [Span, StandardSpan])
def test_named_tuples_behave_as_the_standard_library_s(kind: Any) -> None:
    made = kind._make((1, 2))  # before any is made by its fields
    assert (made.start, made.end, made.length) == (1, 2, 1)
    assert made == kind(1, end=2) == (1, 2)
    assert hash(made) == hash((1, 2))
    assert kind(3) == kind(end=5, start=3) == (3, 5)
    assert repr(made) == f"{kind.__name__}(start=1, end=2)"
    assert made._replace(end=9) == (1, 9)
    assert (kind._fields, kind._field_defaults) == (("start", "end"), {"end": 5})
    assert (kind.__match_args__, kind.__doc__) == (("start", "end"), "A docstring.")
    assert typing.get_type_hints(kind) == {"start": int, "end": int}
    assert isinstance(made, kind)
    assert isinstance(made, tuple)
    for copied in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert (copied, type(copied)) == (made, kind)
    with pytest.raises(AttributeError):
        made.start = 3
    with pytest.raises(AttributeError):
        made.other = 3
    with pytest.raises(TypeError, match=r"missing 1 required positional argument: 'start'"):
        kind()
    with pytest.raises(TypeError, match="takes from 2 to 3 positional arguments but 4 were given"):
        kind(1, 2, 3)
    with pytest.raises(TypeError, match="unexpected keyword argument 'other'"):
        kind(1, other=2)
    with pytest.raises(ValueError, match="unexpected field names"):
        made._replace(other=2)


@pytest.mark.parametrize("options", OPTIONS)
def test_the_hundredth_value_of_a_class_is_made_like_the_first(options: dict[str, bool]) -> None:
    kind = lightly(**options)
    for number in range(5):
        one, other = kind(number, d=4), kind(a=number, b="y", c=[5])
        assert (one.a, one.b, one.c, one.d, other.b, other.c, other.d) == (number, "x", [], 4, "y", [5], 3)
        for arguments, named in [
            ((), {}),
            ((1, "x", [], 3, 4), {}),
            ((1,), {"a": 1}),
            ((1,), {"nothing": 2}),
        ]:
            with pytest.raises(TypeError):
                kind(*arguments, **named)
        kind = lightly(**options) if number == 2 else kind
