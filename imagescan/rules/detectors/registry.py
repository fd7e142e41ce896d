"""What a detector is, for documents that name one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from imagescan.facts import ImageFacts
from imagescan.rules.observation import Observation

ParameterValue = str | bool | int | tuple[str, ...] | Mapping[str, str]
Parameters = Mapping[str, ParameterValue]


@dataclass(frozen=True, slots=True)
class Detector:
    """A pure function from facts to observations, with a name.

    ``parameters`` gives each parameter's type (str, bool, int, or tuple for a list of texts);
    all are required. ``values`` are the names that templates may use besides the common ones.
    ``injected`` asks for a parameter of that name besides: who brings libraries when a container
    starts, by name pattern.
    """

    name: str
    detect: Callable[[ImageFacts, Parameters], Iterable[Observation]]
    parameters: Mapping[str, type] = field(default_factory=dict)
    values: frozenset[str] = frozenset()
    injected: bool = False


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
    return value if isinstance(value, Mapping) else {}
