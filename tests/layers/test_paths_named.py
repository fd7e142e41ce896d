"""Paths of a layer by their last component: the same as going through all entries, and much faster."""

from __future__ import annotations

import random
import time

import pytest

from tests.filesystem.stacks import NAMES, random_layer, tar_parts
from tests.layers.tars import KeepEverything, KeepNothing, file, index, layer


@pytest.mark.parametrize("seed", range(40))
def test_it_agrees_with_going_through_all_entries(seed: int) -> None:
    changes = random_layer(random.Random(seed), 1)
    found = index(layer(*tar_parts(changes)), inspector=KeepEverything())
    for name in (*NAMES, "missing", ""):
        expected = {
            entry.path for entry in found.entries() if entry.path and entry.path.split("/")[-1] == name
        }
        assert set(found.paths_named(name)) == expected


def test_a_name_is_whole() -> None:
    found = index(layer(file(b"d/ab"), file(b"d/abc"), file(b"ab/c"), file(b"e/b"), file(b"e/xab")))
    assert set(found.paths_named("ab")) == {"d/ab", "ab"}
    assert found.paths_named("b") == ("e/b",)
    assert found.paths_named("d/ab") == ()


def test_bytes_that_are_no_utf_8_are_found() -> None:
    found = index(layer(file(b"d/\xff.so")))
    assert found.paths_named("\udcff.so") == ("d/\udcff.so",)


def test_a_layer_of_120_000_entries_answers_without_unpacking_its_names_whatever_they_are() -> None:
    parts = [file(b"d%d/%s%d" % (row % 700, b"a" * 40, row)) for row in range(120_000)]
    found = index(layer(*parts), inspector=KeepNothing())
    started = time.process_time()
    assert found.paths_named("libmissing.so.1") == ()
    assert time.process_time() - started < 2
    assert found.paths_named("a" * 40 + "119999") == (f"d{119999 % 700}/{'a' * 40}119999",)
    started = time.process_time()
    assert found.paths_named("a") == ()
    assert time.process_time() - started < 20
