"""JSON from a hostile origin, read with strict types.

Bytes enter; ``JsonObject`` leaves: a document whose members are asked for by name and type, so
that a wrong type is one clear error at the place of its use and never a ``TypeError`` later.
Follows RFC 8259; text that is no valid Unicode is repaired as Go's ``encoding/json`` does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NoReturn

from imagescan.errors import ImageFormatError


class JsonObject:
    """One JSON object, and the words that name it in errors."""

    __slots__ = ("_members", "what")

    def __init__(self, members: Mapping[str, object], what: str) -> None:
        self._members = members
        self.what = what

    @classmethod
    def parse(cls, data: bytes, what: str) -> JsonObject:
        """Read one object; ``what`` names the document in errors.

        Raises:
            ImageFormatError: not UTF-8, not JSON, nested too deeply, or not an object.
        """
        value = parse_json(data, what)
        if not isinstance(value, dict):
            raise ImageFormatError(f"{what} is not a JSON object")
        return cls(value, what)

    def has(self, name: str) -> bool:
        """Whether the member is there and not null."""
        return self._members.get(name) is not None

    def names(self) -> tuple[str, ...]:
        """The names of all members, in the order written."""
        return tuple(self._members)

    def text(self, name: str, default: str | None = None) -> str:
        """A string; ``default`` stands for an absent or null member.

        Raises:
            ImageFormatError: another type, or absent without a default.
        """
        value = self._members.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            self.fail(name, "a string")
        return _valid_unicode(value)

    def integer(self, name: str, default: int | None = None) -> int:
        """A whole number that is not negative.

        Raises:
            ImageFormatError: anything else, or absent without a default.
        """
        value = self._members.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
            self.fail(name, "a whole number from 0 to 2^63 - 1")
        return value

    def flag(self, name: str) -> bool:
        """A truth value; absent is false.

        Raises:
            ImageFormatError: another type.
        """
        value = self._members.get(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            self.fail(name, "true or false")
        return value

    def child(self, name: str) -> JsonObject | None:
        """An object, or None when it is absent or null.

        Raises:
            ImageFormatError: another type.
        """
        value = self._members.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.fail(name, "an object")
        return JsonObject(value, f"{name} of {self.what}")

    def children(self, name: str) -> tuple[JsonObject, ...]:
        """An array of objects; absent or null is empty.

        Raises:
            ImageFormatError: another type, or an element of another type.
        """
        value = self._members.get(name)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.fail(name, "an array of objects")
        return tuple(
            JsonObject(item, f"{name}[{number}] of {self.what}") for number, item in enumerate(value)
        )

    def texts(self, name: str, *, or_text: bool = False) -> tuple[str, ...] | None:
        """An array of strings, or None when it is absent or null.

        With ``or_text`` a single string counts as an array of one, as in Docker's ``strslice``.

        Raises:
            ImageFormatError: another type, or an element of another type.
        """
        value = self._members.get(name)
        if value is None:
            return None
        if or_text and isinstance(value, str):
            value = [value]
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.fail(name, "an array of strings")
        return tuple(_valid_unicode(item) for item in value)

    def text_map(self, name: str) -> tuple[tuple[str, str], ...]:
        """An object of strings as pairs in the order written; absent or null is empty.

        Raises:
            ImageFormatError: another type, or a value of another type.
        """
        value = self._members.get(name)
        if value is None:
            return ()
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            self.fail(name, "an object of strings")
        return tuple((_valid_unicode(key), _valid_unicode(item)) for key, item in value.items())

    def fail(self, name: str, expected: str) -> NoReturn:
        """Raise the error for a member of the wrong type."""
        state = "has no" if self._members.get(name) is None else "has a wrong"
        raise ImageFormatError(f"{self.what} {state} {name!r}: it must be {expected}")


def parse_json(data: bytes, what: str) -> object:
    """Any JSON value.

    Raises:
        ImageFormatError: not UTF-8, not JSON, or nested too deeply.
    """
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise ImageFormatError(f"{what} is not UTF-8 text") from None
    except RecursionError:
        raise ImageFormatError(f"{what} is nested too deeply") from None
    except ValueError as error:
        raise ImageFormatError(f"{what} is not valid JSON: {error}") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _valid_unicode(text: str) -> str:
    """Replace lone surrogates (``"\\ud800"`` in JSON), which could not be written as UTF-8."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
