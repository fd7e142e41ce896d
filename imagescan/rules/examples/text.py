"""An example's image written down again as YAML, for people to read.

The ``Node`` of an image enters, text leaves that ``yaml_reader`` reads as the same values.
"""

from __future__ import annotations

import json
import re

from imagescan.patterns import pattern
from imagescan.rules.yaml_reader import Node

WIDTH = 100  # columns; what is shorter stays on one line
_INDENT = "  "
_PLAIN = pattern(r"[A-Za-z0-9_/.][A-Za-z0-9_/.@+=-]*(?: [A-Za-z0-9_/.@+=-]+)*")
_NO_TEXT = pattern(r"[0-9_.+-][0-9_.,:eExXoO+-]*|true|false|yes|no|on|off|null|[ynYN]", re.IGNORECASE)
_OCTAL = "mode"


def image_text(image: Node) -> str:
    """The image as lines of YAML, each ended."""
    lines = _block(image, "") or ["{}"]
    return "".join(f"{line}\n" for line in lines)


def _block(node: Node, indent: str) -> list[str]:
    lines: list[str] = []
    if node.shape == "mapping":
        for key, value in node.pairs():
            lines += _entry(f"{indent}{_scalar(key)}:", value, indent, key)
    elif node.shape == "list":
        for item in node.items():
            lines += _item(item, indent)
    return lines


def _entry(head: str, value: Node, indent: str, key: str) -> list[str]:
    line = f"{head} {_flow(value, key)}"
    if value.shape == "scalar" or len(line) <= WIDTH:
        return [line]
    return [head, *_block(value, indent + _INDENT)]


def _item(item: Node, indent: str) -> list[str]:
    line = f"{indent}- {_flow(item)}"
    if item.shape == "scalar" or len(line) <= WIDTH:
        return [line]
    first, *rest = _block(item, indent + _INDENT)
    return [f"{indent}- {first.lstrip()}", *rest]


def _flow(node: Node, key: str = "") -> str:
    """The value on one line."""
    if node.shape == "mapping":
        return "{" + ", ".join(f"{_scalar(name)}: {_flow(one, name)}" for name, one in node.pairs()) + "}"
    if node.shape == "list":
        return "[" + ", ".join(_flow(one) for one in node.items()) + "]"
    return _scalar(node.value, octal=key == _OCTAL)


def _scalar(value: object, *, octal: bool = False) -> str:
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int):
        return f"0{value:o}" if octal else str(value)
    text = str(value)
    if _PLAIN.fullmatch(text) and not _NO_TEXT.fullmatch(text):
        return text
    return json.dumps(text)
