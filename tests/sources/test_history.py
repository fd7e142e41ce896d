"""What a history tells of layers: aligned, squashed, imported, foreign, or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagescan.options import ScanOptions
from imagescan.scan import scan
from imagescan.sources.history import builder_of, history_note
from imagescan.sources.select import SourceOptions, open_source
from imagescan.sources.values import ImageManifest
from tests.sources.store import Store, tar_of

TARS = [tar_of({f"file{number}": b"x"}) for number in range(3)]
LAYER = {"created_by": "COPY . /"}
EMPTY = {"created_by": 'CMD ["x"]', "empty_layer": True}


def manifest(tmp_path: Path, history: list | None, *, layers: int = 3, **config: object) -> ImageManifest:
    store = Store()
    members = {"history": history or [], **config}
    store.image(*TARS[:layers], config=members, tag="x")
    with open_source(f"oci:{store.write_layout(tmp_path)}:x", SourceOptions()) as source:
        (image,) = source.images(None)
        return image


@pytest.mark.parametrize(
    ("history", "layers", "note"),
    [
        ([LAYER, EMPTY, LAYER, EMPTY, EMPTY, LAYER, EMPTY], 3, ""),
        ([], 1, "one layer and no history"),
        ([], 3, "3 layers and no history"),
        (None, 3, "3 layers and no history"),
        ([{"created": "2024-01-01T00:00:00Z"}], 1, "one layer and no history"),
        ([LAYER] * 5, 1, "the history names 5 layers and the image has 1 layer: squashed"),
        ([LAYER, LAYER], 3, "the history names 2 layers and the image has 3 layers"),
        ([LAYER, {"comment": "merge sha256:ab to sha256:cd"}], 2, "squashed: one layer has what several"),
        ([{"comment": "Imported from -"}], 1, "imported from an archive of files"),
        ([LAYER, {"created_by": ""}, LAYER], 3, "the history says nothing of 1 layer"),
    ],
)
def test_the_note(tmp_path: Path, history: list | None, layers: int, note: str) -> None:
    found = history_note(manifest(tmp_path, history, layers=layers))
    assert found.startswith(note)
    assert bool(found) == bool(note)


@pytest.mark.parametrize(
    ("history", "lines"),
    [
        (
            [LAYER, EMPTY, {"created_by": "RUN a"}, EMPTY, {"created_by": "RUN b"}],
            ["COPY . /", "RUN a", "RUN b"],
        ),
        (
            [EMPTY, EMPTY, LAYER, {"created_by": "RUN a"}, {"created_by": "RUN b"}, EMPTY],
            ["COPY . /", "RUN a", "RUN b"],
        ),
        ([LAYER, {**EMPTY, "empty_layer": False}, LAYER, LAYER], ["", "", ""]),
        ([LAYER, LAYER], ["", "", ""]),
    ],
    ids=["empty ones between", "empty ones first and last", "one that does not say it is empty", "too few"],
)
def test_empty_entries_are_counted_out_and_doubt_names_nothing(
    tmp_path: Path, history: list, lines: list[str]
) -> None:
    found = manifest(tmp_path, history)
    assert [layer.created_by for layer in found.layers] == lines
    assert found.history_aligned is (lines[0] != "")


@pytest.mark.parametrize(
    ("entry", "builder"),
    [
        ({"created_by": "RUN /bin/sh -c make # buildkit", "comment": "buildkit.dockerfile.v0"}, "BuildKit"),
        ({"created_by": "/bin/sh -c #(nop) COPY file:ab in / "}, "Docker's classic builder"),
        ({"created_by": "COPY app /app", "author": "kaniko"}, "Kaniko"),
        ({"created_by": "jib-maven-plugin:3.4.0", "author": "Jib"}, "Jib"),
        ({"created_by": "ko build ko://example.org/app", "author": "ko"}, "ko"),
        ({"created_by": "bazel build ..."}, "Bazel"),
        ({"comment": "store paths: ['/nix/store/x-glibc-2.38']"}, "Nix"),
        ({"created_by": "COPY app /app"}, ""),
    ],
)
def test_the_builder_is_known_by_its_marks(tmp_path: Path, entry: dict, builder: str) -> None:
    assert builder_of(manifest(tmp_path, [LAYER, LAYER, entry]).config) == builder


@pytest.mark.parametrize(
    ("label", "builder", "note"),
    [
        ("io.buildpacks.lifecycle.metadata", "Cloud Native Buildpacks", "built by Cloud Native Buildpacks"),
        ("io.buildah.version", "Buildah", ""),
    ],
)
def test_the_builder_is_known_by_its_label(tmp_path: Path, label: str, builder: str, note: str) -> None:
    labelled = manifest(tmp_path, [LAYER] * 3, config={"Labels": {label: "{}"}})
    assert builder_of(labelled.config) == builder
    assert history_note(labelled).startswith(note)


def test_the_report_carries_both(tmp_path: Path) -> None:
    store = Store()
    store.image(*TARS, config={"history": [{**LAYER, "author": "kaniko"}] * 2}, tag="x")
    (result,) = scan(f"oci:{store.write_layout(tmp_path)}:x", ScanOptions())
    image = result.report.image
    assert (image.builder, image.history_aligned) == ("Kaniko", False)
    assert image.history_note.startswith("the history names 2 layers and the image has 3 layers")
