"""Documents that were parsed before: what YAML they are is known, so that no usual scan needs its library.

The texts of documents enter, the text of one JSON file leaves (``prepare``); that text enters with every
document, and the tree that ``read_yaml`` gives leaves. A tree is found by the digest of its document's text,
so one that has changed since is parsed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from hashlib import sha256
from typing import Any

from imagescan.rules.yaml_reader import Node, read_yaml

FILE = "prepared.json"  # in the folder of the built-in rules: python -m scripts.prepare_rules

_SCALAR, _LIST, _MAPPING = range(3)
_SHAPES = ("scalar", "list", "mapping")


class PreparedDocuments:
    """Parses documents, those in the text of a prepared file without YAML.

    Args:
        read: gives that text, when the first document is parsed; "" where there is none.
    """

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read

    def parse(self, text: str, name: str, until: str | None = None) -> Node:
        """See ``read_yaml``."""
        known = self._trees.get(_key(text, until))
        return read_yaml(text, name, until) if known is None else _node(known, name)

    @cached_property
    def _trees(self) -> Mapping[str, Any]:
        trees: Mapping[str, Any] = json.loads(self._read() or "{}")
        return trees


def prepare(documents: Iterable[tuple[str, str | None]]) -> str:
    """The prepared file of documents: the text of each, and the key after which it is not read.

    Raises:
        RuleError: a document is no YAML.
    """
    trees = {_key(text, until): _plain(read_yaml(text, "", until)) for text, until in documents}
    return json.dumps(dict(sorted(trees.items())), separators=(",", ":")).replace('},"', '},\n"') + "\n"


def _key(text: str, until: str | None) -> str:
    return sha256(f"{until or ''}\0{text}".encode()).hexdigest()[:32]


def _plain(node: Node) -> list[object]:
    """Line and column, shape and value."""
    shape, value = _SHAPES.index(node.shape), node.value
    if isinstance(value, tuple):
        children = value if shape == _LIST else [one for pair in value for one in pair]
        return [node.where, shape, [_plain(one) for one in children]]
    return [node.where, shape, value]


def _node(plain: Any, name: str) -> Node:  # noqa: ANN401 - a JSON value of ours
    place, shape, value = plain
    if shape == _SCALAR:
        return Node(name + place, "scalar", value)
    children = tuple(_node(one, name) for one in value)
    if shape == _LIST:
        return Node(name + place, "list", children)
    return Node(name + place, "mapping", tuple(zip(children[::2], children[1::2], strict=True)))
