"""The words of a plain scan, read without argparse: importing it and making its parser would take a tenth of
the time of a warm scan.

Words enter; what ``arguments.parse`` makes of them leaves, or None for everything that is not plain: another
command, a call for help, options written together, a mistake. Then argparse reads the words.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from imagescan.cli.options import COMMANDS, OPTIONS, Kind, Option

_BY_WORD = {
    **{f"--{option.name}": option for option in OPTIONS},
    **{f"-{option.short}": option for option in OPTIONS if option.short},
}


def read_plainly(arguments: Sequence[str]) -> SimpleNamespace | None:
    """See ``arguments.parse``, whose namespace has the same attributes."""
    given: dict[str, Any] = dict.fromkeys(option.key for option in OPTIONS)
    images = []
    words = iter(arguments)
    for word in words:
        if _is_value(word):
            images.append(word)
            continue
        name, equals, attached = word.partition("=")
        option = _BY_WORD.get(name)
        if option is None or (equals and (option.kind is Kind.SWITCH or not name.startswith("--"))):
            return None
        value = attached if equals or option.kind is Kind.SWITCH else next(words, "")
        if option.kind is not Kind.SWITCH and not (value if equals else _is_value(value)):
            return None
        _add(given, option, value)
    if not images or not COMMANDS.isdisjoint(arguments):
        return None
    return SimpleNamespace(**given, images=images, command="scan")


def _is_value(word: str) -> bool:
    return word != "" and not word.startswith("-")


def _add(given: dict[str, Any], option: Option, value: str) -> None:
    if option.kind is Kind.SWITCH:
        given[option.key] = True
    elif option.is_repeatable:
        given[option.key] = [*(given[option.key] or ()), value]
    else:
        given[option.key] = value
