"""From a shell script's text to its tokens.

Text enters, ``Token`` values leave. Follows XCU 2.2 (quoting), 2.3 (token recognition), 2.6
(expansions, kept as parts of a word) and 2.7 (redirections, which are passed over).
"""

from __future__ import annotations

from itertools import groupby

from imagescan.dataclasses import dataclass
from imagescan.patterns import pattern
from imagescan.shell.syntax import Parameter, Part, Substitution, Text, UnreadableScript, Word

REDIRECTION = "<>"  # the operator of a redirection, whose target is part of the token
MAXIMUM_NESTING = 40  # expansions and commands inside each other

_OPERATORS = ("&&", "||", ";;&", ";;", ";&", "|&", "&", "|", ";", "(", ")", "\n")
_REDIRECTION = pattern(r"[0-9]*(?:<<<|<<-|<<|<&|<>|>>|>&|>\||<(?!\()|>(?!\())|&>>|&>")
_NAME = pattern(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-]")
_SHORT_NAME = pattern(r"[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-]")
_SUBSTRING = pattern(r":([0-9]{1,4}(?::[0-9]{1,4})?)\}")
_OPERATOR_IN_BRACES = pattern(r":?[-=?+]|##?|%%?")
_UNQUOTED_RUN = pattern(r"""[^\s;&|()<>\\$`'"]+""")
_QUOTED_RUN = pattern(r'[^"\\$`]+')
_WORD_IN_BRACES = pattern(r"""[^}\\$`'"]+""")
_ENDS_WORD = frozenset(" \t\n;&|()<>")


@dataclass(frozen=True, slots=True)
class Token:
    """A word, or (``word`` is None) an operator; ``operator`` "" with no word is the end."""

    word: Word | None
    operator: str
    line: int
    adjacent: bool = False  # no blank before it

    @property
    def plain(self) -> str:
        """The text of a word without quotes and expansions, which may be a reserved word; else ""."""
        if self.word is None or len(self.word) != 1 or not isinstance(self.word[0], Text):
            return ""
        return "" if self.word[0].quoted else self.word[0].text


