"""From a shell script's text to its commands.

Text enters, a ``Script`` leaves. Follows the grammar of XCU 2.10, and of bash ``[[ ]]``, ``(( ))``,
``function NAME`` and array assignments as far as to pass over them.
"""

from __future__ import annotations

from collections.abc import Collection

from imagescan.patterns import pattern
from imagescan.shell.lexer import MAXIMUM_NESTING, REDIRECTION, Lexer, Token
from imagescan.shell.syntax import (
    AndOr,
    Case,
    Command,
    Function,
    Group,
    If,
    Loop,
    Opaque,
    Pipeline,
    Script,
    Simple,
    Substitution,
    Text,
    UnreadableScript,
    Word,
)

_ASSIGNMENT = pattern(r"([A-Za-z_][A-Za-z0-9_]*)(\[[^]]*\])?\+?=")
_FUNCTION_NAME = pattern(r"[A-Za-z_][A-Za-z0-9_:.-]*")
_CLOSERS = frozenset({"then", "else", "elif", "fi", "do", "done", "esac", "}"})
_CASE_ENDS = (";;", ";&", ";;&")


def parse(text: str) -> Script:
    """Parse a whole script.

    Raises:
        UnreadableScript: it is no script of this grammar, or its parts nest too deep.
    """
    parser = _Parser(text)
    script = parser.list_until(())
    parser.expect_end()
    return script


