"""DT_GNU_HASH of one file: where in its symbol table names can be.

The raw table enters, indices of symbols leave whose names have a hash that is sought. Mirrors the look-up in
glibc's ``do_lookup_x`` (elf/dl-lookup.c) and musl's ``gnu_lookup`` (ldso/dynlink.c), which are the same. The
table is the file's own: nothing in it is believed but its length.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterable, Set
from functools import cached_property
from itertools import compress

from imagescan.elf.symbols import SymbolTable

_HEADER = 16  # bytes of the four words that the table begins with
_LOWEST_BIT = bytes((0, 1)) * 128


class HashTable:
    """The table of one file, held in memory."""

    def __init__(self, table: SymbolTable) -> None:
        raw = table.hash_table()
        self._bits = bits = table.elf_class
        buckets, self.first, bloom, self._shift = struct.unpack_from(table.order + "4I", raw)
        start = _HEADER + bloom * bits // 8
        swapped = (table.order == ">") is (sys.byteorder == "little")
        self._bloom = _numbers("Q" if bits == 64 else "I", raw[_HEADER:start], swapped)
        self._buckets = _numbers("I", raw[start : start + 4 * buckets], swapped)
        self._chains = _numbers("I", raw[start + 4 * buckets :], swapped) if buckets else array("I")

    def __len__(self) -> int:
        """How many symbols it has."""
        return len(self._chains)

    def indices(self, value: int) -> list[int]:
        """The symbols that a look-up of a hash comes by, in its order."""
        chains = self._chains
        if not chains or not self._passes_bloom(value):
            return []
        place = self._buckets[value % len(self._buckets)] - self.first
        found = []
        value |= 1
        while 0 <= place < len(chains):
            link = chains[place]
            if link | 1 == value:
                found.append(place + self.first)
            if link & 1:
                break
            place += 1
        return found

    def among(self, links: Set[int]) -> list[int]:
        """All symbols with one of some hashes, whose lowest bits are set."""
        chains = self._chains
        # The lowest bit of each ends a chain.
        ones = int.from_bytes(b"\1\0\0\0" * len(chains), sys.byteorder)
        whole = int.from_bytes(chains.tobytes(), sys.byteorder) | ones
        hashes = array("I", whole.to_bytes(4 * len(chains), sys.byteorder))
        return list(compress(range(self.first, self.first + len(hashes)), map(links.__contains__, hashes)))

    def leads_to(self, index: int, value: int) -> bool:
        """Whether a symbol is one of the ``indices`` of a hash."""
        place = index - self.first
        start = self._buckets[value % len(self._buckets)] - self.first
        if start != place and not (0 <= start < place and self._ends.find(b"\1", start, place) < 0):
            return False
        return self._chains[place] | 1 == value | 1 and self._passes_bloom(value)

    @cached_property
    def _ends(self) -> bytes:
        """For each place of the chains whether one ends there."""
        lowest = self._chains.tobytes()[0 if sys.byteorder == "little" else 3 :: 4]
        return lowest.translate(_LOWEST_BIT)

    def passing(self, hashes: Iterable[tuple[bytes, int]]) -> list[tuple[bytes, int]]:
        """Those of some names and hashes that the Bloom filter lets through: the rest is not in the table."""
        bits, bloom, shift, last = self._bits, self._bloom, self._shift, len(self._bloom) - 1
        return [
            (name, value)
            for name, value in hashes
            if (word := bloom[value // bits & last]) >> value % bits & word >> (value >> shift) % bits & 1
        ]

    def _passes_bloom(self, value: int) -> bool:
        bits, bloom = self._bits, self._bloom
        word = bloom[value // bits & len(bloom) - 1]
        return bool(word >> value % bits & word >> (value >> self._shift) % bits & 1)


def _numbers(kind: str, raw: bytes, swapped: bool) -> array[int]:
    found = array(kind, raw)
    if swapped:
        found.byteswap()
    return found