class Lexer:
    """Reads tokens one after the other."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._pending: list[tuple[str, bool]] = []  # here-documents that begin at the next line

    def next(self) -> Token:
        """The next token; the last is an operator "" at the end of the text.

        Raises:
            UnreadableScript: a quote or a bracket is not closed, or expansions nest too deep.
        """
        start = self._at
        self._skip_blanks()
        adjacent = self._at == start and start > 0
        line = self._line
        if self._at >= len(self._text):
            return Token(None, "", line)
        match = _REDIRECTION.match(self._text, self._at)
        if match is not None:
            self._redirect(match[0])
            return Token(None, REDIRECTION, line, adjacent)
        for operator in _OPERATORS:
            if self._text.startswith(operator, self._at):
                self._advance(len(operator))
                if operator == "\n":
                    self._skip_documents()
                return Token(None, operator, line, adjacent)
        return Token(self._word(), "", line, adjacent)

    def test_words(self) -> list[Word]:
        """The words up to ``]]``, where operators are words too."""
        words: list[Word] = []
        while True:
            self._skip_blanks(newlines=True)
            if self._at >= len(self._text):
                raise UnreadableScript("[[ is not closed")
            symbol = next((s for s in ("&&", "||", "(", ")", "<", ">") if self._peek(s)), "")
            if symbol:
                self._advance(len(symbol))
                words.append((Text(symbol),))
                continue
            word = self._word()
            if word == (Text("]]"),):
                return words
            words.append(word)

    def skip_parentheses(self) -> None:
        """Pass over the rest of a pair of parentheses whose first was just read."""
        self._enclosed(")", "(")

    def _peek(self, text: str) -> bool:
        return self._text.startswith(text, self._at)

    def _advance(self, count: int) -> None:
        self._line += self._text.count("\n", self._at, self._at + count)
        self._at += count

    def _skip_blanks(self, *, newlines: bool = False) -> None:
        text = self._text
        while self._at < len(text):
            if text[self._at] in " \t\r" or (newlines and text[self._at] == "\n"):
                self._advance(1)
            elif text.startswith("\\\n", self._at):
                self._advance(2)
            elif text[self._at] == "#":
                end = text.find("\n", self._at)
                self._at = len(text) if end < 0 else end
            else:
                return

    def _redirect(self, operator: str) -> None:
        self._advance(len(operator))
        self._skip_blanks()
        word = self._word()
        if operator.lstrip("0123456789") in ("<<", "<<-"):
            delimiter = "".join(part.text for part in word if isinstance(part, Text))
            self._pending.append((delimiter, operator.endswith("-")))

    def _skip_documents(self) -> None:
        for delimiter, tabs in self._pending:
            while self._at < len(self._text):
                end = self._text.find("\n", self._at)
                end = len(self._text) if end < 0 else end
                line = self._text[self._at : end]
                self._advance(min(end + 1, len(self._text)) - self._at)
                if (line.lstrip("\t") if tabs else line) == delimiter:
                    break
        self._pending.clear()

    def _word(self) -> Word:
        parts: list[Part] = []
        if self._peek("<(") or self._peek(">("):  # process substitution
            self._advance(2)
            self._enclosed(")", "(")
            parts.append(Substitution(None))
        while self._at < len(self._text) and self._text[self._at] not in _ENDS_WORD:
            parts.extend(self._part(0, quoted=False))
        if not parts:
            raise UnreadableScript(f"unexpected {self._text[self._at : self._at + 1]!r}")
        return _joined(parts)

    def _part(self, depth: int, *, quoted: bool) -> list[Part]:
        """One quoted or unquoted piece."""
        if depth > MAXIMUM_NESTING:
            raise UnreadableScript("expansions nest too deep")
        character = self._text[self._at]
        if character == "\\":
            return self._escaped(quoted=quoted)
        if character == "$":
            return self._dollar(depth, quoted=quoted)
        if character == "`":
            return [Substitution(self._backquoted(), quoted)]
        if character == "'" and not quoted:
            end = self._text.find("'", self._at + 1)
            if end < 0:
                raise UnreadableScript("a quote is not closed")
            text = self._text[self._at + 1 : end]
            self._advance(end + 1 - self._at)
            return [Text(text, True)]
        if character == '"' and not quoted:
            return self._double_quoted(depth)
        match = (_QUOTED_RUN if quoted else _UNQUOTED_RUN).match(self._text, self._at)
        text = match[0] if match else character
        self._advance(len(text))
        return [Text(text, quoted)]

    def _escaped(self, *, quoted: bool) -> list[Part]:
        following = self._text[self._at + 1 : self._at + 2]
        self._advance(1 + len(following))
        if following == "\n":
            return []
        if quoted and following not in '$`"\\':
            return [Text("\\" + following, True)]
        return [Text(following or "\\", True)]

    def _double_quoted(self, depth: int) -> list[Part]:
        self._advance(1)
        parts: list[Part] = [Text("", True)]
        while self._at < len(self._text):
            if self._text[self._at] == '"':
                self._advance(1)
                return parts
            parts.extend(self._part(depth + 1, quoted=True))
        raise UnreadableScript("a quote is not closed")

    def _dollar(self, depth: int, *, quoted: bool) -> list[Part]:
        if self._peek("$(("):
            self._advance(2)
            self._enclosed(")", "(")
            return [Substitution(None, quoted)]
        if self._peek("$("):
            self._advance(2)
            return [Substitution(self._enclosed(")", "("), quoted)]
        if self._peek("${"):
            self._advance(2)
            return [self._braces(depth, quoted=quoted)]
        if not quoted and (self._peek("$'") or self._peek('$"')):
            self._advance(1)
            return self._part(depth, quoted=quoted)
        match = _SHORT_NAME.match(self._text, self._at + 1)
        self._advance(1 + (len(match[0]) if match else 0))
        return [Parameter(match[0], quoted=quoted) if match else Text("$", quoted)]

    def _braces(self, depth: int, *, quoted: bool) -> Part:
        """After ``${``. What is not plain POSIX (arrays, substrings, replacements) is never known."""
        length = self._peek("#") and not self._peek("#}")
        at = self._at + length
        match = _NAME.match(self._text, at)
        if match is None or (length and not self._text.startswith("}", match.end())):
            self._enclosed("}", "{")
            return Substitution(None, quoted)
        self._advance(match.end() - self._at)
        piece = _SUBSTRING.match(self._text, self._at)
        if piece is not None:
            self._advance(len(piece[0]))
            return Parameter(match[0], ":", (Text(piece[1]),), quoted)
        operator = _OPERATOR_IN_BRACES.match(self._text, self._at)
        if operator is None:
            known = self._peek("}")
            self._enclosed("}", "{")
            return Parameter(match[0], quoted=quoted, length=length) if known else Substitution(None, quoted)
        self._advance(len(operator[0]))
        parts: list[Part] = []
        while not self._peek("}"):
            if self._at >= len(self._text):
                raise UnreadableScript("a brace is not closed")
            run = _WORD_IN_BRACES.match(self._text, self._at)
            if run is not None:
                self._advance(len(run[0]))
                parts.append(Text(run[0]))
            else:
                parts.extend(self._part(depth + 1, quoted=False))
        self._advance(1)
        return Parameter(match[0], operator[0], _joined(parts), quoted)

    def _backquoted(self) -> str:
        start = self._at + 1
        end = self._text.find("`", start)
        if end < 0:
            raise UnreadableScript("a backquote is not closed")
        self._advance(end + 1 - self._at)
        return self._text[start:end]

    def _enclosed(self, close: str, opening: str, nesting: int = 0) -> str:
        """The text up to the bracket that closes; quotes and inner pairs are passed over."""
        if nesting > MAXIMUM_NESTING:
            raise UnreadableScript("expansions nest too deep")
        start, depth = self._at, 1
        while self._at < len(self._text):
            character = self._text[self._at]
            if character == "\\":
                self._advance(min(2, len(self._text) - self._at))
            elif character in "'\"":
                self._pass_quote(character, nesting)
            else:
                depth += (character == opening) - (character == close)
                self._advance(1)
                if not depth:
                    return self._text[start : self._at - 1]
        raise UnreadableScript("a bracket is not closed")

    def _pass_quote(self, quote: str, nesting: int) -> None:
        self._advance(1)
        while self._at < len(self._text):
            if self._text[self._at] == quote:
                self._advance(1)
                return
            if quote == '"' and self._text[self._at] == "\\":
                self._advance(min(2, len(self._text) - self._at))
            elif quote == '"' and self._peek("$("):
                self._advance(2)
                self._enclosed(")", "(", nesting + 1)
            else:
                self._advance(1)


def _joined(parts: list[Part]) -> Word:
    """Neighbouring texts of one kind as one."""
    joined: list[Part] = []
    for kind, group in groupby(parts, key=lambda part: part.quoted if isinstance(part, Text) else None):
        if kind is None:
            joined.extend(group)
        else:
            joined.append(Text("".join(part.text for part in group if isinstance(part, Text)), kind))
    return tuple(joined)
