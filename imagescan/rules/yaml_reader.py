"""Read one YAML document strictly: plain values only, no duplicate keys, no aliases.

The text of a file enters, a ``Node`` tree with positions leaves. YAML 1.2 core types as PyYAML's
safe loader builds them; tags and aliases are refused, so a document can neither construct an
object nor grow by repetition.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imagescan.errors import RuleError

if TYPE_CHECKING:
    import yaml

MAXIMUM_DOCUMENT = 256 * 1024  # bytes of one rule document
MAXIMUM_DEPTH = 40  # lists and mappings inside each other


@dataclass(frozen=True, slots=True)
class Node:
    """One value with its place: ``value`` is a str, int, bool, None, a tuple of nodes, or a tuple
    of (key node, value node) pairs; ``shape`` says which: scalar, list or mapping."""

    where: str
    shape: str
    value: object

    def error(self, message: str, advice: str = "") -> RuleError:
        """A ``RuleError`` that names this place."""
        return RuleError(message, where=self.where, advice=advice)

    def pairs(self) -> Iterator[tuple[str, Node]]:
        """The entries of a mapping.

        Raises:
            RuleError: this is no mapping.
        """
        if self.shape != "mapping" or not isinstance(self.value, tuple):
            raise self.error(f"expected a mapping, found a {self.shape}")
        for key, value in self.value:
            yield key.text(), value

    def items(self) -> tuple[Node, ...]:
        """The entries of a list.

        Raises:
            RuleError: this is no list.
        """
        if self.shape != "list" or not isinstance(self.value, tuple):
            raise self.error(f"expected a list, found a {self.shape}")
        return self.value

    def text(self) -> str:
        """A string.

        Raises:
            RuleError: this is no string.
        """
        if not isinstance(self.value, str):
            raise self.error(f"expected text, found {self._kind()}", "put it in quotation marks")
        return self.value

    def number(self) -> int:
        """An integer.

        Raises:
            RuleError: this is none.
        """
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            raise self.error(f"expected a whole number, found {self._kind()}")
        return self.value

    def truth(self) -> bool:
        """true or false.

        Raises:
            RuleError: this is neither.
        """
        if not isinstance(self.value, bool):
            raise self.error(f"expected true or false, found {self._kind()}")
        return self.value

    def texts(self) -> tuple[str, ...]:
        """A list of strings.

        Raises:
            RuleError: this is none.
        """
        return tuple(item.text() for item in self.items())

    def _kind(self) -> str:
        return f"a {self.shape}" if self.shape != "scalar" else type(self.value).__name__


def read_yaml(text: str, name: str) -> Node:
    """Parse one document; ``name`` is the file's name for error positions.

    Raises:
        RuleError: not YAML, more than one document, a duplicate key, a tag or an alias.
    """
    import yaml

    if len(text) > MAXIMUM_DOCUMENT:
        raise RuleError(f"larger than {MAXIMUM_DOCUMENT} bytes", where=name)
    # libyaml is ten times as fast, but its composer recurses in C: depth is checked on events first.
    loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    try:
        _check_events(yaml.parse(text, Loader=loader), name)
        node = yaml.compose(text, Loader=loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "unreadable text"
        raise RuleError(f"not valid YAML: {problem}", where=_place(name, mark)) from None
    if node is None:
        raise RuleError("the document is empty", where=name)
    return _convert(node, name)


def _check_events(events: Iterable[Any], name: str) -> None:
    import yaml

    depth = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            raise RuleError("YAML aliases are not allowed", where=_place(name, event.start_mark))
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAXIMUM_DEPTH:
            raise RuleError("nested too deeply", where=_place(name, event.start_mark))


def _place(name: str, mark: Any) -> str:  # noqa: ANN401 - PyYAML has two unrelated Mark classes
    return f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name


def _convert(node: yaml.Node, name: str) -> Node:
    import yaml

    where = _place(name, node.start_mark)
    if isinstance(node, yaml.MappingNode):
        seen: set[object] = set()
        pairs = []
        for key, value in node.value:
            converted = _convert(key, name)
            if converted.value in seen:
                raise converted.error(f"the key {converted.value!r} is here twice", "keep one of them")
            seen.add(converted.value)
            pairs.append((converted, _convert(value, name)))
        return Node(where, "mapping", tuple(pairs))
    if isinstance(node, yaml.SequenceNode):
        return Node(where, "list", tuple(_convert(item, name) for item in node.value))
    return Node(where, "scalar", _scalar(node, where))


def _scalar(node: yaml.Node, where: str) -> object:
    tag = node.tag.rpartition(":")[2]
    value = str(node.value)
    if tag == "str":
        return value
    if tag == "int" and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value, 8) if value.startswith("0") and set(value) <= set("01234567") else int(value)
    if tag == "bool" and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if tag == "null":
        return None
    raise RuleError(f"cannot read {value[:40]!r} as text", where=where, advice="put it in quotation marks")
