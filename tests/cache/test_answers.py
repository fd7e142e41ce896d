"""Known answers: the same bytes as a cold scan in every format, for the same question only."""

from __future__ import annotations

import io
import json
import os
from dataclasses import fields, replace
from pathlib import Path

import pytest

from imagescan.cache import answers, identity
from imagescan.cache.answers import OPTIONS_WITHOUT_EFFECT, answer_key
from imagescan.cli.main import run
from imagescan.cli.options import FORMATS
from imagescan.options import CacheOptions, ScanOptions
from imagescan.reference import Platform
from imagescan.rules.detectors.page_sizes import LARGEST_PAGE
from imagescan.scan import scan
from imagescan.sources.values import ImageConfig, ImageManifest
from imagescan.subject import CAUSES_NAME_LAYERS
from tests.cache.images import CachedScans, layout, manifest_of


class CommandLine:
    """Runs commands in a directory of its own, with one cache."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __call__(self, *words: str, cache: bool = True, **environment: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        where = (
            {"IMAGESCAN_CACHE_DIR": str(self.directory / "cache")} if cache else {"IMAGESCAN_NO_CACHE": "1"}
        )
        words = (*words, "--platform", "linux/amd64") if words[0] not in ("cache", "diff") else words
        code = run(words, {**where, **environment}, self.directory, out, err)
        return code, out.getvalue(), err.getvalue()


@pytest.fixture
def command(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


@pytest.fixture
def image(tmp_path: Path) -> str:
    return layout(tmp_path / "image")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("more", [(), ("-q",), ("-v",), ("--fail-on", "never")])
def test_a_known_answer_is_shown_as_a_cold_one(
    command: CommandLine, image: str, format: str, more: tuple[str, ...]
) -> None:
    cold = command(image, "-o", format, *more, cache=False)
    first = command(image, "-o", format, *more)
    second = command(image, "-o", format, *more)
    assert first[:2] == second[:2] == cold[:2]
    assert ("the answer for" in second[2]) is ("-v" in more)


def test_a_known_answer_is_told_with_v(command: CommandLine, image: str) -> None:
    command(image)
    assert "the answer for" in command(image, "-v")[2]


def test_the_image_has_the_name_that_it_was_asked_by(
    command: CommandLine, image: str, tmp_path: Path
) -> None:
    command(image, "-o", "json")
    (tmp_path / "image").rename(tmp_path / "moved")
    moved = f"oci:{tmp_path / 'moved'}"
    report = json.loads(command(moved, "-o", "json")[1])
    assert report["image"]["reference"] == moved
    assert report == json.loads(command(moved, "-o", "json", cache=False)[1])


def test_waivers_baseline_and_threshold_are_applied_to_a_known_answer(
    command: CommandLine, image: str, tmp_path: Path
) -> None:
    assert command(image)[0] == 1
    (tmp_path / "baseline.json").write_text(command(image, "-o", "json")[1])
    assert command(image, "--fail-on", "never")[0] == 0
    assert command(image, "--baseline", str(tmp_path / "baseline.json"))[0] == 0
    waiver = "waivers:\n- rule: '*'\n  reason: test\n"
    (tmp_path / ".imagescan.yaml").write_text(waiver)
    assert command(image)[0] == 0
    (tmp_path / ".imagescan.yaml").write_text(waiver + "  expires: 2020-01-01\n")
    assert command(image)[0] == 1
    assert command(image, "-v")[2].count("the answer for") == 1


def test_tree_and_why_say_the_same_after_a_known_answer(command: CommandLine, image: str) -> None:
    command(image)
    for words in (("tree", image), ("tree", image, "/app", "--trail"), ("why", image, "libgone.so.2")):
        assert command(*words) == command(*words, cache=False)


def test_diff_says_the_same_with_known_answers(command: CommandLine, image: str, tmp_path: Path) -> None:
    other = layout(tmp_path / "other", config={"Env": ["A=b"]})
    cold = command("diff", image, other, cache=False)
    assert command("diff", image, other) == command("diff", image, other) == cold


def test_a_changed_image_is_judged_again(tmp_path: Path) -> None:
    scans = CachedScans(tmp_path / "cache")
    scans(layout(tmp_path / "image"))
    scans(layout(tmp_path / "image", config={"Cmd": ["x"]}))
    assert not scans.answered


def test_a_source_that_knows_no_digest_is_never_answered(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "usr").mkdir(parents=True)
    scans = CachedScans(tmp_path / "cache")
    for _ in range(2):
        scans(f"dir:{root}")
        assert (scans.answered, scans.known_layers) == (False, 0)
    assert not (scans.directory / "layers").exists()


CHANGED: dict[str, object] = {
    "platform": "linux/arm64",
    "rules_directories": "see test_rules_count_by_their_content",
    "insecure": True,
    "cpu": "x86-64-v3",
    "user": "nobody",
    "entrypoint": ("/bin/sh",),
    "command": ("x",),
    "variables": ("A=b",),
    "working_directory": "/srv",
    "cache": CacheOptions(Path("/elsewhere")),
    "on_progress": print,
    "on_message": print,
}


@pytest.fixture
def manifest(image: str) -> ImageManifest:
    return manifest_of(image)


@pytest.mark.parametrize("name", [field.name for field in fields(ScanOptions)])
def test_each_option_changes_the_key_or_is_listed_as_without_effect(
    manifest: ImageManifest, name: str
) -> None:
    if name == "rules_directories":
        return
    plain = ScanOptions()
    value = CHANGED.get(name, "a value that no option has by default")
    changes = answer_key(manifest, replace(plain, **{name: value})) != answer_key(manifest, plain)
    assert changes is (name not in OPTIONS_WITHOUT_EFFECT)


NAMES = ("reference", "digest", "config_digest", "index_digest", "annotations")
CHANGED_PARTS = {
    "layers": (),
    "platform": Platform("linux", "s390x"),
    "config": ImageConfig(Platform("linux", "amd64"), cmd=("another",)),
}


@pytest.mark.parametrize("name", [field.name for field in fields(ImageManifest)])
def test_each_part_of_the_manifest_changes_the_key_but_for_names(manifest: ImageManifest, name: str) -> None:
    other = CHANGED_PARTS.get(name, f"another {name}")
    changed = replace(manifest, **{name: other})  # type: ignore[arg-type]
    same = answer_key(changed, ScanOptions()) == answer_key(manifest, ScanOptions())
    assert same is (name in NAMES)


def test_the_instruction_of_a_layer_counts_where_causes_are_grouped_by_it() -> None:
    assert set(LARGEST_PAGE) == CAUSES_NAME_LAYERS


def test_an_option_that_names_a_file_of_the_host_is_never_answered(manifest: ImageManifest) -> None:
    assert answer_key(manifest, replace(ScanOptions(), variables=(Path("/x"),))) is None  # type: ignore[arg-type]


def test_rules_count_by_their_content(manifest: ImageManifest, tmp_path: Path) -> None:
    def key() -> str | None:
        return answer_key(manifest, ScanOptions(rules_directories=(tmp_path / "rules",)))

    (tmp_path / "rules" / "data").mkdir(parents=True)
    keys = {key(), answer_key(manifest, ScanOptions())}
    for file, text in (("a.yaml", "x"), ("a.yaml", "y"), ("data/b.yaml", "x"), ("c.yaml", "")):
        (tmp_path / "rules" / file).write_text(text)
        keys.add(key())
    assert len(keys) == 6
    assert None not in keys
    os.symlink(tmp_path / "elsewhere", tmp_path / "rules" / "d.yaml")
    (tmp_path / "elsewhere").write_text("z")
    assert key() not in keys


def test_a_changed_program_or_another_release_is_another_key(
    manifest: ImageManifest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def key() -> str | None:
        monkeypatch.setattr(identity, "_identity", [])  # as in another process
        return answer_key(manifest, ScanOptions())

    keys = {key()}
    monkeypatch.setattr(identity, "__version__", "9.9")
    keys.add(key())
    monkeypatch.setattr(identity, "_PACKAGE", str(tmp_path))
    for text in ("one", "two "):
        (tmp_path / "module.py").write_text(text)
        keys.add(key())
    assert len(keys) == 4


def test_a_report_of_every_kind_of_finding_comes_back(tmp_path: Path, image: str) -> None:
    scans = CachedScans(tmp_path / "cache")
    first = scans(image).report
    again = scans(image).report
    assert scans.answered
    assert again == first
    assert first.findings and first.findings[0].trail and first.findings[0].blame
    assert answers.ANSWERS in {path.name for path in scans.directory.iterdir()}


def test_nothing_is_kept_of_an_image_that_cannot_be_read(tmp_path: Path, image: str) -> None:
    layer = manifest_of(image).layers[0]
    assert layer.digest
    blob = tmp_path / "image" / "blobs" / "sha256" / layer.digest.hex
    blob.write_bytes(blob.read_bytes()[:-8] + bytes(8))
    scans = CachedScans(tmp_path / "cache")
    for _ in range(2):
        with pytest.raises(Exception, match="digest"):
            scans(image)
    assert not (scans.directory / "answers").exists()


def test_without_cache_nothing_is_made(tmp_path: Path, image: str, command: CommandLine) -> None:
    before = sorted(tmp_path.rglob("*"))
    scan(image, ScanOptions(platform="linux/amd64"))
    command(image, cache=False)
    run((image, "--platform", "linux/amd64"), {}, tmp_path, io.StringIO(), io.StringIO())
    assert sorted(tmp_path.rglob("*")) == before
