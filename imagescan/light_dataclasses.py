"""How ``imagescan.dataclasses`` makes its classes; see there for why."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from operator import attrgetter
from typing import Any

_FIELDS = "__light_fields__"  # the attribute of a class that has its fields by name
_NOTHING: Any = object()
_Getter: Any = type(vars(namedtuple("_Example", "field"))["field"])  # what reads an item of a named tuple
_FEW_VALUES = 2  # of a class that is not worth an ``__init__`` of its own: compiling one takes as long as 20


class Field:
    """One attribute of a data class."""

    __slots__ = ("compare", "default", "default_factory", "name", "repr")

    def __init__(self, default: Any, default_factory: Any, repr: bool, compare: bool) -> None:  # noqa: ANN401
        self.name = ""
        self.default, self.default_factory = default, default_factory
        self.repr, self.compare = repr, compare


def field(
    *,
    default: Any = _NOTHING,  # noqa: ANN401 - of any type
    default_factory: Any = _NOTHING,  # noqa: ANN401
    repr: bool = True,
    compare: bool = True,
) -> Any:  # noqa: ANN401
    """See ``dataclasses.field``."""
    return Field(default, default_factory, repr, compare)


def dataclass(*, frozen: bool = False, slots: bool = False, eq: bool = True) -> Callable[[type], type]:
    """See ``dataclasses.dataclass``."""

    def make(kind: type) -> type:
        own = _own_fields(kind)
        found = {
            name: one for base in kind.__mro__[:0:-1] for name, one in getattr(base, _FIELDS, {}).items()
        }
        found |= own
        body = dict(vars(kind))
        for name, one in own.items():
            if slots or one.default is _NOTHING:
                body.pop(name, None)
            else:
                body[name] = one.default
        body[_FIELDS] = found
        body["__match_args__"] = tuple(found)
        body["__dataclass_fields__"] = _STANDARD_FIELDS
        if slots:
            body["__slots__"] = tuple(own)
            body.setdefault("__getstate__", _get_state)
            body.setdefault("__setstate__", _set_state)
        _add_methods(body, found, frozen=frozen, eq=eq)
        body.pop("__dict__", None)
        body.pop("__weakref__", None)
        made = type(kind)(kind.__name__, kind.__bases__, body)
        if "__init__" not in body:
            made.__init__ = _late_init(made, found)  # type: ignore[misc]
        return made

    return make


def fields(value: Any) -> tuple[Any, ...]:  # noqa: ANN401 - a value or its class
    """See ``dataclasses.fields``; each has a ``name``."""
    found = getattr(value, _FIELDS, None)
    if found is not None:
        return tuple(found.values())
    from dataclasses import fields as standard

    return standard(value)


def is_dataclass(value: object) -> bool:
    """See ``dataclasses.is_dataclass``."""
    return hasattr(value, _FIELDS) or hasattr(value, "__dataclass_fields__")


def replace(value: Any, /, **changes: Any) -> Any:  # noqa: ANN401 - a value of any data class
    """See ``dataclasses.replace``."""
    for name in type(value).__match_args__:
        if name not in changes:
            changes[name] = getattr(value, name)
    return value.__class__(**changes)


def _own_fields(kind: type) -> dict[str, Field]:
    found = {}
    for name in kind.__annotations__:
        default = vars(kind).get(name, _NOTHING)
        one = default if isinstance(default, Field) else Field(default, _NOTHING, True, True)
        one.name = name
        found[name] = one
    return found


def _add_methods(body: dict[str, Any], found: Mapping[str, Field], *, frozen: bool, eq: bool) -> None:
    if frozen:
        body["__setattr__"] = _refuse
        body["__delattr__"] = _refuse
    body.setdefault("__repr__", _repr)
    if eq and "__eq__" not in body:
        key = _key(one.name for one in found.values() if one.compare)
        body["__eq__"] = lambda self, other: (
            key(self) == key(other) if other.__class__ is self.__class__ else NotImplemented
        )
        body.setdefault("__hash__", (lambda self: hash(key(self))) if frozen else None)


def _key(names: Iterable[str]) -> Callable[[Any], Any]:
    """What two values are compared by."""
    wanted = tuple(names)
    return attrgetter(*wanted) if wanted else lambda _: ()


def _late_init(kind: type, found: Mapping[str, Field]) -> Callable[..., None]:
    """An ``__init__`` that puts a compiled one into its place when more than a few values are made, or when
    its arguments do not fit."""
    calls = count(1)

    def __init__(self: Any, *values: Any, **named: Any) -> None:  # noqa: ANN401, N807
        arguments = _arguments(found, values, named) if next(calls) <= _FEW_VALUES else None
        if arguments is None:
            kind.__init__ = _compiled_init(kind, found)  # type: ignore[misc]
            kind.__init__(self, *values, **named)  # type: ignore[misc]
            return
        for name, value in arguments.items():
            object.__setattr__(self, name, value)
        if hasattr(kind, "__post_init__"):
            self.__post_init__()

    return __init__


def _arguments(
    found: Mapping[str, Field], values: tuple[Any, ...], named: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The value of each field; None where there are too few, too many or others."""
    given = dict(zip(found, values, strict=False))
    if len(values) > len(found) or not named.keys() <= found.keys() - given.keys():
        return None
    given |= named
    for name, one in found.items():
        if name not in given:
            if one.default_factory is not _NOTHING:
                given[name] = one.default_factory()
            elif one.default is not _NOTHING:
                given[name] = one.default
            else:
                return None
    return given