class _Parser:
    def __init__(self, text: str) -> None:
        self._lexer = Lexer(text)
        self._token = self._lexer.next()
        self._depth = 0

    def expect_end(self) -> None:
        if self._token.word is not None or self._token.operator:
            raise self._unexpected()

    def list_until(self, words: Collection[str], operators: Collection[str] = ()) -> Script:
        """Commands up to one of these reserved words or operators, which stay unread."""
        self._depth += 1
        if self._depth > MAXIMUM_NESTING:
            raise UnreadableScript("commands nest too deep")
        items: list[AndOr] = []
        self._skip(";", "\n")
        while not self._at_end(words, operators):
            item = self._and_or()
            background = self._token.operator == "&"
            items.append(AndOr(item.pipelines, item.operators, background))
            if self._token.operator not in (";", "&", "\n"):
                break
            self._skip(";", "&", "\n")
        self._depth -= 1
        return tuple(items)

    def _at_end(self, words: Collection[str], operators: Collection[str]) -> bool:
        token = self._token
        if token.word is None and (not token.operator or token.operator in operators):
            return True
        return token.plain in words

    def _advance(self) -> Token:
        token, self._token = self._token, self._lexer.next()
        return token

    def _skip(self, *operators: str) -> None:
        while self._token.word is None and self._token.operator in operators:
            self._advance()

    def _unexpected(self) -> UnreadableScript:
        return UnreadableScript(f"line {self._token.line}: {self._token.plain or self._token.operator!r}")

    def _expect_word(self, word: str) -> None:
        if self._token.plain != word:
            raise self._unexpected()
        self._advance()

    def _expect_operator(self, operator: str) -> None:
        if self._token.word is not None or self._token.operator != operator:
            raise self._unexpected()
        self._advance()

    def _and_or(self) -> AndOr:
        pipelines, operators = [self._pipeline()], []
        while self._token.word is None and self._token.operator in ("&&", "||"):
            operators.append(self._advance().operator)
            self._skip("\n")
            pipelines.append(self._pipeline())
        return AndOr(tuple(pipelines), tuple(operators))

    def _pipeline(self) -> Pipeline:
        negated = False
        while self._token.plain in ("!", "time"):
            negated ^= self._advance().plain == "!"
        commands = [self._command()]
        while self._token.word is None and self._token.operator in ("|", "|&"):
            self._advance()
            self._skip("\n")
            commands.append(self._command())
        return Pipeline(tuple(commands), negated)

    def _command(self) -> Command:
        token = self._token
        if token.word is None and token.operator == "(":
            command = self._parentheses()
            self._skip(REDIRECTION)
            return command
        if token.word is None and token.operator != REDIRECTION:
            raise self._unexpected()
        compound = {
            "if": self._if,
            "while": self._while,
            "until": self._while,
            "for": self._for,
            "select": self._for,
            "case": self._case,
            "{": self._braces,
            "function": self._named_function,
        }.get(token.plain)
        if compound is not None:
            self._advance()
            command = compound()
            self._skip(REDIRECTION)
            return command
        if token.plain in _CLOSERS:
            raise self._unexpected()
        return self._simple()

    def _parentheses(self) -> Command:
        line = self._advance().line
        if self._token.operator == "(" and self._token.adjacent:
            self._lexer.skip_parentheses()
            self._advance()
            self._expect_operator(")")
            return Opaque(line)
        body = self.list_until((), (")",))
        self._expect_operator(")")
        return Group(body, subshell=True)

    def _braces(self) -> Command:
        body = self.list_until(("}",))
        self._expect_word("}")
        return Group(body)

    def _if(self) -> Command:
        arms: list[tuple[Script, Script]] = []
        while True:
            condition = self.list_until(("then",))
            self._expect_word("then")
            arms.append((condition, self.list_until(("elif", "else", "fi"))))
            if self._token.plain != "elif":
                break
            self._advance()
        otherwise: Script = ()
        if self._token.plain == "else":
            self._advance()
            otherwise = self.list_until(("fi",))
        self._expect_word("fi")
        return If(tuple(arms), otherwise)

    def _while(self) -> Command:
        condition = self.list_until(("do",))
        return Loop(condition, self._do())

    def _for(self) -> Command:
        if self._token.operator == "(":
            raise self._unexpected()
        name = self._advance().plain
        self._skip("\n")
        if self._token.plain == "in":
            while self._token.word is not None:
                self._advance()
        self._skip(";", "\n")
        return Loop((), self._do(), name or "_")

    def _do(self) -> Script:
        self._expect_word("do")
        body = self.list_until(("done",))
        self._expect_word("done")
        return body

    def _case(self) -> Command:
        word = self._advance().word
        self._skip("\n")
        self._expect_word("in")
        self._skip("\n")
        arms: list[tuple[tuple[Word, ...], Script]] = []
        while self._token.plain != "esac":
            self._skip("(")
            patterns: list[Word] = []
            while self._token.word is not None:
                patterns.append(self._advance().word or ())
                self._skip("|")
            self._expect_operator(")")
            arms.append((tuple(patterns), self.list_until(("esac",), _CASE_ENDS)))
            self._skip(*_CASE_ENDS, "\n")
        self._advance()
        return Case(word or (), tuple(arms))

    def _named_function(self) -> Command:
        name = self._advance().plain
        if self._token.operator == "(":
            self._advance()
            self._expect_operator(")")
        return self._body_of(name)

    def _body_of(self, name: str) -> Command:
        self._skip("\n")
        self._depth += 1
        if self._depth > MAXIMUM_NESTING:
            raise UnreadableScript("functions nest too deep")
        body = self._command()
        self._depth -= 1
        self._skip(REDIRECTION)
        return Function(name, body)

    def _simple(self) -> Command:
        line = self._token.line
        assignments: list[tuple[str, Word]] = []
        words: list[Word] = []
        while self._token.word is not None or self._token.operator == REDIRECTION:
            if self._token.word is None:
                self._advance()
                continue
            if not words and (name := _assigned_name(self._token.word)):
                assignments.append((name, self._assigned_value()))
                continue
            if not words and self._token.plain == "[[":
                words = [(Text("[["),), *self._lexer.test_words()]
                self._advance()
                continue
            words.append(self._advance().word or ())
            if self._token.operator != "(":
                continue
            if len(words) == 1 and not assignments:
                return self._function(words[0])
            if _assigned_name(words[-1]) and self._token.adjacent:  # declare NAME=(...)
                self._lexer.skip_parentheses()
                self._advance()
        return Simple(tuple(assignments), tuple(words), line)

    def _function(self, word: Word) -> Command:
        name = word[0].text if len(word) == 1 and isinstance(word[0], Text) else ""
        if not _FUNCTION_NAME.fullmatch(name):
            raise self._unexpected()
        self._advance()
        self._expect_operator(")")
        return self._body_of(name)

    def _assigned_value(self) -> Word:
        """The value of the assignment that the next token is; of an array, or ``+=``, never known."""
        token = self._token
        assert token.word is not None and isinstance(token.word[0], Text)
        match = _ASSIGNMENT.match(token.word[0].text)
        assert match is not None
        rest = token.word[0].text[match.end() :]
        value: Word = ((Text(rest),) if rest else ()) + token.word[1:]
        # An array's parenthesis follows at once; the lexer stands behind the word, one token ahead.
        self._advance()
        if not value and self._token.operator == "(" and self._token.adjacent:
            self._lexer.skip_parentheses()
            self._advance()
            return (Substitution(None),)
        return (Substitution(None),) if match[2] or match[0].endswith("+=") else value


def _assigned_name(word: Word) -> str:
    first = word[0] if word else None
    if not isinstance(first, Text) or first.quoted:
        return ""
    match = _ASSIGNMENT.match(first.text)
    return match[1] if match else ""
