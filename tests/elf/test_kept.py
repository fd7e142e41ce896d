"""What is left out of large ELF files changes no fact, and a file that lies about its tables is named."""

from __future__ import annotations

import struct

import pytest

from imagescan.elf import kept, reader
from imagescan.elf.dynamic import PIECE_BYTES
from imagescan.elf.facts import ElfFacts
from imagescan.elf.header import PT_DYNAMIC, PT_LOAD, ProgramHeader, read_header
from imagescan.elf.kept import kept_ranges
from imagescan.elf.reader import read_elf
from imagescan.layers.body import Rope
from imagescan.layers.column_store import TemporaryColumnStore
from tests.elf.compile import TARGETS, Body, library, program, user
from tests.elf.test_reader import machine_files
from tests.requirements import require

START = 4096


def read_whole(data: bytes) -> ElfFacts:
    return read_elf(Body(data), TemporaryColumnStore())


def read_kept(data: bytes) -> tuple[ElfFacts, int]:
    """The facts of a file of which only what is named was kept, and how much that was."""
    rope = Rope()
    rope.append(memoryview(data)[:START])
    ranges = kept_ranges(rope)
    if ranges is not None:
        rope.keep(ranges)
    for at in range(START, len(data), 10_000):
        rope.append(memoryview(data)[at : at + 10_000])
    held = (
        len(data)
        if ranges is None
        else sum(len(range(one.start, min(one.stop, len(data)))) for one in ranges)
    )
    return read_elf(rope, TemporaryColumnStore()), held


def assert_same(data: bytes) -> int:
    whole, (part, held) = read_whole(data), read_kept(data)
    assert (whole.symbols is None) == (part.symbols is None)
    if whole.symbols is not None and part.symbols is not None:
        assert whole.symbols.columns() == part.symbols.columns()
    assert whole == part
    return held


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("build", (library, user, program))
def test_compiled_files_of_every_architecture(target: str, build: object) -> None:
    assert_same(build(target).read_bytes())  # type: ignore[operator]


def test_this_machines_libraries_lose_their_code_and_no_fact() -> None:
    files = [path.read_bytes() for path in machine_files()]
    held = sum(map(assert_same, files))
    require(held < 0.8 * sum(map(len, files)), "this machine's files keep code and data in one segment")


def test_a_table_that_was_not_kept_is_damage_and_no_wrong_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAXIMUM_LOADER_SIZE", 0)
    data = user("x86_64-linux-gnu").read_bytes()
    dynamic = read_header(Body(data)).first(PT_DYNAMIC)
    assert dynamic is not None
    rope = Rope()
    rope.append(memoryview(data)[:520])
    rope.keep((range(dynamic.offset, dynamic.offset + dynamic.file_size),))
    rope.append(memoryview(data)[520:])
    assert "not where they are looked for" in read_elf(rope, TemporaryColumnStore()).damage


def test_of_one_segment_a_bounded_part_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "SEGMENT_START", 1000)
    data = library("x86_64-linux-gnu").read_bytes()
    header = read_header(Body(data))
    segments = len(header.loads)
    ranges = kept_ranges(Body(data))
    assert ranges is not None
    others = sum(one.file_size for one in map(ProgramHeader._make, header.segments) if one.type != PT_LOAD)
    assert sum(map(len, ranges)) <= (1000 + PIECE_BYTES) * segments + others


def test_a_file_without_segments_keeps_nothing_but_its_start() -> None:
    data = bytearray(library("x86_64-linux-gnu").read_bytes())
    struct.pack_into("<H", data, 56, 0)  # e_phnum
    assert kept_ranges(Body(bytes(data))) == ()


def test_program_headers_beyond_the_start_keep_everything() -> None:
    data = bytearray(library("x86_64-linux-gnu").read_bytes())
    struct.pack_into("<Q", data, 32, 1 << 40)  # e_phoff
    assert kept_ranges(Body(bytes(data))) is None
    assert kept_ranges(Body(data[:40])) is None


def test_segments_that_overlap_are_not_read_for_each_of_them() -> None:
    """A loader's strings are looked for in what a file loads, however often it says so."""
    segment = struct.pack("<IIQQQQQQ", PT_LOAD, 4, 0, 0, 0, 1 << 20, 1 << 20, 4096)
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 3, 62, 1, 0, 64, 0, 0, 64, 56, 4000, 0, 0, 0)
    data = header + segment * 4000
    body = CountingBody(data + bytes((1 << 20) - len(data)))
    facts = read_elf(body, TemporaryColumnStore())
    assert len(facts.segments) == 4000
    assert body.bytes_read < 2 * reader.MAXIMUM_LOADER_SIZE


class CountingBody(Body):
    bytes_read = 0

    def read(self, offset: int, length: int) -> bytes:
        found = super().read(offset, length)
        self.bytes_read += len(found)
        return found
