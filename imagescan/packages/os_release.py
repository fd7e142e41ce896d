"""Which distribution and release an image is: os-release(5).

The text of the file enters, an ``OperatingSystem`` leaves.
"""

from __future__ import annotations

from imagescan.dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OperatingSystem:
    """``families`` is ID followed by ID_LIKE, without empty ones; ``version`` is VERSION_ID."""

    families: tuple[str, ...] = ()
    version: str = ""
    pretty_name: str = ""


def read_os_release(text: str) -> OperatingSystem:
    """Read the assignments; a line that is none is passed over, as os-release(5) asks."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        name, separator, value = line.strip().partition("=")
        if separator and not name.startswith("#"):
            values[name] = value.strip("\"'")
    families = (values.get("ID", ""), *values.get("ID_LIKE", "").split())
    return OperatingSystem(
        tuple(family for family in families if family),
        values.get("VERSION_ID", ""),
        values.get("PRETTY_NAME", ""),
    )
