"""Link maps that were worked out before: the same as those worked out anew, and for the same tree only."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from imagescan.cache.link_tables import LOADER_VARIABLES, KeptTable, check, table_key
from imagescan.content import FileInspector
from imagescan.filesystem.merge import merge
from imagescan.layers.parallel import index_image
from imagescan.layers.values import LayerIndex
from imagescan.loader.environment import ProcessEnvironment
from imagescan.loader.simulate import Simulation
from imagescan.options import ScanOptions
from imagescan.reports.json_report import plain
from imagescan.rules.examples.elf_writer import ElfStandIn, write_elf
from imagescan.scan import scan
from imagescan.sources.select import SourceOptions, open_source
from samples.oci import File
from tests.cache.images import CachedScans, base_layer, layout, program_layer

COLD = ScanOptions(platform="linux/amd64")


def plugin_layer(needed: str = "libgone.so.9") -> dict[str, File]:
    """A Python interpreter, and an extension module that needs a symbol of it: a plugin and its host."""
    python = ElfStandIn(
        type="program", interpreter="/lib64/ld-linux-x86-64.so.2", needed=("libx.so.1",), defined=("PyInit",)
    )
    module = ElfStandIn(needed=(needed,), undefined=("PyInit",))
    return {
        "usr/bin/python3.11": File(write_elf(python), mode=0o755),
        "usr/lib/python3.11/lib-dynload/_x.cpython-311-x86_64-linux-gnu.so": File(write_elf(module)),
    }


@pytest.fixture
def image(tmp_path: Path) -> str:
    lacking_symbols = {"usr/bin/other": program_layer()["app"]}
    layers = base_layer(), program_layer("libgone.so.2"), plugin_layer() | lacking_symbols
    return layout(tmp_path / "image", *layers)


@pytest.fixture
def scans(tmp_path: Path) -> CachedScans:
    return CachedScans(tmp_path / "cache")


def knows_link_maps(scans: CachedScans) -> bool:
    return any("the link maps are known" in text for text in scans.details)


def test_known_link_maps_give_the_same_report_and_the_same_tree(image: str, scans: CachedScans) -> None:
    scans(image)
    warm = scans(image, variables=("A=b",))
    assert knows_link_maps(scans)
    cold = scan(image, replace(COLD, variables=("A=b",)))[0]
    assert json.dumps(plain(warm.report)) == json.dumps(plain(cold.report))
    assert warm.links == cold.links


def test_no_link_map_is_worked_out_again(
    tmp_path: Path, scans: CachedScans, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[object, ...]] = []
    real = Simulation.plugin_map
    monkeypatch.setattr(Simulation, "plugin_map", lambda *words: opened.append(words[1:]) or real(*words))
    base = {path: file for path, file in base_layer().items() if not path.endswith(".jar")}
    image = layout(tmp_path / "image", base, program_layer(), plugin_layer("libx.so.1"))
    scans(image)
    assert opened
    opened.clear()

    def refuse(*_: object) -> None:
        raise AssertionError("worked out again")

    for name in ("closures", "link_map", "whole_plugin_map"):
        monkeypatch.setattr(Simulation, name, refuse)
    scans(image, variables=("A=b",))
    assert opened == []


@pytest.mark.parametrize("variable", ["LD_LIBRARY_PATH=/opt", "LD_PRELOAD=x.so", "LD_BIND_NOW=1"])
def test_a_variable_of_the_loader_is_another_question(image: str, scans: CachedScans, variable: str) -> None:
    scans(image)
    warm = scans(image, variables=(variable,))
    assert not knows_link_maps(scans)
    assert warm.report == scan(image, replace(COLD, variables=(variable,)))[0].report


def layers_of(image: str) -> tuple[LayerIndex, ...]:
    with open_source(image, SourceOptions()) as source:
        (manifest,) = source.images(None)
        return index_image(source, manifest, FileInspector)


def test_loaders_ask_for_no_other_variables_than_the_key_covers(image: str) -> None:
    asked = set()

    class Variables(dict[str, str]):
        def get(self, name: str, default: Any = None) -> Any:
            asked.add(name)
            return super().get(name, default)

        def __getitem__(self, name: str) -> str:
            asked.add(name)
            return super().__getitem__(name)

    simulation = Simulation(merge(layers_of(image)), ProcessEnvironment(variables=Variables()))
    for path in simulation.closures().programs():
        simulation.link_map(path)
    assert asked
    assert all(name.startswith(LOADER_VARIABLES) for name in asked)


def test_each_part_of_the_environment_changes_the_key(image: str) -> None:
    layers = layers_of(image)
    plain_environment = ProcessEnvironment()
    keys = {table_key(layers, plain_environment), table_key(layers[:2], plain_environment)}
    keys.add(table_key((layers[1], layers[0], layers[2]), plain_environment))
    for field in fields(ProcessEnvironment):
        value: Any = {"LD_PRELOAD": "x"} if field.name == "variables" else f"another {field.name}"
        keys.add(table_key(layers, replace(plain_environment, **{field.name: value})))
    assert len(keys) == 3 + len(fields(ProcessEnvironment))
    unrelated = replace(plain_environment, variables={"PATH": "/bin"})
    assert table_key(layers, unrelated) in keys


def test_damaged_tables_are_dropped_and_made_anew(image: str, scans: CachedScans) -> None:
    cold = scans(image).report
    for file in scans.files("links"):
        data = bytearray(file.read_bytes())
        data[-100] ^= 0xFF
        file.write_bytes(data)
    again = scans(image, variables=("A=b",))
    assert sum("dropped links/" in text for text in scans.details) == 3
    assert again.report.findings == cold.findings
    scans(image, variables=("A=c",))
    assert knows_link_maps(scans)


def test_columns_that_do_not_belong_together_are_refused(image: str) -> None:
    table = Simulation(merge(layers_of(image)), ProcessEnvironment()).closures()
    paths = tuple(one.requested for one in table.loaders)
    check(KeptTable(table, paths))
    for name in ("files", "served_by", "starts", "loaded", "asked", "names"):
        with pytest.raises(Exception, match="do not belong together"):
            check(KeptTable(replace(table, **{name: getattr(table, name)[:1]}), paths))
