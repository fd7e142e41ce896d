"""DT_GNU_HASH of one file: where in its symbol table names can be.

The raw table enters, indices of symbols leave whose names have a hash that is sought. Mirrors the look-up in
glibc's ``do_lookup_x`` (elf/dl-lookup.c) and musl's ``gnu_lookup`` (ldso/dynlink.c), which are the same. The
table is the file's own: nothing in it is believed but its length.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterable, Sequence, Set
from functools import cached_property
from itertools import compress

from imagescan.elf.symbols import SymbolTable

_HEADER = 16  # bytes of the four words that the table begins with
_LOWEST_BYTE = 0 if sys.byteorder == "little" else 3  # of a word of 4 bytes
_LOWEST_BIT = bytes((0, 1)) * 128  # of each byte
_SET = bytes(byte | 1 for byte in range(256))  # each byte with its lowest bit set


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
        if not chains or not self._pass_bloom((value,))[0]:
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
        raw = bytearray(self._chains)
        raw[_LOWEST_BYTE::4] = raw[_LOWEST_BYTE::4].translate(_SET)  # the lowest bit of each ends a chain
        hashes = array("I", bytes(raw))
        return list(compress(range(self.first, self.first + len(hashes)), map(links.__contains__, hashes)))

    def lead_to(self, indices: Sequence[int], values: Sequence[int]) -> list[bool | int]:
        """For each of some symbols, and a hash beside it, whether it is one of that hash's ``indices``."""
        first, chains, buckets, find_end = self.first, self._chains, self._buckets, self._ends.find
        starts = [buckets[value % len(buckets)] for value in values]
        return [
            passes
            and chains[index - first] | 1 == value | 1
            and (
                index == start
                or (first <= start < index and find_end(b"\1", start - first, index - first) < 0)
            )
            for index, value, start, passes in zip(
                indices, values, starts, self._pass_bloom(values), strict=True
            )
        ]

    @cached_property
    def _ends(self) -> bytes:
        """For each place of the chains whether one ends there."""
        return self._chains.tobytes()[_LOWEST_BYTE::4].translate(_LOWEST_BIT)

    def passing(self, hashes: Iterable[tuple[bytes, int]]) -> list[tuple[bytes, int]]:
        """Those of some names and hashes that the Bloom filter lets through: the rest is not in the table."""
        some = [*hashes]
        return [*compress(some, self._pass_bloom([value for _, value in some]))]

    def _pass_bloom(self, values: Iterable[int]) -> list[int]:
        """For each hash whether the Bloom filter lets it through, as 1 or 0."""
        bits, bloom, shift, last = self._bits, self._bloom, self._shift, len(self._bloom) - 1
        return [
            (word := bloom[value // bits & last]) >> value % bits & word >> (value >> shift) % bits & 1
            for value in values
        ]


def _numbers(kind: str, raw: bytes, swapped: bool) -> array[int]:
    found = array(kind, raw)
    if swapped:
        found.byteswap()
    return found
