"""A command line in one text: a JSON list of strings, or words as a POSIX shell splits them.

The value of ``--entrypoint``, ``--cmd`` and their twins enters, words leave. No shell takes part:
nothing is expanded.
"""

from __future__ import annotations

from collections.abc import Iterable

from imagescan.errors import UsageError

_ADVICE = """say '["program", "argument"]' or 'program argument'"""


def read_words(text: str, where: str) -> tuple[str, ...]:
    """The words of a command line; () for an empty one.

    Raises:
        UsageError: a text that begins with ``[`` and is no JSON list of strings; a quote that is not
            closed.
    """
    import json
    import shlex

    if text.lstrip().startswith("["):
        try:
            words = json.loads(text)
        except (ValueError, RecursionError):
            words = None
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise UsageError("not a JSON list of strings", where=where, advice=_ADVICE)
    else:
        try:
            words = shlex.split(text)
        except ValueError as error:
            reason = "a quote is not closed" if "quot" in str(error) else "nothing follows the last backslash"
            raise UsageError(reason, where=where, advice=_ADVICE) from None
    return _without_nul(words, where)


def read_variables(lines: Iterable[str], where: str) -> tuple[str, ...]:
    """``NAME=value`` and ``NAME`` entries, checked.

    Raises:
        UsageError: no name before the ``=``.
    """
    checked = _without_nul(lines, where)
    for line in checked:
        if not line.partition("=")[0]:
            advice = "say NAME=value, or NAME to remove it"
            raise UsageError(f"no name in {line!r}", where=where, advice=advice)
    return checked


def _without_nul(words: Iterable[str], where: str) -> tuple[str, ...]:
    found = tuple(words)
    if any("\0" in word for word in found):
        raise UsageError("a NUL character cannot stand in a command line", where=where)
    return found
