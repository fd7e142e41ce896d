"""The ``waivers`` of a configuration file, read strictly.

A YAML node enters, ``Waiver`` values leave. What is not understood is an error with its place:
a waiver that silently waives more or less than its author thinks is worse than none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from imagescan.cli.settings import position
from imagescan.cli.suggestion import suggestion
from imagescan.errors import InvalidReference, UsageError
from imagescan.patterns import pattern
from imagescan.reference import Platform
from imagescan.rules.waivers import Waiver

MAXIMUM_WAIVERS = 1000
MAXIMUM_PATTERNS = 1000  # of one key of one waiver
_DATE = pattern(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_NULL = "tag:yaml.org,2002:null"
_LISTS = {
    "rule": "rules",
    "path": "paths",
    "soname": "sonames",
    "symbol": "symbols",
    "image": "images",
    "platform": "platforms",
}
_KEYS = (*_LISTS, "reason", "expires")
_WHAT = ("rule", "path", "soname", "symbol")  # one of them at least: a waiver says what it waives


def read_waivers(node: yaml.Node, file: Path) -> tuple[Waiver, ...]:
    """Read the list of waivers of a configuration file.

    Raises:
        UsageError: an unknown key, a missing reason, a value of the wrong kind; with its place.
    """
    if node.tag == _NULL:  # every entry commented out
        return ()
    if not isinstance(node, yaml.SequenceNode):
        raise UsageError("waivers is a list", where=position(file, node))
    if len(node.value) > MAXIMUM_WAIVERS:
        raise UsageError(f"more than {MAXIMUM_WAIVERS} waivers", where=position(file, node))
    return tuple(_waiver(item, file) for item in node.value)


def _waiver(node: yaml.Node, file: Path) -> Waiver:
    where = position(file, node)
    if not isinstance(node, yaml.MappingNode):
        raise UsageError(f"a waiver is a mapping of {', '.join(_KEYS)}", where=where)
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = str(key_node.value)
        if key not in _KEYS:
            advice = suggestion(key, _KEYS, f"known are {', '.join(_KEYS)}")
            raise UsageError(f"a waiver has no {key[:60]!r}", where=position(file, key_node), advice=advice)
        if _LISTS.get(key, key) in values:
            raise UsageError(f"{key} stands twice", where=position(file, key_node))
        values[_LISTS.get(key, key)] = _value(key, value_node, file)
    if "reason" not in values:
        raise UsageError("a waiver needs a reason", where=where, advice="say why it may be so")
    if not any(_LISTS[key] in values for key in _WHAT):
        raise UsageError("a waiver says what it waives", where=where, advice=f"give {_or(_WHAT)}")
    return Waiver(where=where, **values)


def _value(key: str, node: yaml.Node, file: Path) -> object:
    if key == "reason":
        return " ".join(_text(key, node, file).split())
    if key == "expires":
        return _date(node, file)
    nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
    if not nodes or len(nodes) > MAXIMUM_PATTERNS:
        raise UsageError(f"{key} has 1 to {MAXIMUM_PATTERNS} entries", where=position(file, node))
    check = _CHECKS.get(key, str)
    texts = []
    for item in nodes:
        try:
            texts.append(check(_text(key, item, file)))
        except (ValueError, InvalidReference) as error:
            raise UsageError(str(error), where=position(file, item)) from None
    return tuple(texts)


def _text(key: str, node: yaml.Node, file: Path) -> str:
    text = node.value.strip() if isinstance(node, yaml.ScalarNode) else ""
    if not text or node.tag == _NULL:
        raise UsageError(f"{key} is a text", where=position(file, node))
    return str(text)


def _date(node: yaml.Node, file: Path) -> date:
    text = _text("expires", node, file)
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise UsageError(
        f"not a date: {text[:40]!r}", where=position(file, node), advice="write YYYY-MM-DD, the last day"
    )


def _path(text: str) -> str:
    if not text.startswith(("/", "**/")):
        raise ValueError(f"not a path in an image: {text[:100]!r} (start it with / or **/)")
    if text.endswith("/"):
        raise ValueError(f"a path that ends in / matches no file: {text[:100]!r} (write {text[:100]}**)")
    return text


def _platform(text: str) -> str:
    return str(Platform.parse(text))


_CHECKS: dict[str, Callable[[str], str]] = {"path": _path, "platform": _platform}


def _or(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
