"""The ELF reader against pyelftools and lief, on every architecture and on this machine's files."""

from __future__ import annotations

import io
import random
import struct
from pathlib import Path

import lief
import pytest
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerDefSection, GNUVerNeedSection

from imagescan.elf.facts import ElfFacts, ElfKind
from imagescan.elf.reader import read_elf
from imagescan.elf.symbols import HashKind, SymbolTable
from imagescan.errors import MalformedBinary
from imagescan.layers.column_store import TemporaryColumnStore
from tests.elf.compile import TARGETS, Body, compile_elf, library, program, user
from tests.requirements import require


def read(data: bytes) -> ElfFacts:
    return read_elf(Body(data), TemporaryColumnStore())


def by_pyelftools(data: bytes) -> dict[str, object]:
    """The same facts from an independent reader (sections for the version tables)."""
    elf = ELFFile(io.BytesIO(data))
    facts: dict[str, object] = {"machine": elf["e_machine"], "needed": [], "soname": None, "run": None}
    for segment in elf.iter_segments():
        if segment["p_type"] == "PT_INTERP":
            facts["interpreter"] = segment.get_interp_name()
        if isinstance(segment, DynamicSegment):
            for tag in segment.iter_tags():
                if tag.entry.d_tag == "DT_NEEDED":
                    facts["needed"].append(tag.needed)  # type: ignore[attr-defined]
                elif tag.entry.d_tag == "DT_SONAME":
                    facts["soname"] = tag.soname
                elif tag.entry.d_tag in ("DT_RPATH", "DT_RUNPATH"):
                    facts["run"] = getattr(tag, "rpath", None) or getattr(tag, "runpath", None)
    needs, definitions = set(), []
    for section in elf.iter_sections():
        if isinstance(section, GNUVerNeedSection):
            for need, versions in section.iter_versions():
                needs |= {(need.name, version.name) for version in versions}
        elif isinstance(section, GNUVerDefSection):
            definitions = [next(iter(names)).name for _, names in section.iter_versions()]
    facts["needs"], facts["definitions"] = needs, definitions
    return facts


def assert_same_as_pyelftools(data: bytes) -> None:
    ours, theirs = read(data), by_pyelftools(data)
    assert list(ours.needed) == theirs["needed"]
    assert ours.soname == theirs["soname"]
    assert (ours.runpath or ours.rpath) == theirs["run"]
    assert ours.interpreter == theirs.get("interpreter")
    assert {(need.file, one.name) for need in ours.version_needs for one in need.versions} == theirs["needs"]
    assert list(ours.version_definitions) == theirs["definitions"]


