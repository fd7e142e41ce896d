"""Fill ``{name}`` places of a rule document's texts; nothing else of a text is ever interpreted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from imagescan.patterns import pattern

_PLACE = pattern(r"\{([a-z_]+)\}")


def places(text: str) -> frozenset[str]:
    """The names that a text asks for."""
    return frozenset(_PLACE.findall(text))


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with every ``{name}`` replaced once; text that comes in by a value is left alone."""
    return _PLACE.sub(lambda match: values.get(match[1], match[0]), text)


def fill_known(sentences: Sequence[str], values: Mapping[str, str]) -> str:
    """The sentences of which every ``{name}`` has a value, filled."""
    known = (text for text in sentences if all(values.get(name) for name in places(text)))
    return " ".join(fill(text, values) for text in known)


def phrase(words: Sequence[str], shown: int) -> str:
    """``a``, ``a and b``, ``a, b and c``, or ``a, b and 7 more`` beyond ``shown`` words."""
    if len(words) > shown + 1:
        return ", ".join(words[:shown]) + f" and {len(words) - shown} more"
    if len(words) < 2:
        return "".join(words)
    return ", ".join(words[:-1]) + f" and {words[-1]}"
