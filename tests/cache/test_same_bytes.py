"""A cold scan, a warm one, one without cache, and layers read by one process, by threads or by several
processes give the same JSON, byte for byte."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import pytest

from imagescan import judging
from imagescan.cli.main import run
from imagescan.rules.examples.elf_writer import ElfStandIn, write_elf
from samples import build
from samples.oci import File, ImageBuilder, write_layout
from tests.cache.images import LOADER, WAYS, CachedScans, base_layer, layout, program_layer, read_by
from tests.oracle.roots import root
from tests.requirements import require_root
from tests.sources.faulty_registry import FaultyRegistry

ROOT = Path(__file__).parents[2]
FIRST_PIECE = 70  # the place in a layer's file where its head ends


def imagescan(image: str, cache: Path, *words: str) -> tuple[int, str, str]:
    """What a user would see, in this process."""
    out, errors = io.StringIO(), io.StringIO()
    words = (image, "-o", "json", "--cache-dir", str(cache), *words)
    return run(words, {}, ROOT, out, errors), out.getvalue(), errors.getvalue()


def read_somewhere(way: str, image: str, cache: Path) -> tuple[int, str, str]:
    """One layer after the other in one thread, or each in a thread or a process of its own."""
    with read_by(way):
        return imagescan(image, cache)


def every_way(image: str, directory: Path) -> list[tuple[int, str, str]]:
    """All ways to the same answer; what each of them knows is different."""
    cache = directory / "cache"
    found = [
        imagescan(image, directory / "none", "--no-cache"),
        *(read_somewhere(way, image, directory / way) for way in WAYS),
        imagescan(image, cache),  # cold
        imagescan(image, cache),  # the report is known
    ]
    for gone in ("answers", "links"):  # link maps are known, then layers only
        shutil.rmtree(cache / gone)
        shutil.rmtree(cache / "answers", ignore_errors=True)
        found.append(imagescan(image, cache))
    return found


STARTS = (
    ("--entrypoint", "/bin/sh"),
    ("--entrypoint", '["sh", "-c", "exec app --x"]'),
    ("--entrypoint", "/no/such"),
    ("--env", "LD_LIBRARY_PATH=.:/x", "--cmd", "app"),
)


@pytest.mark.parametrize("name", build.names())
def test_every_sample(name: str, tmp_path: Path) -> None:
    image = f"oci:{build.build(name, tmp_path)}"
    found = every_way(image, tmp_path)
    assert found[0][1].startswith("{")
    assert set(found) == {found[0]}
    (tmp_path / "added").write_bytes(b"#!/bin/sh\n")
    added = ("--add", f"{tmp_path / 'added'}:/added", "--entrypoint", "/added")
    for words in (*STARTS, added):  # the files are known
        assert imagescan(image, tmp_path / "cache", *words) == imagescan(
            image, tmp_path / "cache", "--no-cache", *words
        )


@pytest.mark.oracle
def test_a_real_root_file_system(tmp_path: Path) -> None:
    require_root()
    image = ImageBuilder("linux/amd64", {"Cmd": ["bash"]})
    tar = subprocess.run(["tar", "-C", root("bookworm"), "-cf", "-", "."], stdout=subprocess.PIPE, check=True)
    image.raw_layer(tar.stdout, created_by="ADD rootfs /", compression="none")
    image.layer({"etc/ld.so.conf.d/x.conf": File(b"/opt/x\n")}, created_by="RUN x")
    found = every_way(f"oci:{write_layout(tmp_path / 'layout', {'latest': image})}", tmp_path)
    assert set(found) == {found[0]}


def instructed(directory: Path, more: str = "", config: dict[str, object] | None = None) -> str:
    """An image with findings that name layers and instructions, all but ENV with ``more`` to them."""
    entrypoint = {"Entrypoint": ["/app"], "Env": ["LD_PRELOAD=/no.so"]}
    image = ImageBuilder("linux/amd64", {**entrypoint, **(config or {})})
    image.layer(base_layer(), created_by=f"FROM debian{more}")
    image.instruction("ENV LD_PRELOAD=/no.so")
    image.layer(program_layer("libgone.so.2"), created_by=f"COPY app{more}")
    image.instruction(f"ARG x{more}")
    return f"oci:{write_layout(directory, {'latest': image})}"


def answered(image: str, cache: Path) -> bool:
    """Whether the report is known."""
    return "the answer for" in imagescan(image, cache, "-v")[2]


@pytest.mark.parametrize(
    ("more", "config"),
    [
        (" # again", {}),
        (" # jib-maven-plugin", {}),
        ("", {"Labels": {"io.buildpacks.lifecycle.metadata": "x"}, "ExposedPorts": {"80/tcp": {}}}),
    ],
)
def test_an_image_that_differs_in_names_only_has_the_known_answer_under_its_own(
    tmp_path: Path, more: str, config: dict[str, object]
) -> None:
    one, other = instructed(tmp_path / "one"), instructed(tmp_path / "other", more, config)
    cold = imagescan(other, tmp_path / "none", "--no-cache")
    assert cold[1] != imagescan(one, tmp_path / "cache")[1].replace("one", "other")
    assert answered(other, tmp_path / "cache")
    assert imagescan(other, tmp_path / "cache") == cold


def test_an_instruction_that_a_finding_names_makes_another_answer(tmp_path: Path) -> None:
    one, other = instructed(tmp_path / "one"), tmp_path / "other"
    imagescan(one, tmp_path / "cache")
    image = ImageBuilder("linux/amd64", {"Entrypoint": ["/app"], "Env": ["LD_PRELOAD=/no.so"]})
    image.layer(base_layer(), created_by="FROM debian")
    image.layer(program_layer("libgone.so.2"), created_by="COPY app")
    image.instruction("ENV A=b LD_PRELOAD=/no.so")
    name = f"oci:{write_layout(other, {'latest': image})}"
    found = imagescan(name, tmp_path / "cache")
    assert "ENV A=b" in found[1]
    assert found == imagescan(name, tmp_path / "none", "--no-cache")


def test_a_registry_is_asked_for_manifest_and_config_only_when_the_layers_are_known(tmp_path: Path) -> None:
    with FaultyRegistry() as registry:
        registry.store.image(tag="one")
        registry.store.image(tag="two", config={"config": {"Entrypoint": ["/x"]}})
        first = imagescan(f"registry:{registry.host}/x:one", tmp_path / "cache", "--platform", "linux/amd64")
        assert first[0] in (0, 1), first
        registry.seen.clear()
        second = imagescan(f"registry:{registry.host}/x:two", tmp_path / "cache", "--platform", "linux/amd64")
        assert second[0] in (0, 1), second
        assert len(registry.requests("/manifests/")) == 1
        assert len(registry.requests("/blobs/")) == 1
        registry.seen.clear()
        again = imagescan(f"registry:{registry.host}/x:two", tmp_path / "cache", "--platform", "linux/amd64")
        assert again == second
        assert len(registry.requests("/manifests/")) == 1


def test_symbols_that_turn_out_to_be_damaged_late_are_read_again(tmp_path: Path) -> None:
    image = layout(tmp_path / "image")
    scans = CachedScans(tmp_path / "cache")
    cold = scans(image).report
    for file in scans.files("layers"):
        data = bytearray(file.read_bytes())
        data[FIRST_PIECE] ^= 0xFF
        file.write_bytes(data)
    again = scans(image, variables=("LD_BIND_NOW=1",))
    assert scans.known_layers
    assert any("wrong checksum of symbols" in text for text in scans.details)
    assert again.report.findings == cold.findings


class Judgings:
    """Counts images that are judged, not known."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._judge = judging.judge_image
        patch.setattr(judging, "judge_image", self)

    def __call__(self, *arguments: object) -> object:
        self.count += 1
        return self._judge(*arguments)  # type: ignore[arg-type]


