"""Dynamic symbols of one file, kept as raw columns until binding asks for them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SymbolTable:
    """Placeholder while the room is being built."""
