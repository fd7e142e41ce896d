"""Read one YAML document strictly: plain values only, no duplicate keys, no aliases.

The text of a file enters, a ``Node`` tree with positions leaves. YAML 1.2 core types as PyYAML's
safe loader builds them; tags and aliases are refused, so a document can neither construct an
object nor grow by repetition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from imagescan.dataclasses import dataclass
from imagescan.errors import RuleError

MAXIMUM_DOCUMENT = 256 * 1024  # bytes of one rule document
MAXIMUM_DEPTH = 40  # lists and mappings inside each other

Parse = Callable[..., "Node"]
"""``read_yaml``, or what gives the same for the same arguments."""


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


def read_yaml(text: str, name: str, until: str | None = None) -> Node:
    """Parse one document; ``name`` is the file's name for error positions. What follows the key ``until``
    of the outermost mapping is not even parsed.

    Raises:
        RuleError: not YAML, more than one document, a duplicate key, a tag or an alias.
    """
    import yaml

    if len(text) > MAXIMUM_DOCUMENT:
        raise RuleError(f"larger than {MAXIMUM_DOCUMENT} bytes", where=name)
    loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader  # libyaml is ten times as fast
    try:
        return _Builder(name, until).build(yaml.parse(text, Loader=loader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "unreadable text"
        raise RuleError(f"not valid YAML: {problem}", where=_place(name, mark)) from None


class _Builder:
    """Makes nodes of the parser's events in one pass, without recursion."""

    def __init__(self, name: str, until: str | None) -> None:
        from yaml.resolver import Resolver

        self._name, self._until = name, until
        self._resolve: Any = Resolver().resolve
        self._open: list[tuple[str, str, list[Node]]] = [("", "document", [])]

    def build(self, events: Iterable[Any]) -> Node:
        """The node of the only document."""
        import yaml

        documents = 0
        for event in events:
            kind = type(event)
            if kind is yaml.ScalarEvent:
                if event.value == self._until and self._expects_outermost_key():
                    self._close()
                    break
                self._add(self._scalar(event))
            elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                self._start(event, "mapping" if kind is yaml.MappingStartEvent else "list")
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                self._close()
            elif kind is yaml.AliasEvent:
                raise RuleError("YAML aliases are not allowed", where=_place(self._name, event.start_mark))
            elif kind is yaml.DocumentStartEvent:
                documents += 1
                if documents > 1:
                    where = _place(self._name, event.start_mark)
                    raise RuleError("not valid YAML: but found another document", where=where)
        found = self._open[0][2]
        if not found:
            raise RuleError("the document is empty", where=self._name)
        return found[0]

    def _expects_outermost_key(self) -> bool:
        if len(self._open) != 2:
            return False
        _, shape, children = self._open[1]
        return shape == "mapping" and len(children) % 2 == 0

    def _close(self) -> None:
        where, shape, children = self._open.pop()
        value = tuple(children) if shape == "list" else _pairs(children)
        self._add(Node(where, shape, value))

    def _add(self, node: Node) -> None:
        self._open[-1][2].append(node)

    def _start(self, event: Any, shape: str) -> None:  # noqa: ANN401 - PyYAML's events have no types
        where = _place(self._name, event.start_mark)
        self._open.append((where, shape, []))
        if len(self._open) - 1 > MAXIMUM_DEPTH:
            raise RuleError("nested too deeply", where=where)

    def _scalar(self, event: Any) -> Node:  # noqa: ANN401 - PyYAML's events have no types
        import yaml

        where = _place(self._name, event.start_mark)
        tag = event.tag
        if tag is None or tag == "!":
            tag = self._resolve(yaml.ScalarNode, event.value, event.implicit)
        return Node(where, "scalar", _scalar(tag, event.value, where))


def _pairs(children: list[Node]) -> tuple[tuple[Node, Node], ...]:
    """Keys and values in turn as pairs; no key may stand twice."""
    pairs = tuple(zip(children[::2], children[1::2], strict=True))
    seen: set[object] = set()
    for key, _ in pairs:
        if key.value in seen:
            raise key.error(f"the key {key.value!r} is here twice", "keep one of them")
        seen.add(key.value)
    return pairs


def _place(name: str, mark: Any) -> str:  # noqa: ANN401 - PyYAML has two unrelated Mark classes
    return f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name


def _scalar(tag: str, value: str, where: str) -> object:
    kind = tag.rpartition(":")[2]
    if kind == "str":
        return value
    if kind == "int" and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value, 8) if value.startswith("0") and set(value) <= set("01234567") else int(value)
    if kind == "bool" and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if kind == "null":
        return None
    raise RuleError(f"cannot read {value[:40]!r} as text", where=where, advice="put it in quotation marks")
