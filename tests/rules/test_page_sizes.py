"""The page size that a file was linked for, as a real linker writes it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from imagescan.elf.reader import read_elf
from imagescan.layers.column_store import TemporaryColumnStore
from imagescan.rules.detectors.page_sizes import smallest_alignment
from tests.elf.compile import Body
from tests.requirements import require_tool


@pytest.mark.parametrize("size", [4096, 16384, 65536])
@pytest.mark.parametrize("shape", ["-shared", "-pie", "-no-pie"])
def test_the_alignment_is_the_one_that_the_linker_was_told(size: int, shape: str, tmp_path: Path) -> None:
    source, made = tmp_path / "a.c", tmp_path / "a"
    source.write_text("int value = 1; void _start(void) { value = 2; }")
    command = [require_tool("gcc"), "-nostdlib", shape, "-fPIC", f"-Wl,-z,max-page-size={size}"]
    subprocess.run([*command, f"-Wl,-z,common-page-size={size}", "-o", made, source], check=True)
    assert smallest_alignment(read_elf(Body(made.read_bytes()), TemporaryColumnStore())) == size