@pytest.fixture
def judgings(monkeypatch: pytest.MonkeyPatch) -> Judgings:
    return Judgings(monkeypatch)


def several(directory: Path, **config: object) -> str:
    """An image with two sound programs, one that lacks a library, and a script."""
    sound = ElfStandIn(type="program", interpreter=LOADER, needed=("libx.so.1",), undefined=("hello",))
    program = File(write_elf(sound), mode=0o755)
    files = {**base_layer(), "app": program, "other": program, "bin/sh": program}
    files["broken"] = program_layer("libgone.so.2")["app"]
    files["start"] = File(b"#!/bin/sh\nexec /other\n", mode=0o755)
    return layout(directory, files, config=config)


def test_files_that_are_known_are_not_judged_again_when_something_else_starts(
    tmp_path: Path, judgings: Judgings
) -> None:
    cache = tmp_path / "cache"
    imagescan(several(tmp_path / "one", Entrypoint=["/app"]), cache)
    assert judgings.count == 1
    for number, config in enumerate(
        (
            {"Entrypoint": ["/other"]},
            {"Entrypoint": ["/start"], "Labels": {"a": "b"}},
            {"Entrypoint": None, "Cmd": ["/app", "--x"]},
            {"Entrypoint": ["/app"], "Healthcheck": {"Test": ["CMD", "/other"]}},
        )
    ):
        other = several(tmp_path / f"other{number}", **config)
        found = imagescan(other, cache)
        assert judgings.count == 1
        assert found == imagescan(other, cache, "--no-cache")
        judgings.count = 1


