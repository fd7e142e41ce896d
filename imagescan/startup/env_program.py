"""What ``env`` starts, and with which variables.

env's own words and its environment enter, ``EnvCall`` leaves. GNU coreutils env (``-S`` as in its
``build_argv``), whose options busybox's has too, except ``-S``, ``-C`` and the long ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from imagescan.dataclasses import dataclass, field
from imagescan.patterns import pattern

MAXIMUM_WORDS = 4096  # words after a split: it could grow with every option
MAXIMUM_SHOWN = 80  # characters of a refused option

_VALUES = {"unset": "u", "chdir": "C", "argv0": "a", "split-string": "S"}
_FLAGS = ("ignore-environment", "null", "debug", "list-signal-handling")
_SIGNALS = ("block-signal", "default-signal", "ignore-signal")
_VARIABLE = pattern(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v", "_": " ", "#": "#", "$": "$"}
_MEANT = frozenset("\"'\\#$")


@dataclass(frozen=True, slots=True)
class EnvCall:
    """``words`` is what is started, () for nothing; ``variables`` its environment, ``directory`` where
    ("" where env stands). ``refused`` is the option that env does not take, ``unsplit`` says that the
    program's name has blanks because ``-S`` is missing."""

    words: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    directory: str = ""
    refused: str = ""
    unsplit: bool = False


def read_env(words: tuple[str, ...], variables: Mapping[str, str], *, busybox: bool = False) -> EnvCall:
    """Read what follows the name ``env``.

    Args:
        words: env's arguments.
        variables: its environment, which ``${NAME}`` in ``-S`` and the command get.
        busybox: the applet, which has no ``-S``.
    """
    current = dict(variables)
    pending, directory = list(words), ""
    while pending:
        word = pending[0]
        if not word.startswith("-") or word == "-":
            break
        del pending[0]
        if word == "--":
            break
        for letter, value in _options(word, pending, busybox=busybox):
            if letter == "i":
                current.clear()
            elif letter == "u":
                current.pop(value, None)
            elif letter == "C":
                directory = value
            elif letter == "S":
                split = split_string(value, variables)
                if split is None:
                    return EnvCall((), refused=word)
                pending[:0] = split
                if len(pending) > MAXIMUM_WORDS:
                    return EnvCall((), refused=word[:MAXIMUM_SHOWN])
            elif letter not in "0va":
                return EnvCall((), refused=word)
    return _with_assignments(pending, current, directory)


def _with_assignments(words: list[str], variables: dict[str, str], directory: str) -> EnvCall:
    position = 0
    if words[:1] == ["-"]:
        variables.clear()
        position = 1
    while position < len(words) and "=" in words[position]:
        name, _, value = words[position].partition("=")
        variables[name] = value
        position += 1
    command = tuple(words[position:])
    unsplit = bool(command) and any(blank in command[0] for blank in " \t")
    return EnvCall(command, variables, directory, unsplit=unsplit)


def _options(word: str, following: list[str], *, busybox: bool) -> Iterator[tuple[str, str]]:
    """The options of one word as letters with values; a value may be the next word. ``?`` is unknown."""
    if word.startswith("--"):
        name, equals, value = word[2:].partition("=")
        known = [one for one in (*_VALUES, *_FLAGS, *_SIGNALS) if one == name or one.startswith(name)]
        if busybox or len(known) != 1:
            yield "?", ""
        elif known[0] in _VALUES:
            yield _VALUES[known[0]], value if equals else following.pop(0) if following else ""
        else:
            yield {"ignore-environment": "i", "null": "0"}.get(known[0], "v"), ""
        return
    for position, letter in enumerate(word[1:], start=2):
        if letter in ("u" if busybox else "uCSa"):
            rest = word[position:]
            yield letter, rest or (following.pop(0) if following else "")
            return
        yield letter if letter in ("i0" if busybox else "i0v") else "?", ""


def split_string(text: str, variables: Mapping[str, str]) -> list[str] | None:
    """Split as ``env -S`` does: quotes, backslash escapes, ``#`` comments, ``${NAME}``.

    None where env refuses it: a quote that is not closed, a ``$`` without braces, a wrong escape.
    """
    splitter = _Splitter(text, variables)
    return splitter.words() if splitter.run() else None


class _Splitter:
    def __init__(self, text: str, variables: Mapping[str, str]) -> None:
        self._text = text
        self._variables = variables
        self._at = 0
        self._quote = ""
        self._done: list[str] = []
        self._word: list[str] | None = None

    def words(self) -> list[str]:
        """What was split."""
        return [*self._done, "".join(self._word)] if self._word is not None else self._done

    def run(self) -> bool:
        """Go through the text; False where env refuses it."""
        while self._at < len(self._text):
            character = self._text[self._at]
            self._at += 1
            if character == "\\":
                going = self._escape()
            elif character == "$" and self._quote != "'":
                going = self._expand()
            else:
                going = self._plain(character)
            if going is None:
                break
            if not going:
                return False
        return not self._quote

    def _add(self, text: str) -> None:
        if self._word is None:
            self._word = []
        self._word.append(text)

    def _end_word(self) -> None:
        if self._word is not None:
            self._done.append("".join(self._word))
            self._word = None

    def _plain(self, character: str) -> bool | None:
        if self._quote:
            if character == self._quote:
                self._quote = ""
            else:
                self._add(character)
        elif character in "'\"":
            self._quote = character
            self._add("")
        elif character in " \t\n\r\f\v":
            self._end_word()
        elif character == "#" and self._word is None:
            return None
        else:
            self._add(character)
        return True

    def _escape(self) -> bool | None:
        following = self._text[self._at : self._at + 1]
        if self._quote == "'" and following not in ("\\", "'"):
            self._add("\\")
            return True
        self._at += 1
        if following == "c" and not self._quote:
            return None
        if following == "_" and not self._quote:
            self._end_word()
        elif following in _ESCAPES or following in _MEANT:
            self._add(_ESCAPES.get(following, following))
        else:
            return False
        return bool(following)

    def _expand(self) -> bool:
        match = _VARIABLE.match(self._text, self._at)
        if match is None:
            return False
        self._at = match.end()
        value = self._variables.get(match[1])
        if value:
            self._add(value)
        return True
