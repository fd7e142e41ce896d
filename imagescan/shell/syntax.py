"""What a shell script is made of, as the parser hands it on: words, commands and lists of them.

The vocabulary of the POSIX shell grammar (XCU 2.10), with bash's ``[[ ]]`` and functions. Of
substitutions only the text is kept: nothing is ever run.
"""

from __future__ import annotations

from typing import TypeAlias

from imagescan.dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """Literal text; ``quoted`` keeps it from being split or taken for a pattern or a reserved word."""

    text: str
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Parameter:
    """``$name`` or ``${name}``; ``operator`` and ``word`` are what follows the name in braces
    (``:-``, ``#``, ``%%``, ...; ``:`` for a part), "" for none, ``length`` marks ``${#name}``."""

    name: str
    operator: str = ""
    word: Word = ()
    quoted: bool = False
    length: bool = False


@dataclass(frozen=True, slots=True)
class Substitution:
    """``$(command)`` or backquotes, or (``command`` is None) something whose value is never known."""

    command: str | None
    quoted: bool = False


Part: TypeAlias = Text | Parameter | Substitution
Word: TypeAlias = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Simple:
    """A simple command: assignments before it, its words; ``line`` counts from 1."""

    assignments: tuple[tuple[str, Word], ...]
    words: tuple[Word, ...]
    line: int


@dataclass(frozen=True, slots=True)
class If:
    """``if``: pairs of a condition and what follows, and the ``else`` part."""

    arms: tuple[tuple[Script, Script], ...]
    otherwise: Script


@dataclass(frozen=True, slots=True)
class Loop:
    """``while``, ``until`` (the condition is part of ``body``'s round) or ``for``; how often is not known.

    ``name`` is the variable of a ``for``, "" for others."""

    condition: Script
    body: Script
    name: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """``case``: the word, and pairs of patterns and what follows."""

    word: Word
    arms: tuple[tuple[tuple[Word, ...], Script], ...]


@dataclass(frozen=True, slots=True)
class Group:
    """``{ }``, or with ``subshell`` ``( )``."""

    body: Script
    subshell: bool = False


@dataclass(frozen=True, slots=True)
class Function:
    """A function's definition."""

    name: str
    body: Command


@dataclass(frozen=True, slots=True)
class Opaque:
    """Something that has no effect that is followed: ``(( ))``. Its outcome is not known."""

    line: int


Command: TypeAlias = Simple | If | Loop | Case | Group | Function | Opaque


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands joined by ``|``; ``negated`` by a leading ``!``."""

    commands: tuple[Command, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class AndOr:
    """Pipelines joined by ``&&`` and ``||`` (``operators`` has one less); ``background`` by ``&``."""

    pipelines: tuple[Pipeline, ...]
    operators: tuple[str, ...]
    background: bool = False


Script: TypeAlias = tuple[AndOr, ...]


class UnreadableScript(Exception):
    """The text is no shell script that this parser understands."""
