"""Manifests, indexes and configs: what is read, and what is refused with one line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagescan.errors import DigestMismatch, ImageFormatError, ImageScanError, SizeMismatch, UnsupportedImage
from imagescan.reference import Digest, Platform
from imagescan.sources.documents import (
    INDEX_ENTRY_LIMIT,
    LAYER_LIMIT,
    OCI_INDEX,
    Descriptor,
    Document,
    Index,
    Manifest,
    describe_layers,
    digest_of,
    parse_config,
    parse_document,
    verified,
)
from imagescan.sources.json_reader import JsonObject
from tests.sources.store import CONFIG_TYPE, DOCKER_MANIFEST, LAYER_TYPE, Store, platform

DIGEST = "sha256:" + "0" * 64
LAYER = {"mediaType": LAYER_TYPE + "+gzip", "digest": DIGEST, "size": 1}
CONFIG = {"mediaType": CONFIG_TYPE, "digest": DIGEST, "size": 2}


def document(content: Any, media_type: str = "") -> Document:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Document(data, digest_of(data), media_type)


def manifest(**members: Any) -> dict[str, Any]:
    return {"schemaVersion": 2, "config": CONFIG, "layers": [LAYER], **members}


def test_a_manifest_without_media_types_is_legal() -> None:
    parsed = parse_document(document(manifest()))
    assert isinstance(parsed, Manifest)
    assert parsed.layers[0].media_type == LAYER_TYPE + "+gzip"


def test_an_index_is_told_by_its_members() -> None:
    parsed = parse_document(document({"schemaVersion": 2, "manifests": [platform(LAYER, "linux/arm/v6")]}))
    assert isinstance(parsed, Index)
    assert parsed.entries[0].platform == Platform("linux", "arm", "v6")


@pytest.mark.parametrize(
    ("content", "media_type", "says"),
    [
        ({"schemaVersion": 1, "fsLayers": []}, "", "obsolete schema 1"),
        (manifest(), "application/vnd.docker.distribution.manifest.v1+prettyjws", "obsolete schema 1"),
        (manifest(layers=[{**LAYER, "mediaType": LAYER_TYPE + "+gzip+encrypted"}]), "", "encrypted"),
        (
            manifest(
                layers=[{**LAYER, "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"}]
            ),
            "",
            "foreign",
        ),
        (
            manifest(
                layers=[{**LAYER, "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar"}]
            ),
            "",
            "foreign",
        ),
        (manifest(layers=[{**LAYER, "mediaType": "text/plain"}]), "", "unknown media type 'text/plain'"),
        (
            manifest(config={**CONFIG, "mediaType": "application/vnd.cncf.helm.config.v1+json"}),
            "",
            "artifact of type application/vnd.cncf.helm.config.v1+json",
        ),
    ],
)
def test_kinds_that_cannot_be_scanned_are_refused_as_what_they_are(
    content: dict[str, Any], media_type: str, says: str
) -> None:
    with pytest.raises(UnsupportedImage) as caught:
        parse_document(document(content, media_type))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (manifest(manifests=[]), ""),
        (manifest(), OCI_INDEX),
        (manifest(mediaType=OCI_INDEX), ""),
        ({"schemaVersion": 2, "manifests": []}, DOCKER_MANIFEST),
        ({"schemaVersion": 2}, ""),
        (manifest(config=None), ""),
        (manifest(config=[1]), ""),
        (manifest(layers={"0": LAYER}), ""),
        (manifest(layers=["x"]), ""),
        (manifest(layers=[{**LAYER, "size": -1}]), ""),
        (manifest(layers=[{**LAYER, "size": "1"}]), ""),
        (manifest(layers=[{**LAYER, "size": 1.5}]), ""),
        (manifest(layers=[{**LAYER, "size": True}]), ""),
        (manifest(layers=[{**LAYER, "size": 2**70}]), ""),
        (manifest(layers=[{**LAYER, "digest": "sha256:../../etc/passwd"}]), ""),
        (manifest(layers=[LAYER] * (LAYER_LIMIT + 1)), ""),
        ({"schemaVersion": 2, "manifests": [LAYER] * (INDEX_ENTRY_LIMIT + 1)}, ""),
        ({"schemaVersion": 2, "manifests": [platform(LAYER, "linux/a b")]}, ""),
        (b"", ""),
        (b"[]", ""),
        (b"\xff{}", ""),
        (b"{" * 100, ""),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", ""),
        (b'{"schemaVersion": NaN}', ""),
        (b'{"schemaVersion": ' + b"9" * 10_000 + b"}", ""),
        (json.dumps(manifest()).encode("utf-16"), ""),
    ],
)
def test_documents_that_break_their_specification_are_refused(content: Any, media_type: str) -> None:
    with pytest.raises(ImageFormatError) as caught:
        parse_document(document(content, media_type))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_documents_are_only_taken_with_the_promised_size_and_digest() -> None:
    data = b"{}"
    promised = Descriptor("", digest_of(data), 2)
    assert verified(data, promised, "it").data == data
    with pytest.raises(SizeMismatch):
        verified(b"{ }", promised, "it")
    with pytest.raises(DigestMismatch):
        verified(b"[]", promised, "it")
    sha512 = Descriptor("", Digest.parse("sha512:" + digest_of(data, "sha512").hex), 2)
    assert verified(data, sha512, "it").digest.algorithm == "sha512"


def config(**members: Any) -> bytes:
    return json.dumps({"os": "linux", "architecture": "amd64", **members}).encode()


def test_the_config_keeps_the_difference_between_absent_and_empty() -> None:
    parsed = parse_config(config(config={"Entrypoint": [], "Env": ["A=1", "B=", "A=2"]}), "c")
    assert (parsed.entrypoint, parsed.cmd, parsed.shell, parsed.healthcheck) == ((), None, None, None)
    assert parsed.env == ("A=1", "B=", "A=2")
    parsed = parse_config(
        config(config={"Entrypoint": None, "Cmd": ["x"], "Healthcheck": {"Test": ["NONE"]}}), "c"
    )
    assert (parsed.entrypoint, parsed.cmd, parsed.healthcheck) == (None, ("x",), ("NONE",))
    assert parse_config(config(), "c").env == ()


def test_one_string_is_a_command_of_one_word_as_in_docker() -> None:
    assert parse_config(config(config={"Cmd": "/bin/sh -c x"}), "c").cmd == ("/bin/sh -c x",)


def test_the_platform_has_the_config_s_variant() -> None:
    assert parse_config(config(architecture="arm", variant="v6"), "c").platform == Platform(
        "linux", "arm", "v6"
    )


def test_text_that_no_utf8_could_hold_is_replaced() -> None:
    parsed = parse_config(config(config={"User": "\ud800x", "Labels": {"\udfff": "\U0001f600"}}), "c")
    assert parsed.user == "\ufffdx"
    assert parsed.labels == (("\ufffd", "\U0001f600"),)


@pytest.mark.parametrize(
    "members",
    [
        {"architecture": None}, {"architecture": 5}, {"os": []}, {"config": []}, {"config": {"Env": "A=1"}},
        {"config": {"Env": [1]}}, {"config": {"Entrypoint": 1}}, {"config": {"Labels": {"a": 1}}},
        {"rootfs": {"diff_ids": ["md5:0"]}}, {"rootfs": []}, {"history": [1]},
        {"history": [{"empty_layer": "yes"}]},
    ],
)  # fmt: skip
def test_configs_of_wrong_types_are_refused(members: dict[str, Any]) -> None:
    with pytest.raises(ImageFormatError):
        parse_config(config(**members), "the config")


def history(*lines: tuple[str, bool]) -> list[dict[str, Any]]:
    return [{"created_by": text, "empty_layer": empty} for text, empty in lines]


def test_each_layer_gets_the_history_line_that_made_it() -> None:
    lines = history(("ADD root", False), ("ENV A=1", True), ("RUN x", False))
    parsed = parse_config(config(rootfs={"diff_ids": [DIGEST, DIGEST]}, history=lines), "c")
    layers, aligned = describe_layers(parsed, None)
    assert aligned
    assert [layer.created_by for layer in layers] == ["ADD root", "RUN x"]


def test_a_squashed_image_gets_no_line_rather_than_a_wrong_one() -> None:
    lines = history(("ADD root", False), ("RUN x", False))
    parsed = parse_config(config(rootfs={"diff_ids": [DIGEST]}, history=lines), "c")
    layers, aligned = describe_layers(parsed, None)
    assert not aligned
    assert layers[0].created_by == ""


def test_more_layers_than_diff_ids_is_an_error() -> None:
    store = Store()
    store.image(config={"rootfs": {"diff_ids": []}})
    parsed = parse_config(config(), "c")
    with pytest.raises(ImageFormatError, match="1 layers, but the config 0 diff IDs"):
        describe_layers(parsed, (Descriptor(LAYER_TYPE, Digest.parse(DIGEST), 1),))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
_MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        name: _JSON | st.just([LAYER]) | st.just(CONFIG)
        for name in ("schemaVersion", "mediaType", "config", "layers", "manifests", "rootfs", "history")
    },
)


@settings(deadline=None)
@given(_MEMBERS)
def test_no_document_leads_to_anything_but_a_value_or_a_typed_error(content: dict[str, Any]) -> None:
    data = json.dumps(content).encode()
    for read in (
        lambda: parse_document(document(data)),
        lambda: parse_config(json.dumps({"architecture": "arm", **content}).encode(), "c"),
    ):
        try:
            read()
        except ImageScanError as error:
            assert str(error)


def test_members_are_asked_for_by_type() -> None:
    content = JsonObject.parse(b'{"n": 1, "t": "x", "f": true}', "it")
    assert (content.integer("n"), content.text("t"), content.flag("f")) == (1, "x", True)
    for wrong in (lambda: content.text("n"), lambda: content.flag("t"), lambda: content.children("t")):
        with pytest.raises(ImageFormatError, match="it has a wrong"):
            wrong()
    with pytest.raises(ImageFormatError, match="it has no 'missing'"):
        content.text("missing")
