"""What ``test``, ``[`` and ``[[`` say, where that follows from the image and its config alone.

Expanded words enter, True, False or None (not known) leaves. XCU test; bash's ``[[`` compares with
patterns. A file that the image has counts as present; one that it has not may be mounted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from imagescan.shell.words import compiled

MAXIMUM_WORDS = 64

FileTest = Callable[[str, str], bool | None]
_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "-eq": lambda a, b: a == b,
    "-ne": lambda a, b: a != b,
    "-lt": lambda a, b: a < b,
    "-le": lambda a, b: a <= b,
    "-gt": lambda a, b: a > b,
    "-ge": lambda a, b: a >= b,
}


def evaluate(words: Sequence[str | None], file_test: FileTest, *, patterns: bool = False) -> bool | None:
    """The answer of a test; a word that is None is not known.

    Args:
        words: the words between ``[`` and ``]``, or ``[[`` and ``]]``.
        file_test: answers ``-f NAME`` and the like.
        patterns: ``[[``: the right of ``=`` is a pattern, ``&&`` and ``||`` join.
    """
    if len(words) > MAXIMUM_WORDS:
        return None
    either, both = ("||", "&&") if patterns else ("-o", "-a")
    alternatives = _divide(words, either)
    if len(alternatives) > 1:
        return _any([evaluate(one, file_test, patterns=patterns) for one in alternatives])
    conditions = _divide(words, both)
    if len(conditions) > 1:
        answers = [evaluate(one, file_test, patterns=patterns) for one in conditions]
        return negated(_any([negated(answer) for answer in answers]))
    if words and words[0] == "!" and len(words) > 1:
        return negated(evaluate(words[1:], file_test, patterns=patterns))
    if "(" in words or ")" in words:
        return None
    return _primary(words, file_test, patterns=patterns)


def negated(answer: bool | None) -> bool | None:
    """The opposite of an answer."""
    return None if answer is None else not answer


def _any(answers: Sequence[bool | None]) -> bool | None:
    if True in answers:
        return True
    return None if None in answers else False


def _divide(words: Sequence[str | None], separator: str) -> list[Sequence[str | None]]:
    """Split at a joining operator, which never stands first, last, or where three words compare."""
    if separator not in words[1:-1] or len(words) == 3:
        return [words]
    parts: list[Sequence[str | None]] = []
    start = 0
    for position, word in enumerate(words):
        if word == separator and 0 < position < len(words) - 1:
            parts.append(words[start:position])
            start = position + 1
    return [*parts, words[start:]]


def _primary(words: Sequence[str | None], file_test: FileTest, *, patterns: bool) -> bool | None:
    if not words:
        return False
    if len(words) == 1:
        return None if words[0] is None else words[0] != ""
    if len(words) == 2:
        operator, operand = words
        if operand is None or operator is None:
            return None
        if operator in ("-n", "-z"):
            return (operand == "") == (operator == "-z")
        return file_test(operator, operand)
    if len(words) == 3:
        return _compare(words[0], words[1], words[2], patterns=patterns)
    return None


def _compare(left: str | None, operator: str | None, right: str | None, *, patterns: bool) -> bool | None:
    if left is None or right is None:
        return None
    if operator in ("=", "==", "!="):
        if patterns:
            regular = compiled(right)
            equal = None if regular is None else regular.match(left) is not None
        else:
            equal = left == right
        return equal if operator != "!=" else negated(equal)
    comparison = _COMPARISONS.get(operator or "")
    numbers = [text.strip() for text in (left, right)]
    if comparison is None or not all(n.isascii() and n.isdigit() and len(n) < 18 for n in numbers):
        return None
    return comparison(int(numbers[0]), int(numbers[1]))
