"""What a detector is, for documents that name one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import cast

from imagescan.dataclasses import dataclass, field
from imagescan.facts import ImageFacts
from imagescan.rules.observation import Observation

ParameterValue = str | bool | int | tuple[str, ...] | Mapping[str, str] | Mapping[str, tuple[str, ...]]
Parameters = Mapping[str, ParameterValue]


@dataclass(frozen=True, slots=True)
class Detector:
    """A pure function from facts to observations, with a name.

    ``parameters`` gives each parameter's type (str, bool, int, or tuple for a list of texts);
    all are required. ``values`` are the names that templates may use besides the common ones.
    ``asks`` are parameters of what is known besides: ``injected``, who brings libraries when a container
    starts, by name pattern; ``packages``, the packages of the image's release by library.
    """

    name: str
    detect: Callable[[ImageFacts, Parameters], Iterable[Observation]]
    parameters: Mapping[str, type] = field(default_factory=dict)
    values: frozenset[str] = frozenset()
    asks: frozenset[str] = frozenset()


def text(parameters: Parameters, name: str) -> str:
    """A parameter that is a text."""
    return str(parameters[name])


def texts(parameters: Parameters, name: str) -> tuple[str, ...]:
    """A parameter that is a list of texts."""
    value = parameters[name]
    return value if isinstance(value, tuple) else (str(value),)


def table(parameters: Parameters, name: str) -> Mapping[str, str]:
    """A parameter that maps texts to texts; empty when it was not given."""
    value = parameters.get(name, {})
    return cast("Mapping[str, str]", value) if isinstance(value, Mapping) else {}


def package_table(parameters: Parameters, name: str) -> Mapping[str, tuple[str, ...]]:
    """A parameter that maps library names to packages; empty when it was not given."""
    value = parameters.get(name, {})
    return cast("Mapping[str, tuple[str, ...]]", value) if isinstance(value, Mapping) else {}