@pytest.mark.parametrize("command", [["/other"], ["/other", "/broken"], ["other"], ["app", "-c", "x"]])
def test_no_layer_is_looked_at_where_a_known_program_starts_by_itself(
    tmp_path: Path, judgings: Judgings, command: list[str]
) -> None:
    cache, path = tmp_path / "cache", {"Env": ["PATH=/usr/bin:/"]}
    imagescan(several(tmp_path / "one", Entrypoint=["/app"], **path), cache)
    other = several(tmp_path / "other", Entrypoint=None, Cmd=command, **path)
    cold = imagescan(other, cache, "--no-cache")
    shutil.rmtree(cache / "layers")
    assert imagescan(other, cache) == cold
    assert judgings.count == 2
    assert not (cache / "layers").exists()


@pytest.mark.parametrize(
    "config",
    [
        {"Entrypoint": ["/broken"]},
        {"Entrypoint": ["/no/such"]},
        {"Entrypoint": None},
        {"Entrypoint": ["/usr/lib/x86_64-linux-gnu/libx.so.1"]},
        {"Entrypoint": ["/app"], "User": "nobody"},
        {"Entrypoint": ["/app"], "Env": ["LD_LIBRARY_PATH=/x"]},
        {"Entrypoint": ["/app"], "Healthcheck": {"Test": ["CMD", "/broken"]}},
    ],
)
def test_files_are_judged_again_where_the_start_changes_what_is_found(
    tmp_path: Path, judgings: Judgings, config: dict[str, object]
) -> None:
    cache = tmp_path / "cache"
    imagescan(several(tmp_path / "one", Entrypoint=["/app"]), cache)
    other = several(tmp_path / "other", **config)
    found = imagescan(other, cache)
    assert judgings.count == 2
    assert found == imagescan(other, cache, "--no-cache")


def test_a_start_that_fails_leaves_nothing_for_others(tmp_path: Path, judgings: Judgings) -> None:
    cache = tmp_path / "cache"
    imagescan(several(tmp_path / "one", Entrypoint=["/broken"]), cache)
    other = several(tmp_path / "other", Entrypoint=["/app"])
    assert imagescan(other, cache) == imagescan(other, cache, "--no-cache")
    assert judgings.count == 3


def test_a_damaged_judgement_of_files_is_made_again(tmp_path: Path, judgings: Judgings) -> None:
    cache = tmp_path / "cache"
    imagescan(several(tmp_path / "one", Entrypoint=["/app"]), cache)
    (file,) = (cache / "answers").glob("*.files")
    file.write_bytes(file.read_bytes()[:-1])
    other = several(tmp_path / "other", Entrypoint=["/other"])
    found = imagescan(other, cache)
    assert judgings.count == 2
    assert found == imagescan(other, cache, "--no-cache")


def test_other_files_or_rules_are_judged(tmp_path: Path, judgings: Judgings) -> None:
    cache = tmp_path / "cache"
    imagescan(several(tmp_path / "one", Entrypoint=["/app"]), cache)
    imagescan(several(tmp_path / "other", Entrypoint=["/other"]), cache, "--kernel", "5.10")
    imagescan(layout(tmp_path / "third", base_layer(), program_layer()), cache)
    (tmp_path / "rules").mkdir()
    imagescan(several(tmp_path / "other", Entrypoint=["/other"]), cache, "--rules", str(tmp_path / "rules"))
    assert judgings.count == 4
