"""What is kept of symbols that nothing defines takes little memory, however many files miss them."""

from __future__ import annotations

import tracemalloc

import pytest

from imagescan.filesystem.values import RootFilesystem
from imagescan.layers.values import ImagePath
from imagescan.loader.environment import ProcessEnvironment
from imagescan.loader.missing_symbols import Binding, MissingSymbols
from imagescan.loader.simulate import Simulation
from tests.loader.test_closures import LIB, library, program, view

FILES = 40
SYMBOLS = 500
MAXIMUM_BYTES = 30  # for each symbol that a file misses; a value of its own for each takes 90


def tree(symbols: int) -> RootFilesystem:
    undefined = tuple(f"a_function_that_nothing_defines_{number}" for number in range(symbols))
    return view({f"/bin/{number}": program(undefined=undefined) for number in range(FILES)})


def bytes_kept(symbols: int) -> tuple[int, object]:
    files = tree(symbols)
    tracemalloc.start()
    table = Simulation(files, ProcessEnvironment()).closures()
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert sum(len(one.missing_symbols) for one in table.problems.values()) == symbols * FILES
    return kept, table


def test_a_symbol_that_many_files_miss_takes_a_pointer_in_each() -> None:
    bytes_kept(1)  # what is made once for all images
    few, many = bytes_kept(1)[0], bytes_kept(SYMBOLS)[0]
    assert (many - few) / (FILES * SYMBOLS) < MAXIMUM_BYTES


@pytest.mark.parametrize("now", [False, True])
def test_what_a_plugin_misses_is_what_it_misses_by_itself(*, now: bool) -> None:
    plugin = ImagePath(f"{LIB}/plugin.so")
    files = view(
        {
            "/host": program(),
            plugin: library(undefined=("at_once",), undefined_lazy=("later",)),
        }
    )
    simulation = Simulation(files, ProcessEnvironment())
    alone = simulation.closures().problems_of(plugin).missing_symbols
    opened = simulation.plugin_map(ImagePath("/host"), (plugin,), now).missing_symbols
    assert [(one.symbol, one.binding) for one in alone] == [
        ("at_once", Binding.IMMEDIATE),
        ("later", Binding.LAZY),
    ]
    assert [(one.symbol, one.needed_by) for one in opened] == [("at_once", plugin), ("later", plugin)]
    assert opened.immediate == len(opened) - (not now)
    assert opened.objects[0].references is alone.objects[0].references
    assert opened.libraries(Binding.IMMEDIATE) == {""} and opened.names == {b"at_once", b"later"}


def test_nothing_is_missing_where_no_object_misses_anything() -> None:
    assert (bool(MissingSymbols()), len(MissingSymbols()), [*MissingSymbols()]) == (False, 0, [])
