"""The hash table that look-ups in a file go through, raw, and how many symbols it says there are.

Enters the dynamic tags and the body; leaves ``HashTable``. Follows the gABI chapter "Hash Table"
(DT_HASH) and, for DT_GNU_HASH, what glibc reads (elf/dl-setup_hash.c, elf/dl-lookup.c) and musl
(ldso/dynlink.c count_syms, gnu_lookup). Both loaders prefer DT_GNU_HASH where a file has the two.
"""

from __future__ import annotations

import struct

from imagescan.dataclasses import NamedTuple
from imagescan.elf import dynamic as tag
from imagescan.elf.facts import Machine
from imagescan.elf.header import ElfHeader
from imagescan.elf.symbols import HashKind
from imagescan.layers.values import Body

_GNU_HEADERS = {order: struct.Struct(order + "4I") for order in "<>"}

_USUAL_CHAIN_BYTES = 64  # what most chains are shorter than

MAXIMUM_SYMBOLS = 4 << 20
MAXIMUM_HASH_BYTES = 64 << 20  # bytes of bloom filter, or of buckets; libLLVM's have 128 KiB


class HashTable(NamedTuple):
    """``first`` symbol that the table holds, number of ``symbols`` that it says there are (0 where
    it says none), and the whole ``table`` from its header on; empty where it is cut short."""

    kind: HashKind
    first: int
    symbols: int
    table: bytes = b""


def read_hash_table(header: ElfHeader, body: Body, tags: dict[int, int]) -> HashTable:
    """Read DT_GNU_HASH, or DT_HASH where there is none."""
    offset = header.file_offset(tags[tag.DT_GNU_HASH]) if tag.DT_GNU_HASH in tags else None
    if offset is None:
        return _read_system_v(header, body, tags)
    found = _read_gnu(header, body, offset)
    if found.symbols:
        return found
    plain = _read_system_v(header, body, tags)
    return plain if found.kind is HashKind.NONE else found._replace(symbols=plain.symbols)


def _read_system_v(header: ElfHeader, body: Body, tags: dict[int, int]) -> HashTable:
    offset = header.file_offset(tags[tag.DT_HASH]) if tag.DT_HASH in tags else None
    raw = body.read(offset, 16) if offset is not None else b""
    if offset is None or len(raw) < 16:
        return HashTable(HashKind.NONE, 1, 0)
    # GNU ld writes 64-bit words for s390x, lld 32-bit ones: a leading zero word tells.
    wide = header.machine == Machine.S390 and header.encoding.elf_class == 64 and raw[:4] == bytes(4)
    buckets, symbols = struct.unpack_from(header.encoding.order + ("2Q" if wide else "2I"), raw)
    size = (8 if wide else 4) * (2 + buckets + symbols)
    table = body.read(offset, size) if size <= MAXIMUM_HASH_BYTES else b""
    if len(table) < size or not buckets:
        return HashTable(HashKind.NONE, 1, symbols)
    return HashTable(HashKind.SYSTEM_V_WIDE if wide else HashKind.SYSTEM_V, 1, symbols, table)


def _read_gnu(header: ElfHeader, body: Body, offset: int) -> HashTable:
    start = body.read(offset, tag.PIECE_BYTES)
    if len(start) < 16:
        return HashTable(HashKind.NONE, 0, 0)
    buckets, first, bloom, _shift = _GNU_HEADERS[header.encoding.order].unpack_from(start)
    bloom_size = bloom * (8 if header.encoding.elf_class == 64 else 4)
    if bloom_size > MAXIMUM_HASH_BYTES or 4 * buckets > MAXIMUM_HASH_BYTES:
        return HashTable(HashKind.NONE, 0, 0)
    chains_at = 16 + bloom_size + 4 * buckets
    if chains_at <= len(start):
        raw = start[16 + bloom_size : chains_at]
    else:
        raw = body.read(offset + 16 + bloom_size, 4 * buckets)
    table = header.encoding.words(raw)
    if len(table) < buckets or not bloom:
        return HashTable(HashKind.NONE, first, 0)
    highest = max(table) if table else 0
    if highest < first:
        # Nothing can be found: whatever symbols there are, all are undefined.
        return HashTable(HashKind.GNU, MAXIMUM_SYMBOLS, 0, body.read(offset, chains_at))
    last_chain = chains_at + 4 * (highest - first)
    end = highest + _length_of_chain(header, start[last_chain : last_chain + _USUAL_CHAIN_BYTES])
    if end == highest:
        end, whole = _end_of_chain(header, body, offset + last_chain, highest)
        if not whole:
            return HashTable(HashKind.NONE, first, end)
    size = chains_at + 4 * (end - first)
    whole_table = start[:size] if size <= len(start) else body.read(offset, size)
    return HashTable(HashKind.GNU, first, end, whole_table)


def _length_of_chain(header: ElfHeader, piece: bytes) -> int:
    """How many symbols a chain has; 0 when it does not end in this piece. Linkers set the lowest bit of
    a chain's last word."""
    place = 0 if header.encoding.order == "<" else 3
    for length, low in enumerate(piece[place : len(piece) & ~3 : 4], 1):
        if low & 1:
            return length
    return 0


def _end_of_chain(header: ElfHeader, body: Body, place: int, symbol: int) -> tuple[int, bool]:
    """The number of symbols up to the end of the chain at ``place``, and whether it has an end."""
    while symbol < MAXIMUM_SYMBOLS:
        piece = body.read(place, tag.PIECE_BYTES)
        length = _length_of_chain(header, piece)
        if length:
            return symbol + length, True
        symbol += len(piece) // 4
        if len(piece) < tag.PIECE_BYTES:
            break
        place += tag.PIECE_BYTES
    return symbol, False
