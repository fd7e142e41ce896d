"""Symbols that nothing in a link map defines, kept as the references that ask for them.

References of loaded objects enter; ``MissingSymbol`` values leave, made when somebody looks. An image whose
files do not find their libraries misses hundreds of thousands of symbols, few of them different: what is kept
is a pointer for each, and objects and link maps that miss the same share it.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from imagescan.dataclasses import dataclass
from imagescan.elf.symbols import SymbolReference


class Binding(StrEnum):
    """When a missing symbol is noticed."""

    IMMEDIATE = "immediate"
    LAZY = "lazy"


class MissingSymbol(NamedTuple):
    """A strong undefined symbol that no object in scope defines.

    ``library`` is the file that the reference's version names ("" when unversioned): the one
    where it was expected at link time.
    """

    symbol: str
    version: str | None
    needed_by: str
    binding: Binding
    library: str = ""


@dataclass(frozen=True, slots=True)
class MissedReferences:
    """What one object, opened by the path ``needed_by``, refers to in vain, in its own order; never nothing.

    ``bind_now`` says that all its references are looked up when it is loaded, also the lazy ones.
    """

    needed_by: str
    references: tuple[SymbolReference, ...]
    bind_now: bool

    def __iter__(self) -> Iterator[MissingSymbol]:
        for reference in self.references:
            yield MissingSymbol(
                symbol=_text(reference.name),
                version=None if reference.version is None else _text(reference.version),
                needed_by=self.needed_by,
                binding=self._binding(reference),
                library=reference.library,
            )

    @property
    def immediate(self) -> int:
        """How many of the symbols are noticed when the program starts."""
        count = len(self.references)
        return count if self.bind_now else count - sum([one.lazy for one in self.references])

    def of(self, binding: Binding) -> Iterator[SymbolReference]:
        """The references whose symbols are noticed at that time."""
        return (one for one in self.references if self._binding(one) is binding)

    def _binding(self, reference: SymbolReference) -> Binding:
        lazy = reference.lazy and not self.bind_now
        return Binding.LAZY if lazy else Binding.IMMEDIATE


@dataclass(frozen=True, slots=True)
class MissingSymbols:
    """All symbols that a link map misses, in the order of its ``objects`` that refer to them."""

    objects: tuple[MissedReferences, ...] = ()

    def __iter__(self) -> Iterator[MissingSymbol]:
        for one in self.objects:
            yield from one

    def __len__(self) -> int:
        return sum(len(one.references) for one in self.objects)

    def __bool__(self) -> bool:
        return bool(self.objects)

    @property
    def immediate(self) -> int:
        """How many of them are noticed when the program starts."""
        return sum(one.immediate for one in self.objects)

    @property
    def names(self) -> set[bytes]:
        """The names by which files may define them."""
        return {reference.name for one in self.objects for reference in one.references}

    def libraries(self, binding: Binding) -> set[str]:
        """Where the symbols that are noticed at that time were expected; "" for unversioned ones."""
        return {reference.library for one in self.objects for reference in one.of(binding)}


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
