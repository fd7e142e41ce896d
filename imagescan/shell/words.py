"""The values of a shell script's words, where they follow from the image and its config alone.

Words and a ``ShellState`` enter, fields leave, or None where a value is only known at run time.
Follows XCU 2.6: parameter expansion, field splitting by blanks. Names are never matched against
files: a pattern that is not quoted makes the word unknown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import translate

from imagescan.patterns import pattern
from imagescan.shell.state import ShellState
from imagescan.shell.syntax import Parameter, Substitution, Text, Word

MAXIMUM_VALUE = 1 << 16  # characters of one value or command: a script could double one for ever
MAXIMUM_FIELDS = 4096  # words of one command
MAXIMUM_PATTERN = 200  # characters of a pattern, and stars in it, so that matching stays short
MAXIMUM_STARS = 4
_DYNAMIC = frozenset(
    {
        "BASHPID", "DIRSTACK", "EPOCHSECONDS", "FUNCNAME", "GROUPS", "HOME", "HOSTNAME", "IFS", "LINENO",
        "LOGNAME", "MACHTYPE", "OLDPWD", "OPTARG", "OPTIND", "PIPESTATUS", "PPID", "RANDOM", "REPLY",
        "SECONDS", "SHLVL", "TERM", "USER", "_",
    }
)  # fmt: skip
_PATTERN = pattern(r"[*?\[]")

Substitute = Callable[[str, ShellState], str | None]


class Expander:
    """Expands words. ``zero`` is ``$0``, ``substitute`` answers for ``$(command)``.

    ``assumed`` is set when a value came from a variable that the image does not set.
    """

    def __init__(self, zero: str, uid: int, substitute: Substitute) -> None:
        self._zero = zero
        self._uid = uid
        self._substitute = substitute
        self.assumed = False

    def fields(self, words: Sequence[Word], state: ShellState) -> list[str] | None:
        """The fields of several words after splitting, None when one is not known."""
        fields: list[str] = []
        size = 0
        for word in words:
            expanded = self._split(word, state)
            if expanded is None or len(fields) + len(expanded) > MAXIMUM_FIELDS:
                return None
            size += sum(map(len, expanded))
            if size > MAXIMUM_VALUE:
                return None
            fields += expanded
        return fields

    def text(self, word: Word, state: ShellState) -> str | None:
        """The value of one word without splitting, as in an assignment."""
        texts: list[str] = []
        for part in word:
            if isinstance(part, Text):
                value: str | None = part.text
            elif isinstance(part, Parameter) and part.name in "@*" and not part.operator:
                value = None if state.positional is None else " ".join(state.positional)
            else:
                value = self._value(part, state)
            if value is None:
                return None
            texts.append(value)
        joined = "".join(texts)
        return joined if len(joined) <= MAXIMUM_VALUE else None

    def _split(self, word: Word, state: ShellState) -> list[str] | None:
        """One word as fields: unquoted values are split, ``"$@"`` gives one for each argument."""
        fields: list[str] = []
        current: str | None = None
        if state.positional == () and is_all_arguments(word):
            return []
        for part in word:
            if isinstance(part, Parameter) and part.name == "@" and not part.operator and not part.length:
                if state.positional is None or not _plain(state.positional, quoted=part.quoted):
                    return None
                pieces = list(state.positional)
            elif isinstance(part, Text):
                if not part.quoted and (_PATTERN.search(part.text) or part.text.startswith("~")):
                    return None
                pieces = [part.text]
            else:
                value = self._value(part, state)
                if value is None or (not part.quoted and _PATTERN.search(value)):
                    return None
                pieces = [value] if part.quoted else value.split()
            if pieces:
                fields += [(current or "") + pieces[0], *pieces[1:]]
                current = fields.pop()
            elif isinstance(part, Text) or (part.quoted and not isinstance(part, Parameter)):
                current = current or ""
        return [*fields, current] if current is not None else fields

    def _value(self, part: Parameter | Substitution, state: ShellState) -> str | None:
        if isinstance(part, Substitution):
            return None if part.command is None else self._substitute(part.command, state)
        value, is_set = self._parameter(part.name, state)
        if part.length:
            return str(len(value)) if is_set and value is not None else None
        operator = part.operator
        if not operator:
            return value if is_set or part.name.isdigit() else self._unset("")
        if operator == ":":
            return _piece(value, part.word) if is_set or part.name.isdigit() else self._unset("")
        if operator[-1] in "-=?+":
            return self._with_default(part, value, is_set, state)
        pattern = self._pattern_text(part.word, state)
        if value is None or pattern is None or not is_set:
            return None
        return _without(value, pattern, operator)

    def _unset(self, value: str | None) -> str | None:
        self.assumed = True
        return value

    def _parameter(self, name: str, state: ShellState) -> tuple[str | None, bool]:
        """The value (None when not known) and whether the parameter is set."""
        arguments = state.positional
        if name in ("@", "*"):
            return (None if arguments is None else " ".join(arguments)), arguments != ()
        if name == "#":
            return (None if arguments is None else str(len(arguments))), True
        if name == "0" or name == "BASH_SOURCE":
            return self._zero, True
        if name.isdigit():
            if arguments is None:
                return None, True
            position = int(name) if len(name) < 6 else MAXIMUM_FIELDS
            found = position <= len(arguments)
            return (arguments[position - 1] if found else ""), found
        if name in state.variables:
            self.assumed |= name in state.assumed
            return state.variables[name], True
        if name in ("UID", "EUID"):
            return str(self._uid), True
        if name == "PWD":
            return state.directory, True
        return (None, True) if name in _DYNAMIC or (not name[0].isalpha() and name[0] != "_") else ("", False)

    def _with_default(
        self, part: Parameter, value: str | None, is_set: bool, state: ShellState
    ) -> str | None:
        if value is None:
            return None
        present = is_set and not (part.operator[0] == ":" and value == "")
        given = is_set or part.name.isdigit() or part.name in "@*"
        kind = part.operator[-1]
        if kind == "?":
            return value if present else None
        if (kind == "+") == present:
            text = self.text(part.word, state)
            if kind == "=" and not given:
                state.assign(part.name, text, assumed=True)
            return text if given else self._unset(text)
        result = "" if kind == "+" else value
        return result if given else self._unset(result)

    def _pattern_text(self, word: Word, state: ShellState) -> str | None:
        """A pattern with its quoted parts made literal."""
        texts: list[str] = []
        for part in word:
            if isinstance(part, Text):
                text: str | None = part.text
            else:
                text = self._value(part, state)
            if text is None:
                return None
            quoted = part.quoted
            texts.append(re.sub(r"([*?\[\]])", r"[\1]", text) if quoted else text)
        return "".join(texts)

    def matches(self, value: str, pattern: Word, state: ShellState) -> bool | None:
        """Whether a value matches a pattern, as ``case`` and ``[[ = ]]`` ask; None when not known."""
        text = self._pattern_text(pattern, state)
        regular = compiled(text) if text is not None else None
        return None if regular is None else regular.match(value) is not None


def _piece(value: str | None, word: Word) -> str | None:
    """``${name:start}`` and ``${name:start:length}``, of bash and busybox."""
    if value is None or not isinstance(word[0], Text):
        return None
    start, _, length = word[0].text.partition(":")
    return value[int(start) : int(start) + int(length)] if length else value[int(start) :]


def is_all_arguments(word: Word) -> bool:
    """Whether a word is ``"$@"`` and nothing else, which gives no field where there are no arguments."""
    others = [part for part in word if not (isinstance(part, Text) and part.text == "")]
    return len(others) == 1 and isinstance(others[0], Parameter) and others[0].name == "@"


def _plain(values: Sequence[str], *, quoted: bool) -> bool:
    """Whether ``$@`` gives its values as they are: quoted, or nothing in them would be split."""
    return quoted or all(value and not _PATTERN.search(value) and not value.split()[1:] for value in values)


def compiled(pattern: str) -> re.Pattern[str] | None:
    """A shell pattern as a regular expression; None when matching could take long."""
    if len(pattern) > MAXIMUM_PATTERN or pattern.count("*") > MAXIMUM_STARS:
        return None
    try:
        return re.compile(translate(pattern.replace("[^", "[!")))
    except re.error:
        return None


def _without(value: str, pattern: str, operator: str) -> str | None:
    """``${name#pattern}`` and its kin."""
    regular = compiled(pattern)
    if regular is None or len(value) > MAXIMUM_FIELDS:
        return None
    lengths = range(len(value) + 1)
    order = reversed(lengths) if len(operator) == 2 else iter(lengths)
    for length in order:
        piece = value[:length] if operator[0] == "#" else value[len(value) - length :]
        if regular.match(piece):
            return value[length:] if operator[0] == "#" else value[: len(value) - length]
    return value
