"""The columns of a layer's index while the layer is read: rows and directories, as they come.

Rows enter one by one, from ``builder`` and, for the members that nearly all tars are made of, from
``plain``; ``builder`` makes the columns of the finished index of them. Follows no specification.
"""

from __future__ import annotations

from array import array

from imagescan.errors import LimitExceeded
from imagescan.layers.header import Attributes

MAXIMUM_ENTRIES = 8_000_000  # rows of one layer, parents that no entry names included
MAXIMUM_NAME_BYTES = 512 * 1024 * 1024  # names, directory paths and link targets of one layer together


class GrowingRows:
    """The columns of ``Rows`` that every row has, and how many bytes the names of all have."""

    __slots__ = ("attributes", "kinds", "name_bytes", "sizes", "table")

    def __init__(self) -> None:
        self.kinds = bytearray()
        self.attributes = array("I")
        self.sizes = array("Q")
        self.table: dict[Attributes, int] = {}
        self.name_bytes = 0

    def add(self, kind: int, attributes: int, size: int) -> int:
        """A new row, with the attributes of this number.

        Raises:
            LimitExceeded: too many rows, or too long names.
        """
        self.kinds.append(kind)
        self.attributes.append(attributes)
        self.sizes.append(size)
        self.check_limits()
        return len(self.kinds) - 1

    def attributes_number(self, attributes: Attributes) -> int:
        """The position of these attributes in the table of all distinct ones."""
        number = self.table.get(attributes)
        if number is None:
            number = self.table[attributes] = len(self.table)
        return number

    def check_limits(self) -> None:
        """Refuse a layer that would take too much memory.

        Raises:
            LimitExceeded: too many rows, or too long names.
        """
        if len(self.kinds) > MAXIMUM_ENTRIES or self.name_bytes > MAXIMUM_NAME_BYTES:
            raise LimitExceeded(
                f"more than {MAXIMUM_ENTRIES} entries or {MAXIMUM_NAME_BYTES} bytes of names in one layer"
            )


class GrowingDirectory:
    """A directory while its layer is read: names (each after a slash) and their rows, as they came."""

    __slots__ = (
        "_found", "_found_names", "_found_rows",
        "names", "opaque", "path", "removed", "row", "rows", "subdirectories",
    )  # fmt: skip

    def __init__(self, path: bytes, row: int) -> None:
        self.path = path
        self.row = row
        self.names = bytearray()
        self.rows = array("I")
        self.subdirectories: list[GrowingDirectory] = []
        self.removed: set[bytes] | None = None
        self.opaque = False
        self._found: dict[bytes, int] | None = None
        self._found_rows = self._found_names = 0

    def add(self, name: bytes, row: int) -> None:
        """Put a row under a name; of several of one name the last counts."""
        self.names += b"/" + name
        self.rows.append(row)

    def find(self, name: bytes) -> int | None:
        """The newest row of a name; what was added since the last call is looked through first."""
        if self._found is None:
            self._found = {}
        if self._found_rows < len(self.rows):
            names = bytes(self.names[self._found_names + 1 :]).split(b"/")
            self._found.update(zip(names, self.rows[self._found_rows :], strict=True))
            self._found_rows, self._found_names = len(self.rows), len(self.names)
        return self._found.get(name)