def _compiled_init(kind: type, found: Mapping[str, Field]) -> Callable[..., None]:
    scope: dict[str, Any] = {"_nothing": _NOTHING, "_set": object.__setattr__}
    parameters, lines = [], []
    is_frozen = kind.__setattr__ is _refuse
    for name, one in found.items():
        value = name
        if one.default_factory is not _NOTHING:
            scope[f"_make_{name}"] = one.default_factory
            parameters.append(f"{name}=_nothing")
            value = f"_make_{name}() if {name} is _nothing else {name}"
        elif one.default is not _NOTHING:
            scope[f"_default_{name}"] = one.default
            parameters.append(f"{name}=_default_{name}")
        else:
            parameters.append(name)
        member: Any = getattr(kind, name, None)
        if not is_frozen:
            lines.append(f"    self.{name} = {value}")
        elif hasattr(member, "__set__"):  # a slot: its own setter is the fastest way
            scope[f"_set_{name}"] = member.__set__
            lines.append(f"    _set_{name}(self, {value})")
        else:
            lines.append(f"    _set(self, {name!r}, {value})")
    if hasattr(kind, "__post_init__"):
        lines.append("    self.__post_init__()")
    source = "\n".join((f"def __init__(self, {', '.join(parameters)}):", *(lines or ["    pass"])))
    exec(source, scope)  # noqa: S102 - names of this program's own classes
    made: Callable[..., None] = scope["__init__"]
    made.__qualname__ = f"{kind.__qualname__}.__init__"
    return made


class _MadeLight(type):
    """Makes the classes that are written as subclasses of ``NamedTuple``."""

    def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> Any:  # noqa: ANN401
        if not bases:
            return super().__new__(cls, name, bases, body)
        names = tuple(body.get("__annotations__", ()))
        defaults = {one: body[one] for one in names if one in body}
        body |= {one: _Getter(position, "") for position, one in enumerate(names)}
        body |= {"__slots__": (), "__match_args__": names, "_fields": names, "_field_defaults": defaults}
        body["_make"] = classmethod(tuple.__new__)
        body["_replace"] = _replace_items
        body.setdefault("__repr__", _repr_of_items)
        body["__getnewargs__"] = lambda self: tuple(self)
        body["__new__"] = _late_new(names, defaults)
        return type(name, (tuple,), body)


class NamedTuple(metaclass=_MadeLight):
    """See ``typing.NamedTuple``."""


def _late_new(names: tuple[str, ...], defaults: Mapping[str, Any]) -> Callable[..., Any]:
    """A ``__new__`` that at its first call puts a compiled one into its place."""

    def __new__(cls: Any, *values: Any, **named: Any) -> Any:  # noqa: ANN401, N807
        owner = next(one for one in cls.__mro__ if "_fields" in vars(one))
        owner.__new__ = staticmethod(_compiled_new(owner.__name__, names, defaults))
        return owner.__new__(cls, *values, **named)

    return __new__


def _compiled_new(name: str, names: tuple[str, ...], defaults: Mapping[str, Any]) -> Callable[..., Any]:
    scope = {"_new": tuple.__new__, **{f"_default_{one}": value for one, value in defaults.items()}}
    parameters = (f"{one}=_default_{one}" if one in defaults else one for one in names)
    source = f"def __new__(_cls, {', '.join(parameters)}): return _new(_cls, ({', '.join(names)},))"
    exec(source, scope)  # noqa: S102 - names of this program's own classes
    made: Callable[..., Any] = scope["__new__"]
    made.__qualname__ = f"{name}.__new__"
    return made


def _replace_items(self: Any, /, **changes: Any) -> Any:  # noqa: ANN401 - a named tuple
    items = dict(zip(self._fields, self, strict=True))
    if not changes.keys() <= items.keys():
        raise ValueError(f"got unexpected field names: {sorted(changes.keys() - items.keys())}")
    return self._make((items | changes).values())


def _repr_of_items(self: Any) -> str:  # noqa: ANN401 - a named tuple
    shown = (f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
    return f"{type(self).__name__}({', '.join(shown)})"


class _StandardFields:
    """What functions of the standard library look for, made when one of them does."""

    def __get__(self, value: object, kind: type) -> Mapping[str, Any]:
        import dataclasses

        members = []
        for name, one in getattr(kind, _FIELDS).items():
            options: dict[str, Any] = {"repr": one.repr, "compare": one.compare}
            if one.default_factory is not _NOTHING:
                options["default_factory"] = one.default_factory
            elif one.default is not _NOTHING:
                options["default"] = one.default
            members.append((name, Any, dataclasses.field(**options)))
        standard: Any = dataclasses.make_dataclass(kind.__name__, members)
        found: Mapping[str, Any] = standard.__dataclass_fields__
        return found


_STANDARD_FIELDS = _StandardFields()


def _refuse(self: object, name: str, *_: object) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot change {name!r} of a {type(self).__name__}")


def _repr(self: Any) -> str:  # noqa: ANN401 - a value of any data class
    shown = (f"{one.name}={getattr(self, one.name)!r}" for one in fields(self) if one.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _get_state(self: Any) -> list[Any]:  # noqa: ANN401 - a value of any data class
    return [getattr(self, name) for name in type(self).__match_args__]


def _set_state(self: Any, state: Iterable[Any]) -> None:  # noqa: ANN401 - a value of any data class
    for name, value in zip(type(self).__match_args__, state, strict=True):
        object.__setattr__(self, name, value)
