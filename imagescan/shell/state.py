"""What a shell knows at one point of a script, as far as it can be known without running it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from imagescan.dataclasses import dataclass, field, replace
from imagescan.shell.syntax import Command


@dataclass(slots=True)
class ShellState:
    """The state between two commands; copied where ways part, merged where they meet.

    A variable that is present with None has a value that is not known, as ``positional`` (``$@``)
    and ``directory`` may have. ``assumed`` are variables whose value came from one that the image
    does not set, so that a deployment may. ``certain`` is false once something was started that may
    change what is found later, or a way was possible that does not come to this point.
    """

    positional: tuple[str, ...] | None
    variables: dict[str, str | None]
    exported: set[str]
    directory: str | None
    functions: dict[str, Command] = field(default_factory=dict)
    assumed: set[str] = field(default_factory=set)
    certain: bool = True
    errexit: bool = False

    def copy(self) -> ShellState:
        """Another state of the same content."""
        return replace(
            self,
            variables=dict(self.variables),
            exported=set(self.exported),
            functions=dict(self.functions),
            assumed=set(self.assumed),
        )

    def assign(self, name: str, value: str | None, *, assumed: bool = False) -> None:
        """Give a variable a value, None when it is not known."""
        self.variables[name] = value
        (self.assumed.add if assumed else self.assumed.discard)(name)

    def environment(self) -> Mapping[str, str]:
        """The variables that a started program gets, without those that are not known."""
        return {
            name: value
            for name, value in self.variables.items()
            if value is not None and name in self.exported
        }


def merged(states: Iterable[ShellState | None]) -> ShellState | None:
    """The state where several ways meet: what they agree in. None where no way goes on."""
    alive = [state for state in states if state is not None]
    if not alive:
        return None
    result = alive[0].copy()
    for other in alive[1:]:
        if other.positional != result.positional:
            result.positional = None
        if other.directory != result.directory:
            result.directory = None
        for name in result.variables.keys() | other.variables.keys():
            if (
                name not in result.variables
                or name not in other.variables
                or result.variables[name] != other.variables[name]
            ):
                result.variables[name] = None
        result.exported |= other.exported
        result.assumed |= other.assumed
        result.functions = {**result.functions, **other.functions}
        result.certain &= other.certain
        result.errexit &= other.errexit
    return result
