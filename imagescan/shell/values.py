"""What a walk through a shell script hands on, and what it asks.

``Started`` is one program that a script starts, ``Place`` where in the script a command stands.
"""

from __future__ import annotations

from collections.abc import Callable

from imagescan.dataclasses import dataclass, replace
from imagescan.shell.state import ShellState
from imagescan.shell.syntax import Script


@dataclass(frozen=True, slots=True)
class Started:
    """One program that a script starts.

    ``words`` is its command line, None when it is only known at run time. ``replaces`` says that it
    takes the shell's place (``exec``). ``reached`` is false where the script may not come by;
    ``decides`` says that the script ends in failure when the program cannot be started. ``last``
    marks what nothing follows. ``state`` is the shell's, with what is assigned before the command.
    """

    words: tuple[str, ...] | None
    line: int
    replaces: bool
    reached: bool
    decides: bool
    last: bool
    state: ShellState

    @property
    def certain(self) -> bool:
        """Whether a program that is missing now makes the script fail."""
        return self.reached and self.decides and self.state.certain


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command stands.

    ``last`` of all; ``decisive`` where its failure is the script's (also the left side of a last
    ``&&``); ``caught`` where its failure is looked at; ``reached`` for sure or only perhaps;
    ``inside`` a subshell or a pipeline, where ``exec`` does not replace the script's own shell.
    """

    last: bool = False
    decisive: bool = False
    caught: bool = False
    reached: bool = True
    inside: bool = False

    def within(self, *, last: bool) -> Place:
        """The place of one of several commands."""
        return replace(self, last=self.last and last, decisive=self.decisive and last)

    @property
    def condition(self) -> Place:
        """The place of a condition."""
        return replace(self, last=False, decisive=False, caught=True)


@dataclass(frozen=True, slots=True)
class Questions:
    """What the walk asks of the image: how a file test comes out, whether a program is found, and the
    parsed text of a file that is sourced (None when it cannot be had)."""

    file_test: Callable[[str, str, ShellState], bool | None]
    is_found: Callable[[str, ShellState], bool | None]
    source: Callable[[str, ShellState], Script | None]
