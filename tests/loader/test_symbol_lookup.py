"""Looking many names up at once is looking up each of them, whatever the file's hash table says."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagescan.dataclasses import replace
from imagescan.elf.facts import ElfFacts
from imagescan.elf.symbols import HashKind, SymbolTable, pack_columns
from imagescan.layers.column_store import TemporaryColumnStore
from imagescan.loader.gnu_hash import gnu_hash, gnu_hashes
from imagescan.loader.symbol_lookup import UNVERSIONED, AnsweredNames, DefinedSymbols, Names, Version
from tests.oracle.model import filesystem
from tests.oracle.roots import root
from tests.requirements import require_root, require_tool

VERSIONS: tuple[Version | None, ...] = (
    UNVERSIONED,
    (b"GLIBC_2.2.5", False),
    (b"GLIBC_2.4", True),
    (b"?", False),
)


@given(st.lists(st.binary(max_size=1100), max_size=40))
def test_many_names_have_the_hashes_of_each(names: list[bytes]) -> None:
    assert gnu_hashes(names) == {name: gnu_hash(name) for name in names}


def test_the_hash_is_the_one_of_the_linker() -> None:
    assert (gnu_hash(b""), gnu_hash(b"printf"), gnu_hash(b"flapenguin.me")) == (
        0x1505,
        0x156B2BB8,
        0x8AE9F18E,
    )


def both_ways(table: SymbolTable, names: Iterable[bytes], *, is_musl: bool) -> None:
    hashes = gnu_hashes(names)
    defined = DefinedSymbols(table, is_musl=is_musl)
    found = AnsweredNames(defined.tests, defined.among(Names(hashes)))
    for version in VERSIONS:
        normal = defined.tests.normal(version)
        each = {name for name, value in hashes.items() if defined.answers(name, value, normal)}
        assert found.of(version) == each


def libraries() -> list[SymbolTable]:
    require_root()
    require_tool("mmdebstrap")
    contents = (entry.content for entry in filesystem(root("bookworm")).contents())
    tables = [one.symbols for one in contents if isinstance(one, ElfFacts) and one.symbols is not None]
    return [one for one in tables if one.hash_kind is HashKind.GNU][:60]


@pytest.mark.oracle
@pytest.mark.parametrize("is_musl", [False, True])
def test_many_names_are_found_as_each_is(is_musl: bool) -> None:
    for table in libraries():
        names = {one.name for one in table.definitions()} | {one.name for one in table.references()}
        both_ways(table, [*names, b"", b"nowhere"], is_musl=is_musl)


@pytest.mark.oracle
def test_many_names_are_found_as_each_is_in_damaged_tables() -> None:
    chance = random.Random(5)
    for table in libraries():
        names = {one.name for one in table.definitions()}
        columns = table.columns()
        for _ in range(3):
            damaged = bytearray(columns.hash_table)
            for _ in range(chance.randrange(1, 40)):
                place = chance.randrange(16, len(damaged))
                damaged[place] ^= 1 << chance.randrange(8)
            first = struct.unpack_from("<I", damaged, 4)[0] + chance.choice((0, 0, 1, 1000))
            struct.pack_into("<I", damaged, 4, first)
            store = TemporaryColumnStore()
            place, length = store.append(pack_columns(columns._replace(hash_table=bytes(damaged))))
            both_ways(replace(table, store=store, offset=place, length=length), names, is_musl=False)