@pytest.mark.parametrize("target", TARGETS)
def test_every_architecture_reads_as_pyelftools_reads_it(target: str) -> None:
    for path in (library(target), user(target), program(target)):
        assert_same_as_pyelftools(path.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_definitions_carry_their_versions_on_every_architecture(target: str) -> None:
    table = read(library(target).read_bytes()).symbols
    assert table is not None
    found = {
        (one.name, one.version)
        for one in table.definitions()
        if one.version not in ("LIB_1", "LIB_2") or one.name not in ("LIB_1", "LIB_2")
    }
    assert {(b"first_call", b"LIB_1"), (b"shared_data", b"LIB_1"), (b"second_call", b"LIB_2")} <= found


@pytest.mark.parametrize("target", TARGETS)
def test_lazy_and_immediate_references_are_told_apart_on_every_architecture(target: str) -> None:
    table = read(user(target, "-Wl,-z,lazy").read_bytes()).symbols
    assert table is not None
    references = {one.name: one for one in table.references()}
    assert references[b"second_call"].version == b"LIB_2"
    assert references[b"second_call"].library == "libfirst.so.1"
    assert not references[b"second_call"].lazy, "a pointer in data is filled at start"
    assert not references[b"shared_data"].lazy
    assert references[b"absent_call"].version is None
    # ziglang's linker makes no lazy stubs for MIPS: its loader fills the whole table at start.
    is_mips = target.startswith("mips")
    assert references[b"absent_call"].lazy != is_mips, "a call through the PLT waits for its first use"
    assert b"optional_call" not in references, "weak references are never missed"


@pytest.mark.parametrize("target", TARGETS)
def test_bind_now_is_seen_on_every_architecture(target: str) -> None:
    assert not read(user(target, "-Wl,-z,lazy").read_bytes()).bind_now
    assert read(user(target, "-Wl,-z,now").read_bytes()).bind_now


@pytest.mark.parametrize("target", TARGETS)
def test_a_file_without_section_headers_reads_the_same(target: str) -> None:
    data = bytearray(user(target).read_bytes())
    whole = read(bytes(data))
    wide, order = data[4] == 2, "<" if data[5] == 1 else ">"
    struct.pack_into(order + ("Q" if wide else "I"), data, 40 if wide else 32, 0)
    struct.pack_into(order + "HH", data, 60 if wide else 48, 0, 0)
    assert read(bytes(data)) == whole


def test_kinds_are_told_by_interpreter_type_and_flags() -> None:
    target = "x86_64-linux-gnu"
    static = compile_elf(target, "static", "void _start(void) {}", "-static")
    static_pie = compile_elf(target, "static-pie", "void _start(void) {}", "-static-pie")
    assert read(library(target).read_bytes()).kind == ElfKind.LIBRARY
    assert read(program(target).read_bytes()).kind == ElfKind.PROGRAM
    assert read(static.read_bytes()).kind == ElfKind.STATIC
    assert read(static_pie.read_bytes()).kind == ElfKind.STATIC
    relocatable = compile_elf(target, "object.o", "int x;", "-c")
    assert read(relocatable.read_bytes()).kind == ElfKind.OTHER


def machine_files() -> list[Path]:
    """Some hundreds of this machine's own ELF files, the same ones in each run."""
    files = sorted(
        path for folder in ("/usr/bin", "/usr/lib") for path in Path(folder).rglob("*") if _is_elf(path)
    )
    return random.Random(1).sample(files, min(len(files), 150))


def _is_elf(path: Path) -> bool:
    if path.is_symlink() or not path.is_file() or path.stat().st_size > 8 << 20:
        return False
    with path.open("rb") as file:
        return file.read(18)[:4] == b"\x7fELF" and path.suffix not in (".o", ".ko", ".debug")


def test_this_machines_files_read_as_pyelftools_reads_them() -> None:
    files = machine_files()
    require(len(files) > 20, "this machine has hardly any ELF files")
    for path in files:
        assert_same_as_pyelftools(path.read_bytes())


def test_this_machines_symbols_read_as_lief_reads_them() -> None:
    lief.logging.disable()
    files = machine_files()
    require(len(files) > 20, "this machine has hardly any ELF files")
    for path in files:
        data = path.read_bytes()
        table, parsed = read(data).symbols, lief.ELF.parse(list(data))
        if table is None or parsed is None:
            continue
        theirs = {
            str(one.name)
            for one in parsed.dynamic_symbols
            if one.shndx
            and one.binding != lief.ELF.Symbol.BINDING.LOCAL
            and (one.value or int(one.type) == 6)
        }
        ours = {one.name.decode() for one in table.definitions()}
        # Version names are absolute symbols with value 0: a lookup may match them, lief's value filter not.
        assert theirs - ours == set(), path
        assert {name for name in ours - theirs if name not in read(data).version_definitions} == set(), path


@pytest.mark.parametrize("target", ["x86_64-linux-gnu", "s390x-linux-gnu", "arm-linux-gnueabihf"])
def test_a_file_cut_anywhere_gives_facts_or_one_named_error(target: str) -> None:
    data = user(target).read_bytes()
    for length in range(0, len(data), 7):
        try:
            facts = read(data[:length])
        except MalformedBinary:
            assert length < 64
        else:
            assert facts.truncated or facts.damage or length >= facts.segments[-1].offset


@pytest.mark.parametrize("seed", range(4))
def test_a_file_with_wrong_bytes_gives_facts_or_one_named_error(seed: int) -> None:
    chance = random.Random(seed)
    originals = [
        user(target).read_bytes() for target in ("x86_64-linux-gnu", "x86-linux-gnu", "mips64-linux-gnuabi64")
    ]
    for _ in range(1500):
        data = bytearray(chance.choice(originals))
        for _ in range(chance.randint(1, 6)):
            data[chance.randrange(min(len(data), 4096))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
        try:
            facts = read(bytes(data))
            if facts.symbols:
                list(facts.symbols.definitions())
                facts.symbols.references()
        except MalformedBinary:
            pass


def test_a_version_table_that_points_to_itself_ends() -> None:
    data = bytearray(library("x86_64-linux-gnu").read_bytes())
    elf = ELFFile(io.BytesIO(bytes(data)))
    offset = elf.get_section_by_name(".gnu.version_d")["sh_offset"]
    struct.pack_into("<I", data, offset + 16, 0xFFFFFFFF)  # vd_next far outside
    assert "outside" in read(bytes(data)).damage


def test_a_string_table_larger_than_the_file_reads_what_there_is() -> None:
    data = bytearray(library("x86_64-linux-gnu").read_bytes())
    elf = ELFFile(io.BytesIO(bytes(data)))
    section = elf.get_section_by_name(".dynamic")
    for index, tag in enumerate(section.iter_tags()):
        if tag.entry.d_tag == "DT_STRSZ":
            struct.pack_into("<Q", data, section["sh_offset"] + 16 * index + 8, 1 << 60)
    assert read(bytes(data)).damage == "dynamic string table lies outside the file"


def gnu_hash_chains(table: SymbolTable) -> list[int]:
    """Every symbol that the raw DT_GNU_HASH column leads to, bucket by bucket."""
    raw = table.columns().hash_table
    buckets, first, bloom, _ = struct.unpack_from(table.order + "4I", raw)
    start = 16 + bloom * (8 if table.elf_class == 64 else 4)
    numbers = struct.unpack_from(f"{table.order}{(len(raw) - start) // 4}I", raw, start)
    assert first == table.first_hashed or not any(numbers[:buckets])
    found = []
    for symbol in filter(None, numbers[:buckets]):
        while True:
            found.append(symbol)
            if numbers[buckets + symbol - first] & 1:
                break
            symbol += 1
    return found


def test_the_raw_hash_tables_lead_to_every_symbol_that_pyelftools_counts() -> None:
    files = [*(library(target) for target in TARGETS), *machine_files()]
    kinds = set()
    for path in files:
        data = path.read_bytes()
        table = read(data).symbols
        if table is None:
            continue
        kinds.add(table.hash_kind)
        sections = {one["sh_type"]: one for one in ELFFile(io.BytesIO(data)).iter_sections()}
        raw = table.columns().hash_table
        if table.hash_kind is HashKind.GNU:
            section = sections.get("SHT_GNU_HASH")
            found = gnu_hash_chains(table)
            assert len(set(found)) == len(found)
            if section is not None and found:
                assert 1 + max(found) == section.get_number_of_symbols(), path
                assert len(raw) == section["sh_size"], path
        elif table.hash_kind is HashKind.SYSTEM_V:
            buckets, symbols = struct.unpack_from(table.order + "2I", raw)
            assert len(raw) == 4 * (2 + buckets + symbols)
            assert symbols == sections["SHT_HASH"].get_number_of_symbols()
    assert {HashKind.GNU, HashKind.SYSTEM_V} <= kinds


def test_a_hash_table_that_is_cut_short_is_none() -> None:
    data = bytearray(user("x86_64-linux-gnu", "-Wl,--hash-style=gnu").read_bytes())
    whole = read(bytes(data)).symbols
    assert whole is not None and whole.hash_kind is HashKind.GNU
    section = ELFFile(io.BytesIO(bytes(data))).get_section_by_name(".gnu.hash")
    struct.pack_into("<I", data, section["sh_offset"] + 8, 1 << 24)  # words of bloom filter
    cut = read(bytes(data)).symbols
    assert cut is not None
    assert cut.hash_kind is HashKind.NONE
    assert cut.columns().hash_table == b""


def test_versions_that_many_files_need_are_shared_and_told_apart() -> None:
    first, second = (read(path.read_bytes()) for path in (user("x86_64-linux-gnu"), user("s390x-linux-gnu")))
    pairs = zip(first.version_needs, second.version_needs, strict=True)
    for one, other in pairs:
        assert [version.name for version in one.versions] == [version.name for version in other.versions]
        assert all(a is b for a, b in zip(one.versions, other.versions, strict=True))
